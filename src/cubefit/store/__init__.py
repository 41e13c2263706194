"""The HDF5 file: schema, safe writing, tiles. The only code that imports h5py."""
