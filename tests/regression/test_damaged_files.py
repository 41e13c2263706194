"""Damage that once came through as the exception of a library far below."""

from __future__ import annotations

import zipfile

import h5py
import numpy as np
import pytest
from astropy.io import fits

from cubefit.errors import InputError
from cubefit.io import read_cube
from cubefit.io.npz import open_npz
from cubefit.store.foreign import foreign_file


def test_an_array_header_that_never_ends_in_an_npz_file(tmp_path):
    path = tmp_path / "a.npz"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (20, 50, }\n"
    with zipfile.ZipFile(path, "w") as archive:
        # Version 1 is parsed as Python 2 wrote it when plain parsing fails.
        size = len(header).to_bytes(2, "little")
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + size + header)
    with pytest.raises(InputError, match="cannot be read as npz"), open_npz(path) as stored:
        _ = stored["a"]


def test_a_number_type_that_no_machine_has_in_an_hdf5_file(tmp_path):
    path = tmp_path / "a.h5"
    odd = h5py.h5t.IEEE_F64LE.copy()
    odd.set_fields(63, 52, 11, 0, 52)
    odd.set_ebias(10**6)
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(file.id, b"SPEC", odd, space)
    with pytest.raises(InputError, match="table of contents cannot be read"), foreign_file(path):
        pass


def test_a_damaged_tile_of_a_compressed_image(tmp_path):
    path, header = tmp_path / "c.fits", fits.Header()
    header["CTYPE3"], header["CUNIT3"] = "AWAV", "Angstrom"
    header["CRVAL3"], header["CD3_3"], header["CRPIX3"] = 5000.0, 1.25, 1.0
    for axis in (1, 2):
        header[f"CD{axis}_{axis}"], header[f"CUNIT{axis}"] = 5e-5, "deg"
    flux = np.random.default_rng(1).random((6, 8, 8)).astype(np.float32)
    parts = [
        fits.CompImageHDU(flux, header, name=name, compression_type="GZIP_1", quantize_level=0)
        for name in ("DATA", "STAT")
    ]
    fits.HDUList([fits.PrimaryHDU(), *parts]).writeto(path)
    content = bytearray(path.read_bytes())
    first = content.find(b"\x1f\x8b\x08") + 10
    content[first : first + 40] = b"\xff" * 40
    path.write_bytes(content)
    cube = read_cube(path)
    with pytest.raises(InputError, match="cannot be read as FITS"):
        _ = cube.flux
