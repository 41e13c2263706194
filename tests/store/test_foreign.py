import h5py
import numpy as np
import pytest

from cubefit.errors import InputError
from cubefit.store.foreign import foreign_file, is_hdf5


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "theirs.h5"
    with h5py.File(path, "w") as file:
        file["a/b"] = np.arange(12.0).reshape(3, 4)
        file.create_dataset("c", data=np.arange(5, dtype=">i2"), compression="gzip")
        file.attrs["unit"] = "km/s"
        file.attrs["old"] = np.bytes_("text")
        file["a"].attrs["n"] = 3
    return path


def test_datasets_are_read_whole_and_in_part(path):
    with foreign_file(path) as file:
        assert file.shapes == {"a/b": (3, 4), "c": (5,)}
        assert file.dtypes["a/b"] == np.float64
        np.testing.assert_array_equal(file.read("a/b"), np.arange(12.0).reshape(3, 4))
        np.testing.assert_array_equal(file.read("/a/b"), file.read("a/b"))
        part = file.read("a/b", (slice(None), slice(1, 3)))
        np.testing.assert_array_equal(part, [[1, 2], [5, 6], [9, 10]])
        np.testing.assert_array_equal(file.read("c", slice(1, 3)), [1, 2])


def test_attributes_are_text_and_numbers(path):
    with foreign_file(str(path)) as file:
        assert file.attribute("unit") == "km/s"
        assert file.attribute("old") == "text"
        assert file.attribute("n", of="a") == 3
        assert file.attribute("none") is None
        with pytest.raises(InputError, match=r"has no x: it holds a/b \(3, 4\), c \(5,\)"):
            file.attribute("n", of="x")


def test_what_is_missing_is_named_with_what_is_there(path):
    with foreign_file(path) as file:
        with pytest.raises(InputError, match=r"lacks the dataset d, e; it holds a/b \(3, 4\)"):
            file.require("c", "d", "e")
        with pytest.raises(InputError, match="lacks the dataset a;"):
            file.read("a")


def test_a_handle_that_a_user_left_open_does_not_matter(path):
    with h5py.File(path, "r", locking=True), foreign_file(path) as file:
        np.testing.assert_array_equal(file.read("c"), np.arange(5))


def test_the_file_is_left_as_it_was(path):
    before = path.read_bytes()
    with foreign_file(path) as file:
        file.read("c")
    assert path.read_bytes() == before


def test_an_empty_file_holds_no_datasets(tmp_path):
    with h5py.File(tmp_path / "e.h5", "w"):
        pass
    with foreign_file(tmp_path / "e.h5") as file:
        assert file.contents() == "no datasets"


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x").write_text("none")
    assert not is_hdf5(tmp_path / "x")
    assert not is_hdf5(tmp_path)
    with pytest.raises(InputError, match="x is no HDF5 file"), foreign_file(tmp_path / "x"):
        pass
    with pytest.raises(InputError, match="y is no file"), foreign_file(tmp_path / "y"):
        pass


@pytest.mark.parametrize("left", [0.2, 0.5, 0.9])
def test_files_cut_short_are_refused(path, left):
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content))])
    with pytest.raises(InputError, match=r"theirs\.h5.*cannot be read"), foreign_file(path) as file:
        file.read("c")


def test_damaged_chunks_are_refused(path):
    with h5py.File(path) as file:
        info = file["c"].id.get_chunk_info(0)
    with path.open("r+b") as stream:
        stream.seek(info.byte_offset)
        stream.write(b"\xff" * info.size)
    with (
        foreign_file(path) as file,
        pytest.raises(InputError, match=r"theirs\.h5: c cannot be read"),
    ):
        file.read("c")


def test_errors_of_the_caller_stay_his(path):
    with pytest.raises(ValueError, match="mine"), foreign_file(path):
        raise ValueError("mine")
