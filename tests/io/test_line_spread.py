import numpy as np
import pytest

from cubefit.errors import InputError
from cubefit.io.line_spread import read_line_spread


def test_two_columns_read_back(tmp_path):
    path = tmp_path / "lsf.txt"
    path.write_text("# wavelength FWHM\n4800  2.9\n\n5000, 2.8  # of arcs\n6000\t2.6\n")
    spread = read_line_spread(path)
    np.testing.assert_allclose(spread([4800.0, 4900.0, 6000.0]), [2.9, 2.85, 2.6])
    assert spread.name == "lsf.txt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4800 2.9 1\n5000 2.8 1\n", "two numbers"),
        ("4800 2.9\n5000\n", "two numbers"),
        ("4800 2.9\n", "two or more lines"),
        ("", "two or more lines"),
        ("lambda fwhm\n4800 2.9\n", "holds no plain numbers"),
        ("5000 2.9\n4800 2.8\n", "increase"),
        ("4800 2.9\n5000 -2\n", "above 0"),
        ("4800 2.9\n5000 nan\n", "above 0"),
        ("4800 1700\n9300 3500\n", "wavelength / R where a resolving power R is known"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, message):
    path = tmp_path / "lsf.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_line_spread(path)


def test_missing_and_binary_files_are_refused(tmp_path):
    (tmp_path / "lsf.npy").write_bytes(b"\x93NUMPY\xff\xfe")
    for name in ("lsf.npy", "nowhere.txt"):
        with pytest.raises(InputError, match="holds no plain numbers"):
            read_line_spread(tmp_path / name)
