"""Maps of bins as the programs write them, written here with astropy, NumPy and plain text."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cubefit.errors import ConfigError, InputError
from cubefit.io.bins import bin_map, read_bins

NY, NX = 3, 4
IDS = np.array([[0, 0, 1, -1], [0, 2, 1, 1], [2, 2, -1, -1]])
X = np.tile(0.2 * np.arange(NX), NY)
Y = np.repeat(0.2 * np.arange(NY), NX)


@given(ids=arrays(np.int64, st.integers(1, 40), elements=st.integers(-3, 30)))
def test_bins_are_numbered_anew_in_the_order_of_their_labels(ids):
    if (ids < 0).all():
        with pytest.raises(InputError, match="no pixel is in a bin"):
            bin_map(ids, ids >= 0, "here")
        return
    bins = bin_map(ids, ids >= 0, "here")
    assert bins.n_bins == len(set(ids[ids >= 0]))
    np.testing.assert_array_equal(np.unique(bins.binnum[ids >= 0]), np.arange(bins.n_bins))
    np.testing.assert_array_equal(bins.labels[bins.binnum[ids >= 0]], ids[ids >= 0])
    assert (bins.binnum[ids < 0] == -1).all()
    assert (np.diff(bins.labels) > 0).all()
    assert bins.binnum.dtype == np.int32


# nGIST


def write_ngist(path, ids, *, n_spax=True, pixsize=0.2, masked=None, dtype="J"):
    """Masked spaxels have minus the nearest bin, as the pipeline writes them."""
    ids = np.asarray(ids).ravel()
    masked = ids < 0 if masked is None else np.asarray(masked).ravel()
    columns = [
        fits.Column("ID", "J", array=np.arange(ids.size)),
        fits.Column("BIN_ID", dtype, array=ids),
        fits.Column("X", "D", array=X[: ids.size]),
        fits.Column("Y", "D", array=Y[: ids.size]),
    ]
    if n_spax:
        counts = [np.sum((abs(ids) == abs(i)) & ~masked) for i in ids]
        columns.append(fits.Column("NSPAX", "J", array=counts))
    primary = fits.PrimaryHDU()
    primary.header["PIXSIZE"] = pixsize
    fits.HDUList([primary, fits.BinTableHDU.from_columns(columns, name="TABLE")]).writeto(path)
    return path


def write_ngist_mask(path, masked):
    column = fits.Column("MASK", "I", array=np.asarray(masked).ravel().astype(int))
    table = fits.BinTableHDU.from_columns([column], name="MASKFILE")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)


def test_an_ngist_table_is_read_back(tmp_path):
    ids = IDS.ravel().copy()
    ids[ids < 0] = [-1, -2, -2]
    bins = read_bins(write_ngist(tmp_path / "N_table.fits", ids))
    np.testing.assert_array_equal(bins.binnum, IDS.ravel())
    np.testing.assert_array_equal(bins.labels, [0, 1, 2])
    np.testing.assert_array_equal(bins.x, X)
    np.testing.assert_array_equal(bins.y, Y)
    assert bins.image_shape == (NY, NX)


SKY = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.2,
    "CDELT1": -0.2 / 3600, "CDELT2": 0.2 / 3600,
}  # fmt: skip


def test_the_sky_of_an_ngist_table_is_that_of_its_image(tmp_path):
    path = write_ngist(tmp_path / "N_table.fits", IDS)
    assert read_bins(path).wcs is None
    for shape in ((NY + 1, NX), (NY, NX)):
        fits.append(path, np.zeros(shape), fits.Header(SKY | {"CRVAL1": 150.0 + shape[0]}))
    sky = WCS(fits.Header.fromstring(read_bins(path).wcs))
    assert sky.wcs.crval.tolist() == [150.0 + NY, 2.2]
    few = write_ngist(tmp_path / "few_table.fits", IDS.ravel()[:7])
    fits.append(few, np.zeros((NY, NX)), fits.Header(SKY))
    assert read_bins(few).wcs is None


def test_an_image_of_bins_has_its_sky(tmp_path):
    fits.PrimaryHDU(IDS.astype(np.int16), fits.Header(SKY)).writeto(tmp_path / "b.fits")
    assert WCS(fits.Header.fromstring(read_bins(tmp_path / "b.fits").wcs)).has_celestial
    fits.PrimaryHDU(IDS.astype(np.int16)).writeto(tmp_path / "bare.fits")
    assert read_bins(tmp_path / "bare.fits").wcs is None


def near_bin_zero():
    """One masked spaxel is nearest to bin 0, whose minus is lost."""
    ids = IDS.ravel().copy()
    masked = ids < 0
    ids[masked] = [0, -2, -2]
    return ids, masked


def test_the_mask_beside_tells_which_spaxels_of_bin_zero_are_masked(tmp_path):
    ids, masked = near_bin_zero()
    path = write_ngist(tmp_path / "N_table.fits", ids, masked=masked)
    with pytest.raises(InputError, match=r"BIN_ID 0 is bin 0 or, as -0.*N_mask\.fits"):
        read_bins(path)
    write_ngist_mask(tmp_path / "N_mask.fits", masked)
    np.testing.assert_array_equal(read_bins(path).binnum, IDS.ravel())


def test_without_mask_and_nspax_bin_zero_is_not_guessed(tmp_path):
    ids, masked = near_bin_zero()
    path = write_ngist(tmp_path / "N_table.fits", ids, masked=masked, n_spax=False)
    with pytest.raises(InputError, match="put the mask of the same run beside it"):
        read_bins(path)


def test_a_floating_point_table_keeps_the_sign_of_zero(tmp_path):
    ids, masked = near_bin_zero()
    signed = np.where(masked, -1.0, 1.0) * np.abs(ids)
    path = write_ngist(tmp_path / "N_table.fits", signed, masked=masked, n_spax=False, dtype="D")
    np.testing.assert_array_equal(read_bins(path).binnum, IDS.ravel())


def test_the_mask_of_another_run_is_refused(tmp_path):
    path = write_ngist(tmp_path / "N_table.fits", IDS)
    write_ngist_mask(tmp_path / "N_mask.fits", np.zeros(5))
    with pytest.raises(InputError, match="masks 5 spaxels, but the table has 12"):
        read_bins(path)


def test_spaxels_that_fill_no_image_have_no_image_shape(tmp_path):
    bins = read_bins(write_ngist(tmp_path / "N_table.fits", IDS.ravel()[:7]))
    assert bins.image_shape is None
    assert bins.binnum.size == 7


# Images


def test_an_image_is_read_back(tmp_path):
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -0.5 / 3600, "CDELT2": 1 / 3600}
    fits.PrimaryHDU(IDS.astype(np.int16), fits.Header(cards)).writeto(tmp_path / "b.fits")
    bins = read_bins(tmp_path / "b.fits")
    np.testing.assert_array_equal(bins.binnum, IDS.ravel())
    assert bins.image_shape == (NY, NX)
    np.testing.assert_allclose(bins.x, np.tile(0.5 * (np.arange(NX) - 1.5), NY))
    np.testing.assert_allclose(bins.y, np.repeat(np.arange(NY) - 1.0, NX))


def test_nan_is_no_bin_and_numbers_may_have_gaps(tmp_path):
    image = np.where(IDS < 0, np.nan, 10.0 * IDS)
    fits.PrimaryHDU(image).writeto(tmp_path / "b.fits")
    bins = read_bins(tmp_path / "b.fits")
    np.testing.assert_array_equal(bins.binnum, IDS.ravel())
    np.testing.assert_array_equal(bins.labels, [0, 10, 20])
    assert bins.x is None


def test_zero_in_an_image_without_negatives_must_be_told(tmp_path):
    fits.PrimaryHDU(IDS + 1).writeto(tmp_path / "b.fits")
    with pytest.raises(InputError, match="zero_is_bin=True or zero_is_bin=False"):
        read_bins(tmp_path / "b.fits")
    np.testing.assert_array_equal(
        read_bins(tmp_path / "b.fits", zero_is_bin=False).binnum, IDS.ravel()
    )
    whole = read_bins(tmp_path / "b.fits", zero_is_bin=True)
    np.testing.assert_array_equal(whole.binnum, IDS.ravel() + 1)


def test_an_image_from_one_on_without_zero_needs_no_word(tmp_path):
    fits.PrimaryHDU(np.abs(IDS) + 1).writeto(tmp_path / "b.fits")
    np.testing.assert_array_equal(read_bins(tmp_path / "b.fits").labels, [1, 2, 3])


@pytest.mark.parametrize("value", [0.5, np.inf])
def test_bins_are_whole_numbers(tmp_path, value):
    image = IDS.astype(float)
    image[0, 0] = value
    fits.PrimaryHDU(image).writeto(tmp_path / "b.fits")
    with pytest.raises(InputError, match="not whole numbers"):
        read_bins(tmp_path / "b.fits")


def test_two_images_are_refused(tmp_path):
    fits.HDUList([fits.PrimaryHDU(IDS), fits.ImageHDU(IDS)]).writeto(tmp_path / "b.fits")
    with pytest.raises(InputError, match=r"has 2 images; it holds HDU 0"):
        read_bins(tmp_path / "b.fits")


# npz


@pytest.mark.parametrize("shape", [(NY, NX), (NY * NX,)])
def test_an_npz_is_read_back(tmp_path, shape):
    np.savez(tmp_path / "b.npz", binnum=IDS.reshape(shape), x=X, y=Y)
    bins = read_bins(tmp_path / "b.npz")
    np.testing.assert_array_equal(bins.binnum, IDS.ravel())
    np.testing.assert_array_equal(bins.x, X)
    assert bins.image_shape == (shape if len(shape) == 2 else None)
    assert read_bins(tmp_path / "b.npz", zero_is_bin=False).n_bins == 2


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"bins": IDS}, "lacks binnum; it holds bins"),
        ({"binnum": IDS, "x": X[1:], "y": Y}, "x is not one finite number for each of 12 pixels"),
        ({"binnum": np.full(3, -1)}, "no pixel is in a bin"),
        ({"binnum": np.zeros((1, 2, 3))}, r"binnum has shape \(1, 2, 3\)"),
    ],
)
def test_impossible_npz_files_are_refused(tmp_path, stored, words):
    np.savez(tmp_path / "b.npz", **stored)
    with pytest.raises(InputError, match=words):
        read_bins(tmp_path / "b.npz")


# Text


@pytest.mark.parametrize("top", ["", "# x y bin\n", "# written by vorbin\n\n"])
def test_a_text_table_is_read_back(tmp_path, top):
    lines = [f"{x:10.6f} {y:10.6f} {b:8d}" for x, y, b in zip(X, Y, IDS.ravel(), strict=True)]
    (tmp_path / "b.txt").write_text(top + "\n".join(lines) + "\n")
    bins = read_bins(tmp_path / "b.txt")
    np.testing.assert_array_equal(bins.binnum, IDS.ravel())
    np.testing.assert_allclose(bins.x, X, atol=1e-6)
    np.testing.assert_allclose(bins.y, Y, atol=1e-6)


def test_more_columns_go_by_their_names(tmp_path):
    table = np.column_stack([X, Y, np.ones(X.size), IDS.ravel()])
    np.savetxt(tmp_path / "b.txt", table, header="X Y flux BIN_NUM")
    np.testing.assert_array_equal(read_bins(tmp_path / "b.txt").binnum, IDS.ravel())
    np.savetxt(tmp_path / "c.txt", table)
    with pytest.raises(InputError, match="has 4 columns, and its last comment names none"):
        read_bins(tmp_path / "c.txt")


def test_bins_alone_have_no_positions(tmp_path):
    np.savetxt(tmp_path / "b.txt", IDS.ravel(), fmt="%d")
    bins = read_bins(tmp_path / "b.txt")
    np.testing.assert_array_equal(bins.binnum, IDS.ravel())
    assert bins.x is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 0 1\n0 1\n", "lines of 2, 3 numbers"),
        ("one two three\n", "holds no plain numbers"),
        ("# nothing\n", "lines of no numbers"),
        ("0 0 1.5\n", "not whole numbers"),
        ("nan 0 1\n", "x is not one finite number"),
    ],
)
def test_impossible_tables_are_refused(tmp_path, text, words):
    (tmp_path / "b.txt").write_text(text)
    with pytest.raises(InputError, match=words):
        read_bins(tmp_path / "b.txt")


# DYNAMITE


def write_dynamite(folder, ids=IDS + 1, shape=(NX, NY), n_pix=None, name="bins.dat"):
    ids = np.asarray(ids).ravel()
    lines = [" ".join(map(str, ids[i : i + 10])) for i in range(0, ids.size, 10)]
    head = ["#Counterrotaton_binning_version_1", str(ids.size if n_pix is None else n_pix)]
    (folder / name).write_text("\n".join([*head, *lines]) + "\n")
    aperture = [
        "#counter_rotation_boxed_aperturefile_version_2",
        " -0.9  -1.1", " 2.0  1.5", " 35.0", f" {shape[0]} {shape[1]}",
    ]  # fmt: skip
    (folder / name.replace("bins", "aperture")).write_text("\n".join(aperture) + "\n")
    return folder / name


@pytest.mark.parametrize("name", ["bins.dat", "bins_kinset1.dat"])
def test_dynamite_bins_are_read_back(tmp_path, name):
    bins = read_bins(write_dynamite(tmp_path, name=name))
    np.testing.assert_array_equal(bins.binnum, IDS.ravel())
    np.testing.assert_array_equal(bins.labels, [1, 2, 3])
    assert bins.image_shape == (NY, NX)
    for pixel in range(NY * NX):
        row, column = divmod(pixel, NX)
        assert bins.x[pixel] == pytest.approx(-0.9 + 0.5 * (column + 0.5))
        assert bins.y[pixel] == pytest.approx(-1.1 + 0.5 * (row + 0.5))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_pix": 13}, "announces 13 pixels and holds 12"),
        ({"shape": (NX, NY + 1)}, "announces 12 pixels and holds 12, but .*aperture.dat has 4 x 4"),
        ({"ids": IDS}, "names 2 bins from -1 to 2"),
        ({"ids": 0 * IDS}, "names 0 bins"),
        ({"shape": (NX, 2.5)}, "corner, extent, angle and number of pixels are due"),
    ],
)
def test_mixed_up_dynamite_files_are_refused(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        read_bins(write_dynamite(tmp_path, **changes))


def test_dynamite_bins_need_their_aperture(tmp_path):
    path = write_dynamite(tmp_path)
    (tmp_path / "aperture.dat").write_text("# nothing\n1 2\n")
    with pytest.raises(InputError, match="corner, extent, angle"):
        read_bins(path)
    (tmp_path / "aperture.dat").unlink()
    with pytest.raises(InputError, match="no aperture file beside it"):
        read_bins(path, "dynamite")


# What no format has


def test_impossible_arguments_are_refused(tmp_path):
    path = write_dynamite(tmp_path)
    with pytest.raises(ConfigError, match="format='vorbin'"):
        read_bins(path, "vorbin")
    with pytest.raises(ConfigError, match="of the format dynamite, which says it"):
        read_bins(path, zero_is_bin=True)
    with pytest.raises(InputError, match="is no file"):
        read_bins(tmp_path / "none")


@pytest.mark.parametrize("name", ["ngist", "image", "npz", "text", "dynamite"])
def test_every_format_refuses_a_foreign_file_clearly(tmp_path, name):
    (tmp_path / "bins.dat").write_bytes(b"\x89HDF\r\n\x1a\n\xff\xfe")
    with pytest.raises(InputError, match=r"bins\.dat"):
        read_bins(tmp_path / "bins.dat", name)
