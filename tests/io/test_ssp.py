import importlib.util

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import ConfigError, DependencyError, GridError, InputError
from cubefit.io.ssp import bundled_miles_folder, read_ssp
from cubefit.spectra.grids import SPEED_OF_LIGHT_KMS

RANGE = (4800.0, 5300.0)


def write_spectrum(path, flux=None, *, age=None, metal=None, **cards):
    wave = 4700.0 + 0.9 * np.arange(800)
    flux = 1.0 + 0.3 * np.sin(wave / 40.0) if flux is None else flux
    hdu = fits.PrimaryHDU(np.asarray(flux, np.float32))
    for key, value in ({"CRVAL1": 4700.0, "CDELT1": 0.9, "CRPIX1": 1} | cards).items():
        if value is not None:
            hdu.header[key] = value
    if age is not None:
        hdu.header["COMMENT"] = f"= '# Age (Gyr):           {age}'"
    if metal is not None:
        hdu.header["COMMENT"] = f"= '# [M/H]:               {metal}'"
    hdu.writeto(path)
    return path


def name(metal="m0.40", age="01.0000", *, tail="_iPp0.00_baseFe", letters="Eun1.30"):
    return f"{letters}Z{metal}T{age}{tail}.fits"


@pytest.fixture
def folder(tmp_path):
    """Two metallicities by two ages, without alpha."""
    for metal in ("m0.40", "p0.22"):
        for age in ("01.0000", "12.5893"):
            write_spectrum(tmp_path / name(metal, age))
    return tmp_path


def read(folder, **options):
    return read_ssp(folder, **({"wave_range": RANGE} | options))


# --- the bundled E-MILES spectra -------------------------------------------------------------


def test_bundled_folder_reads_as_a_complete_grid():
    library = read(bundled_miles_folder())
    assert library.templates.shape == (library.wave.size, 6, 25, 1)
    assert library.templates.dtype == np.float64
    np.testing.assert_array_equal(library.metals, [-1.71, -1.31, -0.71, -0.40, 0.0, 0.22])
    assert library.ages[[0, -1]].tolist() == [0.0631, 15.8489]
    assert library.alphas.tolist() == [0.0]
    assert (library.medium, library.fwhm, library.masses) == ("air", 2.51, None)
    assert library.source.startswith("E-MILES un1.30 Padova+00 (150 files")
    assert (library.templates > 0).all()


def test_bundled_spectra_are_those_of_the_files():
    library = read(bundled_miles_folder())
    with fits.open(
        bundled_miles_folder() / "Eun1.30Zm0.71T01.0000_iPp0.00_baseFe_linear_FWHM_variable.fits"
    ) as hdus:
        wave = hdus[0].header["CRVAL1"] + hdus[0].header["CDELT1"] * np.arange(hdus[0].shape[0])
        flux = hdus[0].data.astype(np.float64)
    start = np.searchsorted(wave, library.wave[0] - 0.1)
    kept = slice(start, start + library.wave.size)
    np.testing.assert_allclose(library.wave, wave[kept], rtol=1e-12)
    np.testing.assert_array_equal(
        library.templates[:, 2, library.ages.tolist().index(1.0), 0], flux[kept]
    )


def test_the_range_is_covered_with_a_guard_and_no_more():
    wide = read(bundled_miles_folder())
    step = wide.wave[1] - wide.wave[0]
    assert RANGE[0] - 22 * step < wide.wave[0] < RANGE[0] - 19 * step
    assert RANGE[1] + 19 * step < wide.wave[-1] < RANGE[1] + 22 * step


def test_resolution_of_emiles_follows_its_stars():
    assert read(bundled_miles_folder(), wave_range=(3300.0, 3400.0)).fwhm is None
    across = read(bundled_miles_folder(), wave_range=(8900.0, 9000.0))
    assert across.fwhm.shape == across.wave.shape
    assert (across.fwhm[across.wave < 8950.0] == 2.51).all()
    red = across.wave > 8951.0
    sigma_kms = across.fwhm[red] / 2.3548 / across.wave[red] * SPEED_OF_LIGHT_KMS
    assert sigma_kms == pytest.approx(60.0, rel=1e-4)


def test_missing_ppxf_names_the_mend(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match=r'pip install "cubefit\[demo\]"'):
        bundled_miles_folder()


def test_ppxf_without_spectra_names_the_mend(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_loader("ppxf", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(DependencyError, match=r'pip install "cubefit\[demo\]"'):
        bundled_miles_folder()


# --- any folder ------------------------------------------------------------------------------


def test_without_a_range_all_is_read(folder):
    library = read(folder, wave_range=None)
    np.testing.assert_allclose(library.wave, 4700.0 + 0.9 * np.arange(800), rtol=1e-15)
    written = np.float32(1.0 + 0.3 * np.sin(library.wave / 40.0))
    np.testing.assert_allclose(library.templates[:, 1, 0, 0], written, rtol=1e-6)


def test_medium_is_told_never_converted(folder):
    air, vacuum = read(folder), read(folder, medium="vacuum")
    assert (air.medium, vacuum.medium) == ("air", "vacuum")
    np.testing.assert_array_equal(air.wave, vacuum.wave)


def test_alpha_axis_from_names(tmp_path):
    for tail, flux in (("_iTp0.00_Ep0.00", 1.0), ("_iTp0.40_Ep0.40", 2.0)):
        write_spectrum(
            tmp_path / name("p0.06", "10.0000", tail=tail, letters="Mbi1.30"), np.full(800, flux)
        )
    library = read(tmp_path)
    assert library.alphas.tolist() == [0.0, 0.4]
    np.testing.assert_allclose(library.templates[:, 0, 0], [[1.0, 2.0]] * library.wave.size)
    assert library.source.startswith("MILES bi1.30 BaSTI (2 files")


def test_plain_and_smoothed_names(tmp_path):
    path = write_spectrum(tmp_path / "Mun1.30Zm0.40T03.9811.fits")
    assert read(tmp_path).fwhm == 2.51
    path = path.rename(tmp_path / "Mun1.30Zm0.40T03.9811_iPp0.00_baseFe_linear_FWHM_3.50.fits")
    assert read(tmp_path).fwhm == 3.5
    path.rename(tmp_path / "Mun1.30Zm0.40T03.9811_iPp0.00_baseFe_linear_Sigma_120.fits")
    library = read(tmp_path)
    np.testing.assert_allclose(library.fwhm, 2.35482 * 120.0 / 299792.458 * library.wave, rtol=1e-5)


def test_resolution_is_not_claimed_beyond_the_stars_of_miles(tmp_path):
    write_spectrum(tmp_path / name(letters="Mun1.30"), CRVAL1=3300.0)
    assert read(tmp_path, wave_range=None).fwhm is None


def test_reference_pixel_is_respected(tmp_path):
    for place, first, reference in (("a", 4700.0, 1), ("b", 4709.0, 11)):
        (tmp_path / place).mkdir()
        write_spectrum(tmp_path / place / name(), CRVAL1=first, CRPIX1=reference)
    one, other = read(tmp_path / "a"), read(tmp_path / "b")
    np.testing.assert_allclose(other.wave, one.wave, rtol=1e-12)
    np.testing.assert_array_equal(other.templates, one.templates)


def test_fluxes_outside_the_range_may_be_anything(tmp_path):
    flux = np.ones(800)
    flux[[0, -1]] = np.nan, -5.0
    write_spectrum(tmp_path / name(), flux)
    assert (read(tmp_path).templates == 1.0).all()
    with pytest.raises(InputError, match="choose a wave_range without them"):
        read(tmp_path, wave_range=None)


def test_missing_point_is_named(folder):
    (folder / name("m0.40", "12.5893")).unlink()
    with pytest.raises(InputError, match=r"lacks 1 of 4 .*M/H\]=-0.40, age 12.5893 Gyr"):
        read(folder)


@pytest.mark.parametrize(
    "stranger",
    ["notes.fits", name(tail="_iPp0.00_aFep04"), name(tail="_iPp0.00_baseFe_linear_z0.066")],
)
def test_foreign_names_are_refused(folder, stranger):
    write_spectrum(folder / stranger)
    with pytest.raises(InputError, match="not named as MILES"):
        read(folder)


@pytest.mark.parametrize(
    "other",
    [
        name(tail="_iTp0.00_baseFe"),
        name("p0.06", letters="Ebi1.30"),
        name("p0.06", letters="Mun1.30"),
        name(tail="_iPp0.00_Ep0.00"),
        name("p0.06", tail="_iPp0.00_baseFe_linear_FWHM_5.00"),
    ],
)
def test_mixed_sets_are_refused(folder, other):
    write_spectrum(folder / other)
    with pytest.raises(InputError, match="do not belong to one grid"):
        read(folder)


def test_signed_zero_is_one_metallicity(tmp_path):
    write_spectrum(tmp_path / name("m0.00"))
    write_spectrum(tmp_path / name("p0.00"))
    with pytest.raises(InputError, match="same point twice"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"age": "12.5893"}, r"named Age \(Gyr\) = 1, but its header says 12.5893"),
        ({"metal": "+0.22"}, r"named \[M/H\] = -0.4, but its header says 0.22"),
    ],
)
def test_mislabelled_file_is_refused(tmp_path, labels, message):
    write_spectrum(tmp_path / name(), **labels)
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_agreeing_labels_pass(tmp_path):
    write_spectrum(tmp_path / name(), age="01.0000", metal="-0.40")
    assert read(tmp_path).ages.tolist() == [1.0]


@pytest.mark.parametrize("kept", [0, 1000, 2880, 4000, 5900])
def test_truncated_file_is_refused(tmp_path, kept):
    path = write_spectrum(tmp_path / name())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"cannot be read as FITS .*download"):
        read(tmp_path)


@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_header_is_refused_or_harmless(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("damaged")
    path = write_spectrum(folder / name())
    content = bytearray(path.read_bytes())
    for where in random.integers(0, 80 * 6, 3):  # the cards that describe the data
        content[where] = random.integers(32, 127)
    path.write_bytes(content)
    try:
        library = read(folder)
    except InputError:
        return
    assert np.isfinite(library.templates).all()


def test_junk_is_refused(tmp_path):
    (tmp_path / name()).write_bytes(b"hello" * 2000)
    with pytest.raises(InputError, match="cannot be read as FITS"):
        read(tmp_path)


@pytest.mark.parametrize(
    "cards",
    [
        {"CRVAL1": None},
        {"CRPIX1": None},
        {"CDELT1": -0.9},
        {"CDELT1": 0.0},
        {"CRVAL1": "4700"},
        {"CRVAL1": True},
    ],
)
def test_unusable_axis_is_refused(tmp_path, cards):
    write_spectrum(tmp_path / name(), **cards)
    with pytest.raises(InputError, match="linear wavelength axis"):
        read(tmp_path)


def test_image_is_refused(tmp_path):
    write_spectrum(tmp_path / name(), np.ones((2, 800)))
    with pytest.raises(InputError, match=r"shape \(2, 800\)"):
        read(tmp_path)


def test_empty_primary_is_refused(tmp_path):
    fits.PrimaryHDU().writeto(tmp_path / name())
    with pytest.raises(InputError, match="linear wavelength axis"):
        read(tmp_path)


def test_other_sampling_is_refused(folder):
    (folder / name("p0.22", "12.5893")).unlink()
    write_spectrum(folder / name("p0.22", "12.5893"), np.ones(900))
    with pytest.raises(InputError, match="one sampling"):
        read(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_impossible_flux_is_refused(tmp_path, value):
    flux = np.ones(800)
    flux[300] = value
    write_spectrum(tmp_path / name(), flux)
    with pytest.raises(InputError, match="holds 1 negative, NaN or infinite"):
        read(tmp_path)


def test_range_beyond_the_files_is_refused(folder):
    with pytest.raises(GridError, match=r"covers 4699\.\d-5419\.\d A, but .* narrow the range"):
        read(folder, wave_range=(4600.0, RANGE[1]))
    with pytest.raises(GridError, match=r"9000\.0-9100\.0 A are needed"):
        read(folder, wave_range=(9000.0, 9100.0))
    with pytest.raises(GridError, match="lower first"):
        read(folder, wave_range=RANGE[::-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"medium": "water"}, "'air' or 'vacuum'"),
        ({"format": "fits"}, "'auto', 'miles', 'ppxf', 'npz'"),
        ({"axes": ("ages", "metals")}, "stand in their names"),
    ],
)
def test_impossible_settings_are_refused(folder, options, message):
    with pytest.raises(ConfigError, match=message):
        read(folder, **options)


def test_one_file_of_a_folder_is_refused(folder):
    with pytest.raises(InputError, match="give the folder"):
        read(folder / name())


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        read(tmp_path / "nowhere", format="miles")
    with pytest.raises(InputError, match="no file"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no \*\.fits"):
        read(tmp_path)
