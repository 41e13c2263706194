import numpy as np
import pytest

from cubefit.errors import InputError
from cubefit.io.numbers import read_numbers


@pytest.mark.parametrize(
    ("name", "text"),
    [("w.txt", "1 2.5\n3e-1 # third\n"), ("w.csv", "1,2.5\n0.3"), ("w", "# all\n1\n2.5\n.3\n\n")],
)
def test_text(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    np.testing.assert_array_equal(read_numbers(path), [1.0, 2.5, 0.3])


def test_npy_of_any_shape(tmp_path):
    np.save(tmp_path / "w.npy", np.arange(6, dtype=np.float32).reshape(2, 3))
    np.testing.assert_array_equal(read_numbers(tmp_path / "w.npy"), np.arange(6.0))


@pytest.mark.parametrize("text", ["1 two 3", "\x00\xff", None])
def test_anything_else_is_refused(tmp_path, text):
    path = tmp_path / "w.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match="holds no plain numbers"):
        read_numbers(path)


def test_a_damaged_npy_is_refused(tmp_path):
    (tmp_path / "w.npy").write_bytes(b"none")
    with pytest.raises(InputError, match="holds no plain numbers"):
        read_numbers(tmp_path / "w.npy")
