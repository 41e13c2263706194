import numpy as np
import pytest
from astropy.io import fits

from cubefit.errors import InputError
from cubefit.io.spatial_mask import read_spatial_mask

USE = np.array([[1, 0, 1], [1, 1, 0]])


@pytest.mark.parametrize("kind", ["fits", "npy", "txt", "bool.npy"])
def test_all_formats_say_the_same(tmp_path, kind):
    path = tmp_path / f"mask.{kind}"
    if kind == "fits":
        image = np.where(USE == 1, 1.0, np.nan)
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image)]).writeto(path)
    elif kind == "txt":
        np.savetxt(path, USE, fmt="%d", header="1 = use")
    else:
        np.save(path, USE.astype(bool) if kind.startswith("bool") else USE)
    found = read_spatial_mask(path, 6, (2, 3))
    assert found.dtype == bool
    assert found.tolist() == [True, False, True, True, True, False]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[1, 0, 4], [1, 1, 0]]), "holds 4: give 1 for pixels to use, and 0"),
        (np.zeros((2, 3)), "leaves no pixel"),
        (np.ones((3, 2)), r"image of \(3, 2\) pixels, but the cube one of \(2, 3\)"),
    ],
)
def test_masks_that_cannot_be_are_refused(tmp_path, values, message):
    path = tmp_path / "mask.fits"
    fits.writeto(path, values.astype(float))
    with pytest.raises(InputError, match=message):
        read_spatial_mask(path, 6, (2, 3))


@pytest.mark.parametrize("kind", ["npy", "txt"])
def test_rows_and_columns_are_those_of_the_cube(tmp_path, kind):
    path = tmp_path / f"mask.{kind}"
    if kind == "npy":
        np.save(path, USE.T)
    else:
        np.savetxt(path, USE.T, fmt="%d")
    with pytest.raises(InputError, match=r"image of \(3, 2\) pixels, but the cube one of"):
        read_spatial_mask(path, 6, (2, 3))
    assert read_spatial_mask(path, 6, None).tolist() == USE.T.ravel().astype(bool).tolist()


@pytest.mark.parametrize("text", ["1 0 1 1 1 0", "1\n0\n1\n1\n1\n0", "1 0 1 1\n1 0"])
def test_text_may_run_on(tmp_path, text):
    (tmp_path / "mask.txt").write_text(text)
    found = read_spatial_mask(tmp_path / "mask.txt", 6, (2, 3))
    assert found.tolist() == [True, False, True, True, True, False]


def test_files_that_are_no_mask_are_refused(tmp_path):
    np.save(tmp_path / "mask.npy", np.ones(5))
    with pytest.raises(InputError, match=r"masks 5 pixels, but the cube has \(2, 3\)"):
        read_spatial_mask(tmp_path / "mask.npy", 6, (2, 3))
    with pytest.raises(InputError, match="masks 5 pixels, but the cube has 6"):
        read_spatial_mask(tmp_path / "mask.npy", 6, None)
    (tmp_path / "mask.txt").write_text("circle(3, 4, 5)\n")
    with pytest.raises(InputError, match="no plain numbers"):
        read_spatial_mask(tmp_path / "mask.txt", 6, None)
    two = fits.HDUList([fits.PrimaryHDU(np.ones((2, 3))), fits.ImageHDU(np.ones((2, 3)))])
    two.writeto(tmp_path / "two.fits")
    with pytest.raises(InputError, match="has 2 images"):
        read_spatial_mask(tmp_path / "two.fits", 6, (2, 3))
