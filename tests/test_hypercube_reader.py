from pathlib import Path

import h5py
import numpy as np
import pytest

from cubefit.errors import InputError, MissingDataError, StoreError
from cubefit.hypercube_builder import build_hypercube
from cubefit.hypercube_reader import HyperCubeReader
from cubefit.store.compress import compress_hypercube
from cubefit.store.handle import open_h5


def bytes_read():
    """Bytes that this process has asked the system for so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("codec", [None, "gzip"])
def test_planes_and_slabs(built, problem, codec):
    if codec:
        compress_hypercube(built, codec=codec)
    with HyperCubeReader(str(built)) as reader:
        assert reader.shape == problem.shape
        for s in range(7):
            plane = reader.plane(s)
            assert plane.dtype == np.float32
            np.testing.assert_allclose(plane, problem.models[s], rtol=1e-5)
        for spaxels, populations in [
            (slice(0, 7), slice(0, 12)),
            (slice(2, 5), slice(3, 9)),
            (slice(6, 7), slice(11, 12)),
            (slice(3, 3), slice(0, 12)),
        ]:
            slab = reader.slab(spaxels, populations)
            np.testing.assert_allclose(slab, problem.models[spaxels, :, populations], rtol=1e-5)


def test_masked_reads_leave_out_what_the_mask_leaves_out(make_problem, tmp_path):
    mask = np.arange(40) % 3 != 1
    problem = make_problem(mask=mask)
    path = problem.populate(tmp_path / "cube.h5")
    build_hypercube(path, verbose=False)
    with HyperCubeReader(path) as reader:
        np.testing.assert_array_equal(reader.mask, mask)
        plane = reader.plane(2, masked=True)
        np.testing.assert_array_equal(plane, reader.plane(2)[..., mask])
        slab = reader.slab(slice(1, 4), slice(2, 5), masked=True)
        np.testing.assert_array_equal(slab, reader.slab(slice(1, 4), slice(2, 5))[..., mask])
        assert slab.shape == (3, 5, 3, mask.sum())


def test_without_a_mask_every_pixel_counts(built):
    with HyperCubeReader(built) as reader:
        assert reader.mask.shape == (40,)
        assert reader.mask.all()


def test_no_cube(populated):
    with pytest.raises(MissingDataError, match=r"Missing /HyperCube/models after build .*: run"):
        HyperCubeReader(populated)
    with pytest.raises(RuntimeError):
        HyperCubeReader(populated)


def test_an_unfinished_cube(built):
    with h5py.File(built, "r+") as file:
        file["/HyperCube/_done"][0, 0, :2] = 0
    with pytest.raises(MissingDataError, match="has 25 of 27 tiles: run build_hypercube again"):
        HyperCubeReader(built)


def test_a_mask_of_another_length(built):
    with open_h5(built, "writer") as file:
        file["/Mask"] = np.ones(39, bool)
    with pytest.raises(InputError, match=r"Row L mismatch \(39 vs 40\)"):
        HyperCubeReader(built)


def test_a_missing_file(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        HyperCubeReader(tmp_path / "cube.h5")


def test_closing(built):
    reader = HyperCubeReader(built)
    reader.close()
    reader.close()
    with pytest.raises((ValueError, RuntimeError)):
        reader.plane(0)


@pytest.fixture(scope="module")
def large(make_problem, tmp_path_factory):
    """A cube of 22 MB in tiles of 2.4 MB: a cache or read-ahead of HDF5 would show."""
    problem = make_problem(S=30, V=5, C=10, axes=(20, 3), L=300)
    path = problem.populate(tmp_path_factory.mktemp("large") / "cube.h5")
    build_hypercube(path, S_chunk=12, C_chunk=3, P_chunk=30, verbose=False)
    return path


@pytest.mark.parametrize(
    "part",
    [
        (7,),
        (29,),
        (slice(0, 30), slice(0, 60)),
        (slice(0, 10), slice(0, 60)),
        (slice(3, 23), slice(17, 41)),
        (slice(0, 30), slice(8, 9)),
        (slice(5, 6), slice(59, 60)),
    ],
    ids=str,
)
def test_no_more_is_read_than_asked_for(large, part):
    with HyperCubeReader(large) as reader:
        reader.plane(0)
        before = bytes_read()
        models = reader.plane(*part) if len(part) == 1 else reader.slab(*part)
        read = bytes_read() - before
    assert models.nbytes <= read < 1.1 * models.nbytes
