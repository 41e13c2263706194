"""Work on a Dask cluster: shares of the spaxels on its workers, who read them by themselves."""
