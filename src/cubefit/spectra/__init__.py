"""Wavelength and velocity grids, rebinning and shifted templates: plain arrays only."""
