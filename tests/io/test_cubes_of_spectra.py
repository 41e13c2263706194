"""Tables and plain arrays of spectra, written here with astropy, h5py and NumPy alone."""

import h5py
import numpy as np
import pytest
from astropy.io import fits

from cubefit.errors import ConfigError, GridError, InputError
from cubefit.io.cubes import read_cube

S, L = 5, 9
LN_WAVE = np.log(4800.0) + 2e-4 * np.arange(L)


@pytest.fixture
def spectra():
    rng = np.random.default_rng(11)
    flux = rng.normal(10.0, 3.0, (S, L)).astype(np.float32)
    sigma = rng.uniform(0.5, 2.0, (S, L)).astype(np.float32)
    return flux, sigma


# Euro3D


def write_e3d(path, flux, variance, *, start=None, length=None, quality=None, unit="", **cards):
    """Fixed rows for a 2-D array, rows of their own lengths for a list of vectors."""
    fixed = isinstance(flux, np.ndarray)
    size = f"{flux.shape[1]}E" if fixed else "PE()"

    def column(name, values):
        array = values if fixed else np.array([*values, None], dtype=object)[:-1]
        return fits.Column(name, size, array=array)

    x = np.linspace(-1.6, 1.6, len(flux))
    columns = [
        fits.Column("SPEC_ID", "J", array=np.arange(len(flux))),
        column("DATA_SPE", flux),
        column("STAT_SPE", variance),
        fits.Column("XPOS", "D", array=x, unit=unit or None),
        fits.Column("YPOS", "D", array=2 * x, unit=unit or None),
    ]
    columns[1].unit = "counts"
    if start is not None:
        columns.append(fits.Column("SPEC_STA", "J", array=start))
    if length is not None:
        columns.append(fits.Column("SPEC_LEN", "J", array=length))
    if quality is not None:
        columns.append(fits.Column("QUAL_SPE", f"{quality.shape[1]}J", array=quality))
    table = fits.BinTableHDU.from_columns(columns, name="E3D_DATA")
    for key, value in ({"CRVALS": 4810.0, "CDELTS": 1.1} | cards).items():
        if value is not None:
            table.header[key] = value
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return path


def test_a_euro3d_table_is_read_back(tmp_path, spectra):
    flux, sigma = spectra
    variance = sigma**2
    flux[0, 1], variance[1, 2], variance[2, 3] = np.nan, 0.0, -1.0
    quality = np.zeros((S, L), np.int32)
    quality[3, 4] = 1
    cube = read_cube(write_e3d(tmp_path / "c.fits", flux, variance, quality=quality))
    assert "Euro3D" in cube.source
    np.testing.assert_allclose(cube.wave, 4810.0 + 1.1 * np.arange(L), rtol=1e-15)
    np.testing.assert_array_equal(cube.flux, flux)
    np.testing.assert_array_equal(np.argwhere(~cube.mask), [[0, 1], [1, 2], [2, 3], [3, 4]])
    np.testing.assert_allclose(cube.noise[cube.mask], sigma[cube.mask], rtol=1e-6)
    np.testing.assert_array_equal(cube.x, np.linspace(-1.6, 1.6, S))
    np.testing.assert_array_equal(cube.y, 2 * cube.x)
    assert (cube.medium, cube.image_shape, cube.wcs, cube.unit) == ("air", None, None, "counts")
    np.testing.assert_array_equal(cube.trimmed((4812, 4816)).flux, flux[:, 2:6])


def test_spectra_that_begin_and_end_differently_lie_on_one_grid(tmp_path):
    rng = np.random.default_rng(2)
    flux = [rng.random(n).astype(np.float32) for n in (6, 4, 5)]
    start, length = [2, 3, 1], [6, 4, 4]
    path = write_e3d(tmp_path / "c.fits", flux, [v + 1 for v in flux], start=start, length=length)
    cube = read_cube(path)
    np.testing.assert_allclose(cube.wave, 4810.0 + 1.1 * np.arange(1, 8), rtol=1e-15)
    for row, (values, first, n) in enumerate(zip(flux, start, length, strict=True)):
        inside = np.zeros(cube.wave.size, bool)
        inside[first - 1 : first - 1 + n] = True
        np.testing.assert_array_equal(cube.mask[row], inside)
        np.testing.assert_array_equal(cube.flux[row, inside], values[:n])
        np.testing.assert_array_equal(
            cube.noise[row, inside], np.sqrt((values[:n] + 1).astype(float)).astype(np.float32)
        )


@pytest.mark.parametrize(
    ("start", "step", "wave"),
    [
        (np.log(4810.0), 2e-4, 4810.0 * np.exp(2e-4 * np.arange(L))),
        (np.log10(4810.0), 1e-4, 4810.0 * 10 ** (1e-4 * np.arange(L))),
    ],
)
def test_logarithmic_euro3d_wavelengths(tmp_path, spectra, start, step, wave):
    path = write_e3d(tmp_path / "c.fits", *spectra, CRVALS=start, CDELTS=step)
    np.testing.assert_allclose(read_cube(path).wave, wave, rtol=1e-12)


@pytest.mark.parametrize(
    ("cards", "error", "words"),
    [
        ({"CRVALS": None}, InputError, "CRVALS, CDELTS = "),
        ({"CDELTS": -1.0}, GridError, "CDELTS = -1"),
        ({"CRPIXS": 5}, InputError, "CRPIXS = 5"),
        ({"CRVALS": 1.0, "CDELTS": 1e-4}, GridError, "no logarithms"),
        ({"unit": "kpc"}, InputError, "XPOS is in KPC"),
        ({"length": [L, L, L, L, L + 1]}, InputError, "SPEC_LEN does not fit"),
    ],
)
def test_impossible_euro3d_tables_are_refused(tmp_path, spectra, cards, error, words):
    path = write_e3d(tmp_path / "c.fits", *spectra, **cards)
    with pytest.raises(error, match=words):
        read_cube(path)


def test_positions_in_degrees_come_in_arcsec(tmp_path, spectra):
    cube = read_cube(write_e3d(tmp_path / "c.fits", *spectra, unit="deg"))
    np.testing.assert_allclose(cube.x, 3600 * np.linspace(-1.6, 1.6, S))


def test_a_pixel_scale_is_refused_where_there_is_no_image(tmp_path, spectra):
    path = write_e3d(tmp_path / "c.fits", *spectra)
    with pytest.raises(ConfigError, match="table of spectra with positions of their own"):
        read_cube(path, pixel_scale=0.8)


# nGIST


def write_ngist(path, spec, espec, loglam=LN_WAVE):
    with h5py.File(path, "w") as file:
        file.create_dataset("SPEC", data=spec.T.astype(np.float64), chunks=(2, 2))
        file.create_dataset("ESPEC", data=espec.T.astype(np.float64), chunks=(2, 2))
        file["LOGLAM"] = loglam
        file.attrs["VELSCALE"], file.attrs["CRPIX1"] = 60.0, 1.0
        file.attrs["CRVAL1"], file.attrs["CDELT1"] = loglam[0], loglam[1] - loglam[0]
        file.attrs["BUNIT"] = "1e-20 erg"
    return path


@pytest.mark.parametrize(
    ("name", "format_", "noise_of"),
    [
        ("N_BinSpectra.hdf5", "auto", np.asarray),
        ("N_AllSpectra.hdf5", "auto", np.sqrt),
        ("N_BinSpectra.hdf5", "ngist", np.asarray),
        ("spectra.hdf5", "ngist-bins", np.asarray),
        ("spectra.hdf5", "ngist-all", np.sqrt),
    ],
)
def test_ngist_spectra_are_read_back(tmp_path, spectra, name, format_, noise_of):
    flux, error = spectra
    error[2, 3] = 0.0
    cube = read_cube(write_ngist(tmp_path / name, flux, error), format_, medium="air")
    assert "nGIST" in cube.source
    np.testing.assert_allclose(cube.wave, np.exp(LN_WAVE), rtol=1e-15)
    np.testing.assert_array_equal(cube.flux, flux)
    np.testing.assert_allclose(cube.noise, noise_of(error), rtol=1e-7)
    np.testing.assert_array_equal(np.argwhere(~cube.mask), [[2, 3]])
    assert cube.unit == "1e-20 erg"
    assert cube.x is None
    if noise_of is np.asarray:
        np.testing.assert_array_equal(cube.binnum, np.arange(S))
    else:
        assert cube.binnum is None
    blocks = list(cube.blocks(memory_mb=1e-5))
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.hstack([block.flux for block in blocks]), flux)


def test_linear_ngist_spectra_have_wavelengths_in_loglam(tmp_path, spectra):
    wave = 4800.0 + 1.25 * np.arange(L)
    path = write_ngist(tmp_path / "N_BinSpectra_linear.hdf5", *spectra, loglam=wave)
    np.testing.assert_array_equal(read_cube(path, medium="air").wave, wave)


def test_ngist_files_whose_name_does_not_tell_are_refused(tmp_path, spectra):
    path = write_ngist(tmp_path / "spectra.hdf5", *spectra)
    with pytest.raises(InputError, match=r"format='ngist-bins' or\s+format='ngist-all'"):
        read_cube(path, medium="air")


def test_ngist_files_do_not_say_their_medium(tmp_path, spectra):
    path = write_ngist(tmp_path / "N_BinSpectra.hdf5", *spectra)
    with pytest.raises(InputError, match=r"does not say whether .* give medium='air'"):
        read_cube(path)


def test_mixed_up_ngist_files_are_refused(tmp_path, spectra):
    flux, error = spectra
    with pytest.raises(InputError, match="transpose it"):
        read_cube(write_ngist(tmp_path / "A_BinSpectra.hdf5", flux.T, error.T), medium="air")
    with pytest.raises(InputError, match=r"ESPEC has shape \(9, 4\)"):
        read_cube(write_ngist(tmp_path / "B_BinSpectra.hdf5", flux, error[1:]), medium="air")
    path = write_ngist(tmp_path / "C_BinSpectra.hdf5", flux, error, loglam=np.arange(L) / 10)
    with pytest.raises(GridError, match="no logarithms of wavelengths"):
        read_cube(path, medium="air")


def write_old_ngist(path, spec, espec):
    columns = [
        fits.Column("SPEC", f"{L}D", array=spec),
        fits.Column("ESPEC", f"{L}D", array=espec),
    ]
    grid = [fits.Column("LOGLAM", "D", array=LN_WAVE)]
    tables = [
        fits.BinTableHDU.from_columns(columns, name="BIN_SPECTRA"),
        fits.BinTableHDU.from_columns(grid, name="LOGLAM"),
    ]
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(path)
    return path


def test_older_ngist_tables_are_read_back(tmp_path, spectra):
    flux, error = spectra
    cube = read_cube(write_old_ngist(tmp_path / "N_BinSpectra.fits", flux, error), medium="air")
    np.testing.assert_array_equal(cube.flux, flux)
    np.testing.assert_array_equal(cube.noise, error)
    cube = read_cube(write_old_ngist(tmp_path / "N_AllSpectra.fits", flux, error), medium="air")
    np.testing.assert_allclose(cube.noise, np.sqrt(error), rtol=1e-7)


# Plain arrays


def plain(spectra, **changes):
    flux, noise = spectra
    mask = np.ones((S, L), bool)
    mask[1, 2] = False
    arrays = {
        "flux": flux, "noise": noise, "mask": mask, "wave": np.exp(LN_WAVE),
        "x": np.linspace(-1, 1, S), "y": np.linspace(0, 1, S), "binnum": np.array([0, 1, -1, 2, 2]),
        "medium": "vacuum", "unit": "Jy",
    }  # fmt: skip
    return {key: value for key, value in (arrays | changes).items() if value is not None}


def write_plain(path, arrays):
    """The same arrays in a file of the kind that the name says."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for key, value in arrays.items():
                if isinstance(value, str):
                    file.attrs[key] = value
                else:
                    file[key] = value
    else:
        texts = {"medium": "MEDIUM", "unit": "BUNIT"}
        head = fits.Header({texts[key]: arrays[key] for key in texts if key in arrays})
        hdus = [fits.PrimaryHDU()]
        for key, value in arrays.items():
            if key not in texts:
                stored = value.astype(np.uint8) if value.dtype == bool else value
                hdus.append(fits.ImageHDU(stored, head if key == "flux" else None, name=key))
        fits.HDUList(hdus).writeto(path)
    return path


NAMES = ("c.npz", "c.h5", "c.fits")


@pytest.mark.parametrize("name", NAMES)
def test_plain_arrays_are_read_back(tmp_path, spectra, name):
    arrays = plain(spectra)
    arrays["flux"][4, 0], arrays["noise"][3, 8] = np.inf, 0.0
    cube = read_cube(write_plain(tmp_path / name, arrays))
    assert "plain" in cube.source
    for key in ("flux", "noise", "wave", "x", "y", "binnum"):
        np.testing.assert_array_equal(getattr(cube, key), arrays[key])
    np.testing.assert_array_equal(np.argwhere(~cube.mask), [[1, 2], [3, 8], [4, 0]])
    assert (cube.medium, cube.unit, cube.image_shape) == ("vacuum", "Jy", None)
    assert cube.binnum.dtype == np.int32
    blocks = list(cube.blocks(memory_mb=1e-5))
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.hstack([b.mask for b in blocks]), cube.mask)


@pytest.mark.parametrize("name", NAMES)
def test_flux_and_wavelengths_are_enough(tmp_path, spectra, name):
    flux, wave = spectra[0], np.exp(LN_WAVE)
    cube = read_cube(write_plain(tmp_path / name, {"flux": flux, "wave": wave}), medium="air")
    assert not cube.has_noise
    assert cube.mask.all()
    assert (cube.x, cube.y, cube.binnum, cube.unit) == (None, None, None, "")
    with pytest.raises(InputError, match="does not say whether"):
        read_cube(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"wave": None}, InputError, "(?i)lacks .*wave"),
        ({"wave": np.exp(LN_WAVE)[::-1].copy()}, GridError, "do not increase"),
        ({"wave": np.exp(LN_WAVE)[1:]}, InputError, r"wave has shape \(8,\)"),
        ({"flux": np.ones((L, S))}, InputError, r"transpose it|noise has shape"),
        ({"noise": np.ones((S, L - 1))}, InputError, r"noise has shape \(5, 8\)"),
        ({"mask": np.ones((S - 1, L), bool)}, InputError, r"mask has shape \(4, 9\)"),
        ({"x": None}, InputError, "one of x and y"),
        ({"x": np.ones(S - 1)}, InputError, r"x has shape \(4,\)"),
        ({"x": np.full(S, np.nan)}, InputError, "x is of type float64 and not all finite"),
        ({"binnum": np.full(S, -2)}, InputError, "binnum .* below -1"),
        ({"medium": "water"}, InputError, "states the medium 'water'"),
    ],
)  # fmt: skip
def test_impossible_plain_arrays_are_refused(tmp_path, spectra, name, changes, error, words):
    path = write_plain(tmp_path / name, plain(spectra, **changes))
    with pytest.raises(error, match=words):
        read_cube(path, "plain")


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_of_other_numbers_is_refused(tmp_path, spectra, name):
    path = write_plain(tmp_path / name, plain(spectra, mask=np.full((S, L), 2)))
    with pytest.raises(InputError, match="mask is of type int64 and holds other values"):
        _ = read_cube(path).mask


def test_texts_are_no_flux(tmp_path, spectra):
    np.savez(tmp_path / "c.npz", flux=np.full((S, L), "one"), wave=np.exp(LN_WAVE))
    with pytest.raises(InputError, match=r"flux has shape \(5, 9\) and type <U3"):
        read_cube(tmp_path / "c.npz", medium="air")


def test_a_plain_fits_cube_has_axes_of_its_own(tmp_path):
    rng = np.random.default_rng(4)
    flux = rng.random((L, 2, 3)).astype(np.float32)
    wave = 5000.0 + 2.0 * np.arange(L)
    head = fits.Header(
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1 / 3600, "CDELT2": 1 / 3600}
        | {"CRVAL3": 5000.0, "CDELT3": 2.0, "CUNIT3": "Angstrom", "CTYPE3": "WAVE"}
    )
    fits.PrimaryHDU(flux, head).writeto(tmp_path / "one.fits")
    one = read_cube(tmp_path / "one.fits")
    np.testing.assert_array_equal(one.flux, flux.reshape(L, -1).T)
    np.testing.assert_array_equal(one.wave, wave)
    assert (one.medium, one.image_shape, one.has_noise) == ("vacuum", (2, 3), False)

    mask = np.ones(flux.shape, np.uint8)
    mask[3, 1, 2] = 0
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(flux, head, name="FLUX")]
    hdus += [fits.ImageHDU(flux + 1, name="NOISE"), fits.ImageHDU(mask, name="MASK")]
    hdus += [fits.ImageHDU(wave + 0.5, name="WAVE")]
    fits.HDUList(hdus).writeto(tmp_path / "four.fits")
    four = read_cube(tmp_path / "four.fits")
    np.testing.assert_array_equal(four.wave, wave + 0.5)
    np.testing.assert_array_equal(four.noise, (flux + 1).reshape(L, -1).T)
    np.testing.assert_array_equal(np.argwhere(~four.mask), [[5, 3]])


def test_a_damaged_npz_or_hdf5_file_is_refused(tmp_path, spectra):
    for name in ("c.npz", "c.h5"):
        path = write_plain(tmp_path / name, plain(spectra))
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            _ = read_cube(path).flux
