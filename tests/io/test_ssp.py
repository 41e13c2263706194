import importlib.util
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import ConfigError, DependencyError, GridError, InputError
from cubefit.io.ssp import (
    SSPLibrary,
    bundled_miles_folder,
    log_rebin_linear,
    read_miles_folder,
    vacuum_to_air,
)
from cubefit.spectra.grids import edges_of

RANGE = (math.log(4800.0), math.log(5300.0))
DLN = 2e-4


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
    return read_miles_folder(folder, **({"ln_wave_range": RANGE, "dln": DLN} | options))


# --- log rebinning ---------------------------------------------------------------------------


@given(
    widths=st.lists(st.floats(0.5, 2.0), min_size=1, max_size=60),
    n_target=st.integers(1, 80),
    seed=st.integers(0, 2**32 - 1),
)
def test_log_rebinning_conserves_flux(widths, n_target, seed):
    source = 4000.0 + np.concatenate([[0.0], np.cumsum(widths)])
    flux = np.random.default_rng(seed).random((len(widths), 3))
    ln_edges = np.linspace(math.log(source[0]), math.log(source[-1]), n_target + 1)
    rebinned = log_rebin_linear(flux, source, ln_edges)
    assert rebinned.shape == (n_target, 3)
    np.testing.assert_allclose(
        np.diff(np.exp(ln_edges)) @ rebinned, np.diff(source) @ flux, rtol=1e-9
    )


@given(cut=st.integers(1, 49), seed=st.integers(0, 2**32 - 1))
def test_flux_is_conserved_between_any_two_source_edges(cut, seed):
    source = np.linspace(5000.0, 5045.0, 51)
    flux = np.random.default_rng(seed).random(50)
    ln_edges = np.log([source[0], source[cut], source[-1]])
    rebinned = log_rebin_linear(flux, source, ln_edges)
    np.testing.assert_allclose(rebinned, [flux[:cut].mean(), flux[cut:].mean()], rtol=1e-9)


@given(slope=st.floats(-1e-3, 1e-3), level=st.floats(0.5, 10.0))
def test_log_rebinning_averages_a_straight_spectrum_exactly(slope, level):
    source = np.linspace(4500.0, 4600.0, 112)
    flux = level + slope * (0.5 * (source[1:] + source[:-1]) - 4500.0)
    ln_edges = np.linspace(math.log(4501.0), math.log(4599.0), 200)
    centres = 0.5 * (np.exp(ln_edges[1:]) + np.exp(ln_edges[:-1]))
    expected = level + slope * (centres - 4500.0)
    np.testing.assert_allclose(log_rebin_linear(flux, source, ln_edges), expected, rtol=1e-9)


def test_log_rebinning_is_accurate_on_finer_pixels():
    source = 4700.0 + 0.9 * np.arange(801)
    ln_edges = np.linspace(math.log(4720.0), math.log(5400.0), 1500)

    def average(edges):  # of 2 + sin(wave / 3), a line as narrow as MILES can hold
        return 2.0 - 3.0 * np.diff(np.cos(edges / 3.0)) / np.diff(edges)

    rebinned = log_rebin_linear(average(source), source, ln_edges)
    np.testing.assert_allclose(rebinned, average(np.exp(ln_edges)), atol=2e-4)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (np.linspace(4000, 4100, 11), np.log([3999.0, 4050.0]), "cover 4000.00-4100.00"),
        (np.linspace(4000, 4100, 11), np.log([4050.0, 4101.0]), "needs 4050.00-4101.00"),
        (np.linspace(4100, 4000, 11), np.log([4010.0, 4050.0]), "wave_edges"),
        (np.linspace(4000, 4100, 11), np.log([4050.0, 4050.0]), "ln_edges"),
        (np.linspace(4000, 4100, 12), np.log([4010.0, 4050.0]), "one edge more"),
    ],
)
def test_log_rebinning_refuses_grids_that_do_not_fit(source, target, message):
    with pytest.raises(GridError, match=message):
        log_rebin_linear(np.ones(10), source, target)


def test_vacuum_to_air_agrees_with_known_lines():
    # H-beta and H-alpha as in the NIST tables.
    np.testing.assert_allclose(vacuum_to_air([4862.683, 6564.614]), [4861.325, 6562.801], atol=2e-3)
    with pytest.raises(InputError, match="2000"):
        vacuum_to_air([1500.0])


# --- the bundled E-MILES spectra -------------------------------------------------------------


def test_bundled_folder_reads_as_a_complete_grid():
    library = read(bundled_miles_folder())
    assert library.templates.shape == (library.ln_wave.size, 6, 25, 1)
    assert library.templates.dtype == np.float64
    np.testing.assert_array_equal(library.metals, [-1.71, -1.31, -0.71, -0.40, 0.0, 0.22])
    assert library.ages[[0, -1]].tolist() == [0.0631, 15.8489]
    assert library.alphas.tolist() == [0.0]
    assert (library.medium, library.fwhm_angstrom) == ("air", 2.51)
    assert library.source.startswith("E-MILES un1.30 Padova+00 (150 files")
    assert (library.templates > 0).all()


def test_bundled_spectra_keep_flux_and_order():
    library = read(bundled_miles_folder())
    with fits.open(
        bundled_miles_folder() / "Eun1.30Zm0.71T01.0000_iPp0.00_baseFe_linear_FWHM_variable.fits"
    ) as hdus:
        wave = hdus[0].header["CRVAL1"] + hdus[0].header["CDELT1"] * np.arange(hdus[0].shape[0])
        flux = hdus[0].data.astype(np.float64)
    edges = np.exp(edges_of(library.ln_wave))
    inside = (wave > edges[0]) & (wave < edges[-1])
    spectrum = library.templates[:, 2, library.ages.tolist().index(1.0), 0]
    mean = np.average(spectrum, weights=np.diff(edges))
    assert mean == pytest.approx(flux[inside].mean(), rel=2e-3)
    np.testing.assert_allclose(
        spectrum, np.interp(np.exp(library.ln_wave), wave, flux), atol=0.03 * mean
    )


def test_spectra_do_not_depend_on_the_range_asked_for():
    wide = read(bundled_miles_folder())
    narrow = read(bundled_miles_folder(), ln_wave_range=tuple(wide.ln_wave[[50, -50]]))
    np.testing.assert_allclose(narrow.templates, wide.templates[50:-49], rtol=1e-8)


def test_resolution_is_not_claimed_where_it_varies():
    library = read(bundled_miles_folder(), ln_wave_range=(math.log(3300), math.log(3400)))
    assert library.fwhm_angstrom is None


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


def test_grid_starts_at_the_range_and_ends_inside_it(folder):
    library = read(folder)
    assert library.ln_wave[0] == RANGE[0]
    assert RANGE[1] - DLN < library.ln_wave[-1] <= RANGE[1] + 1e-6 * DLN
    again = read(folder, ln_wave_range=(library.ln_wave[0], library.ln_wave[-1]))
    np.testing.assert_array_equal(again.ln_wave, library.ln_wave)


def test_vacuum_shifts_to_the_red(folder):
    air, vacuum = read(folder), read(folder, medium="vacuum")
    assert vacuum.medium == "vacuum"
    at_air = np.log(vacuum_to_air(np.exp(vacuum.ln_wave)))[5:]  # by 1.4 pixels
    np.testing.assert_allclose(
        vacuum.templates[5:, 0, 0, 0],
        np.interp(at_air, air.ln_wave, air.templates[:, 0, 0, 0]),
        rtol=1e-4,
    )


def test_alpha_axis_from_names(tmp_path):
    for tail, flux in (("_iTp0.00_Ep0.00", 1.0), ("_iTp0.40_Ep0.40", 2.0)):
        write_spectrum(
            tmp_path / name("p0.06", "10.0000", tail=tail, letters="Mbi1.30"), np.full(800, flux)
        )
    library = read(tmp_path)
    assert library.alphas.tolist() == [0.0, 0.4]
    np.testing.assert_allclose(library.templates[:, 0, 0], [[1.0, 2.0]] * library.ln_wave.size)
    assert library.source.startswith("MILES bi1.30 BaSTI (2 files")


def test_plain_and_smoothed_names(tmp_path):
    write_spectrum(tmp_path / "Mun1.30Zm0.40T03.9811.fits")
    assert read(tmp_path).fwhm_angstrom == 2.51
    (tmp_path / "Mun1.30Zm0.40T03.9811.fits").rename(
        tmp_path / "Mun1.30Zm0.40T03.9811_iPp0.00_baseFe_linear_FWHM_3.50.fits"
    )
    assert read(tmp_path).fwhm_angstrom == 3.5


def test_reference_pixel_is_respected(tmp_path):
    for place, first, reference in (("a", 4700.0, 1), ("b", 4709.0, 11)):
        (tmp_path / place).mkdir()
        write_spectrum(tmp_path / place / name(), CRVAL1=first, CRPIX1=reference)
    one, other = read(tmp_path / "a"), read(tmp_path / "b")
    np.testing.assert_allclose(other.templates, one.templates, rtol=1e-9)


def test_fluxes_outside_the_range_may_be_anything(tmp_path):
    flux = np.ones(800)
    flux[[0, -1]] = np.nan, -5.0
    write_spectrum(tmp_path / name(), flux)
    assert np.allclose(read(tmp_path).templates, 1.0)


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
    with pytest.raises(GridError, match=r"covers 4699\.\d-5419\.\d A, but the grid needs"):
        read(folder, ln_wave_range=(math.log(4600.0), RANGE[1]))
    with pytest.raises(GridError, match="narrow ln_wave_range"):
        read(folder, ln_wave_range=(math.log(9000.0), math.log(9100.0)))


@pytest.mark.parametrize(
    "options",
    [
        {"dln": 0.0},
        {"dln": math.nan},
        {"ln_wave_range": RANGE[::-1]},
        {"ln_wave_range": (RANGE[0], math.inf)},
        {"medium": "water"},
    ],
)
def test_impossible_settings_are_refused(folder, options):
    with pytest.raises(ConfigError):
        read(folder, **options)


def test_angstrom_range_is_recognised(folder):
    with pytest.raises(GridError, match="looks like Angstrom"):
        read(folder, ln_wave_range=(4800.0, 5300.0), dln=1.0)


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no \*\.fits"):
        read(tmp_path)


def test_library_refuses_arrays_that_disagree(folder):
    library = read(folder)
    with pytest.raises(InputError, match="order the axes"):
        replace(library, templates=np.moveaxis(library.templates, 0, -1))
    with pytest.raises(InputError, match="metals"):
        replace(library, metals=library.metals[::-1])
    with pytest.raises(GridError, match="looks like Angstrom"):
        replace(library, ln_wave=np.exp(library.ln_wave))
    with pytest.raises(ConfigError, match="medium"):
        replace(library, medium="water")


def test_the_fields_of_a_library(folder):
    library = read(Path(folder))
    assert isinstance(library, SSPLibrary)
    assert library.templates.shape == (library.ln_wave.size, 2, 2, 1)
    with pytest.raises(AttributeError):
        library.medium = "vacuum"
