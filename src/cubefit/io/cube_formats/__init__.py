"""One module for each format of IFU data: how it is recognised and what its parts mean."""
