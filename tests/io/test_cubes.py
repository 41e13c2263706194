"""Cubes as the surveys write them, written here with astropy, h5py and NumPy alone."""

import gzip
import shutil
import tracemalloc
from contextlib import suppress
from functools import partial

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cubefit.errors import ConfigError, CubeFitError, GridError, InputError
from cubefit.io.cubes import FORMATS, CubeBlock, read_cube

L, NY, NX = 12, 3, 4
WAVE = 4750.0 + 1.25 * np.arange(L)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def voxels(rng, dtype=np.float32, shape=(L, NY, NX)):
    flux = rng.normal(10.0, 3.0, shape).astype(dtype)
    sigma = rng.uniform(0.5, 2.0, shape).astype(dtype)
    return flux, sigma


def rows(cube):
    """From (L, ny, nx) to (nPix, L), the slow way."""
    n_wave, ny, nx = cube.shape
    return np.array([[cube[k, j, i] for k in range(n_wave)] for j in range(ny) for i in range(nx)])


def sky_cards(scale=(0.2, 0.3), **more):
    cards = {
        "CRPIX1": 2.0, "CRPIX2": 2.0, "CRVAL1": 150.0, "CRVAL2": 2.2,
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg",
        "CD1_1": -scale[0] / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale[1] / 3600,
    }  # fmt: skip
    return cards | more


def linear_cards(**more):
    cards = {"CRPIX3": 1.0, "CRVAL3": WAVE[0], "CD3_3": 1.25, "CUNIT3": "Angstrom"}
    return cards | {"CTYPE3": "AWAV"} | more


def header(**cards):
    made = fits.Header()
    for key, value in cards.items():
        if value is not None:
            made[key] = value
    return made


def write_muse(path, flux, variance=None, dq=None, primary=None, **cards):
    head = header(
        **(sky_cards() | linear_cards() | {"BUNIT": "10**(-20)*erg/s/cm**2/Angstrom"}),
    )
    for key, value in cards.items():
        if value is None:
            head.remove(key, ignore_missing=True)
        else:
            head[key] = value
    hdus = [fits.PrimaryHDU(header=header(INSTRUME="MUSE", **(primary or {})))]
    hdus.append(fits.ImageHDU(flux, head, name="DATA"))
    if variance is not None:
        hdus.append(fits.ImageHDU(variance, name="STAT"))
    if dq is not None:
        hdus.append(fits.ImageHDU(dq, name="DQ"))
    fits.HDUList(hdus).writeto(path)
    return path


# MUSE


def test_a_muse_cube_is_read_back(tmp_path, rng):
    flux, sigma = voxels(rng)
    flux[2, 1, 3] = np.nan
    variance = sigma**2
    variance[3, 0, 0], variance[4, 0, 1], variance[5, 0, 2] = 0.0, -1.0, np.nan
    variance[6, 1, 0] = np.inf
    dq = np.zeros(flux.shape, np.int32)
    dq[7, 2, 1] = 4
    path = write_muse(tmp_path / "c.fits", flux, variance, dq)
    good = np.ones(flux.shape, bool)
    for voxel in [(2, 1, 3), (3, 0, 0), (4, 0, 1), (5, 0, 2), (6, 1, 0), (7, 2, 1)]:
        good[voxel] = False

    cube = read_cube(path)
    assert "MUSE" in cube.source
    assert str(path) in cube.source
    np.testing.assert_array_equal(cube.wave, WAVE)
    np.testing.assert_allclose(
        cube.wave_edges, 4750.0 + 1.25 * (np.arange(L + 1) - 0.5), rtol=1e-15
    )
    assert (cube.medium, cube.image_shape, cube.has_noise) == ("air", (NY, NX), True)
    assert cube.unit == "10**(-20)*erg/s/cm**2/Angstrom"
    assert cube.fwhm is None
    assert cube.binnum is None
    np.testing.assert_array_equal(cube.flux, rows(flux))
    np.testing.assert_array_equal(cube.mask, rows(good))
    np.testing.assert_array_equal(cube.noise[rows(good)], np.sqrt(rows(variance)[rows(good)]))
    for array, dtype in ((cube.flux, np.float32), (cube.noise, np.float32), (cube.mask, bool)):
        assert array.dtype == dtype
        assert array.shape == (NY * NX, L)


def test_positions_are_arcsec_along_the_axes_from_the_centre(tmp_path, rng):
    cube = read_cube(write_muse(tmp_path / "c.fits", *voxels(rng)))
    for pixel in range(NY * NX):
        row, column = divmod(pixel, NX)
        assert cube.x[pixel] == pytest.approx(0.2 * (column - 1.5), abs=1e-12)
        assert cube.y[pixel] == pytest.approx(0.3 * (row - 1.0), abs=1e-12)


@given(angle=st.floats(0, 360), scale=st.floats(0.02, 2.0), with_pc=st.booleans())
@settings(max_examples=20)
def test_the_scale_is_free_of_the_position_angle(tmp_path_factory, angle, scale, with_pc):
    path = tmp_path_factory.mktemp("c") / "c.fits"
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    step = scale / 3600
    if with_pc:
        cards = {f"CD{i}_{j}": None for i in (1, 2) for j in (1, 2)}
        cards |= {"PC1_1": c, "PC1_2": -s, "PC2_1": s, "PC2_2": c, "CD3_3": None, "CDELT3": 1.25}
        cards |= {"CDELT1": -step, "CDELT2": step}
    else:
        cards = {"CD1_1": -c * step, "CD1_2": s * step, "CD2_1": s * step, "CD2_2": c * step}
    cube = read_cube(write_muse(path, *voxels(np.random.default_rng(1)), **cards))
    assert np.ptp(cube.x) == pytest.approx(scale * (NX - 1))
    assert np.ptp(cube.y) == pytest.approx(scale * (NY - 1))


def test_the_celestial_header_is_that_of_the_file(tmp_path, rng):
    path = write_muse(tmp_path / "c.fits", *voxels(rng))
    wcs = WCS(fits.Header.fromstring(read_cube(path).wcs))
    expected = WCS(fits.getheader(path, "DATA")).celestial
    assert wcs.naxis == 2
    for pixel in [(0.0, 0.0), (3.0, 2.0)]:
        np.testing.assert_allclose(
            wcs.all_pix2world(*pixel, 0), expected.all_pix2world(*pixel, 0), rtol=1e-13
        )


def test_a_cube_without_celestial_axes_needs_a_pixel_scale(tmp_path, rng):
    cards = dict.fromkeys(sky_cards())
    path = write_muse(tmp_path / "c.fits", *voxels(rng), **cards)
    with pytest.raises(InputError, match=r"c\.fits HDU 1 states no pixel scale.*pixel_scale="):
        read_cube(path)
    cube = read_cube(path, pixel_scale=0.5)
    assert cube.wcs is None
    assert np.ptp(cube.x) == 0.5 * (NX - 1)
    with pytest.raises(ConfigError, match="must be positive"):
        read_cube(path, pixel_scale=-1.0)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("m", 1e-10), ("nm", 0.1), ("um", 1e-4), ("Angstrom", 1.0), ("angstrom", 1.0), (None, 1.0)],
)
def test_wavelengths_come_in_angstrom(tmp_path, rng, unit, factor):
    cards = {"CUNIT3": unit, "CRVAL3": 4756.25 * factor, "CD3_3": 1.25 * factor, "CRPIX3": 6.0}
    cube = read_cube(write_muse(tmp_path / "c.fits", *voxels(rng), **cards))
    np.testing.assert_allclose(cube.wave, WAVE, rtol=1e-13)


def test_cdelt_serves_where_there_is_no_cd(tmp_path, rng):
    cards = {"CD3_3": None, "CDELT3": 1.25}
    cube = read_cube(write_muse(tmp_path / "c.fits", *voxels(rng), **cards))
    np.testing.assert_array_equal(cube.wave, WAVE)


def test_a_logarithmic_axis_follows_the_standard(tmp_path, rng):
    """FITS paper III: lambda = lambda_r exp((p - p_r) step / lambda_r)."""
    cards = {"CTYPE3": "AWAV-LOG", "CRPIX3": 3.0}
    cube = read_cube(write_muse(tmp_path / "c.fits", *voxels(rng), **cards))
    expected = 4750.0 * np.exp((np.arange(1, L + 1) - 3.0) * 1.25 / 4750.0)
    np.testing.assert_allclose(cube.wave, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("ctype", "given", "medium"),
    [
        ("AWAV", None, "air"), ("WAVE", None, "vacuum"), ("LINEAR", None, "air"),
        (None, None, "air"), ("AWAV", "vacuum", "vacuum"), ("WAVELENGTH", None, "air"),
    ],
)  # fmt: skip
def test_the_medium_of_muse(tmp_path, rng, ctype, given, medium):
    path = write_muse(tmp_path / "c.fits", *voxels(rng), CTYPE3=ctype)
    assert read_cube(path, medium=given).medium == medium


@pytest.mark.parametrize(
    ("cards", "error", "words"),
    [
        ({"CD3_3": -1.25}, GridError, "HDU 1: the third axis has a step of -1.25"),
        ({"CRVAL3": None}, InputError, "CRVAL3 = None is no number"),
        ({"CRVAL3": "blue"}, InputError, "CRVAL3 = 'blue' is no number"),
        ({"CD3_3": None}, InputError, "CDELT3 = None is no number"),
        ({"CD3_3": True}, InputError, "CD3_3 = True is no number"),
        ({"CUNIT3": "Hz"}, InputError, "CUNIT3 = 'Hz'"),
        ({"CUNIT3": None, "CRVAL3": 0.475, "CD3_3": 1e-4}, InputError, "no unit of wavelength"),
        ({"CTYPE3": "FREQ"}, InputError, "CTYPE3 = FREQ is no wavelength"),
        ({"CD1_3": 0.1}, InputError, "CD1_3 mix wavelength and position"),
        ({"CRVAL3": -10.0}, GridError, "do not increase throughout from above zero"),
    ],
)
def test_impossible_wavelength_axes_are_refused(tmp_path, rng, cards, error, words):
    path = write_muse(tmp_path / "c.fits", *voxels(rng), **cards)
    with pytest.raises(error, match=words):
        read_cube(path)


def test_scaled_integers_are_unscaled(tmp_path, rng):
    flux, sigma = voxels(rng)
    path = tmp_path / "c.fits"
    data = fits.ImageHDU(flux.copy(), header(**(sky_cards() | linear_cards())), name="DATA")
    data.scale("int16", bscale=0.001, bzero=10.0)
    stat = fits.ImageHDU(sigma**2, name="STAT")
    fits.HDUList([fits.PrimaryHDU(), data, stat]).writeto(path)
    assert fits.getheader(path, 1)["BITPIX"] == 16
    cube = read_cube(path)
    np.testing.assert_allclose(cube.flux, rows(flux), atol=0.0006)
    np.testing.assert_array_equal(cube.flux, rows(fits.getdata(path, 1)))


def test_float64_comes_as_float32_and_what_it_cannot_hold_is_masked(tmp_path, rng):
    flux, sigma = voxels(rng, np.float64)
    flux[0, 0, 0], sigma[1, 0, 0] = 1e60, 1e-60
    cube = read_cube(write_muse(tmp_path / "c.fits", flux, sigma**2))
    np.testing.assert_array_equal(cube.flux[1:], rows(flux)[1:].astype(np.float32))
    np.testing.assert_array_equal(np.argwhere(~cube.mask), [[0, 0], [0, 1]])


def test_gzipped_files_are_read_likewise(tmp_path, rng):
    flux, sigma = voxels(rng)
    path = write_muse(tmp_path / "c.fits", flux, sigma**2)
    zipped = tmp_path / "c.fits.gz"
    with path.open("rb") as plain, gzip.open(zipped, "wb") as packed:
        shutil.copyfileobj(plain, packed)
    cube = read_cube(zipped)
    for _ in range(2):
        np.testing.assert_array_equal(cube.flux, rows(flux))
        blocks = list(cube.blocks(memory_mb=0.001))
        assert len(blocks) > 1
        np.testing.assert_array_equal(np.hstack([b.flux for b in blocks]), rows(flux))


@pytest.mark.parametrize("part", [0.5, 0.999])
def test_gzipped_files_that_are_cut_short_are_refused(tmp_path, rng, part):
    flux, sigma = voxels(rng)
    packed = gzip.compress(write_muse(tmp_path / "c.fits", flux, sigma**2).read_bytes())
    zipped = tmp_path / "c.fits.gz"
    zipped.write_bytes(packed[: int(part * len(packed))])
    with pytest.raises(InputError, match="cut short or damaged"):
        read_cube(zipped)


def test_tile_compressed_files_are_read_likewise(tmp_path, rng):
    flux, sigma = voxels(rng)
    head = header(**(sky_cards() | linear_cards()))
    data = fits.CompImageHDU(flux, head, name="DATA", compression_type="GZIP_1", quantize_level=0)
    stat = fits.ImageHDU(sigma**2, name="STAT")
    fits.HDUList([fits.PrimaryHDU(), data, stat]).writeto(tmp_path / "c.fits")
    np.testing.assert_array_equal(read_cube(tmp_path / "c.fits").flux, rows(flux))


def tile_compressed(path, rng):
    flux, _ = voxels(rng, shape=(L, 20, 20))
    head = header(**(sky_cards() | linear_cards()))
    data = fits.CompImageHDU(flux, head, name="DATA", compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), data]).writeto(path)
    return path


def test_tile_compressed_files_that_are_damaged_are_refused(tmp_path, rng):
    path = tile_compressed(tmp_path / "c.fits.fz", rng)
    whole = path.read_bytes()
    with fits.open(path, disable_image_compression=True) as file:
        table = file[1].fileinfo()["datLoc"]
        heap = table + file[1].header["NAXIS1"] * file[1].header["NAXIS2"]
        end = heap + file[1].header["PCOUNT"]
    path.write_bytes(whole[:heap] + b"\xff" * (end - heap) + whole[end:])
    with pytest.raises(InputError, match=r"cannot be read as FITS \(decompression error"):
        list(read_cube(path).blocks())


def test_a_length_in_words_is_refused(tmp_path, rng):
    path = tile_compressed(tmp_path / "c.fits.fz", rng)
    whole = path.read_bytes()
    card = b"ZNAXIS3 =                   12"
    assert card in whole
    path.write_bytes(whole.replace(card, b"ZNAXIS3 = '12      '          "))
    with pytest.raises(InputError, match="cannot be read as FITS"):
        read_cube(path)


def test_a_cube_without_noise_says_so(tmp_path, rng):
    flux, _ = voxels(rng)
    flux[1, 1, 1] = np.nan
    cube = read_cube(write_muse(tmp_path / "c.fits", flux))
    assert not cube.has_noise
    np.testing.assert_array_equal(cube.mask, rows(np.isfinite(flux)))
    (block,) = cube.blocks()
    assert np.isnan(block.noise).all()
    with pytest.raises(InputError, match="states no noise"):
        _ = cube.noise


def test_a_muse_cube_in_the_first_hdu(tmp_path, rng):
    flux, _ = voxels(rng)
    cards = sky_cards() | linear_cards() | {"INSTRUME": "MUSE"}
    fits.PrimaryHDU(flux, header(**cards)).writeto(tmp_path / "c.fits")
    cube = read_cube(tmp_path / "c.fits")
    assert "MUSE" in cube.source
    np.testing.assert_array_equal(cube.flux, rows(flux))


def test_two_cubes_without_names_are_no_muse_cube(tmp_path, rng):
    flux, sigma = voxels(rng)
    head = header(**(sky_cards() | linear_cards()))
    hdus = [fits.PrimaryHDU(flux, head), fits.ImageHDU(sigma**2)]
    fits.HDUList(hdus).writeto(tmp_path / "c.fits")
    with pytest.raises(InputError, match="no HDU DATA, and 2 other cubes"):
        read_cube(tmp_path / "c.fits", "muse")


def test_shapes_that_disagree_are_refused(tmp_path, rng):
    flux, sigma = voxels(rng)
    path = write_muse(tmp_path / "c.fits", flux, sigma[:-1] ** 2)
    with pytest.raises(InputError, match=r"HDU 2 STAT has shape \(11, 3, 4\).*\(12, 3, 4\)"):
        read_cube(path)


def test_the_same_name_twice_is_refused(tmp_path, rng):
    path = write_muse(tmp_path / "c.fits", *voxels(rng))
    fits.append(path, np.zeros((L, NY, NX)), fits.Header({"EXTNAME": "STAT"}))
    with pytest.raises(InputError, match="2 HDUs named STAT"):
        read_cube(path)


@pytest.mark.parametrize("left", [0.3, 0.6, 0.9])
def test_files_cut_short_are_refused(tmp_path, rng, left):
    path = write_muse(tmp_path / "c.fits", *voxels(rng, shape=(L, 30, 40)))
    with path.open("r+b") as stream:
        stream.truncate(int(left * path.stat().st_size))
    with pytest.raises(InputError, match=r"c\.fits cannot be read as FITS|lacks the HDU|no format"):
        _ = read_cube(path).noise


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60)
@example(seed=971240633)
@example(seed=4102)
def test_a_damaged_file_is_read_or_refused_clearly(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("damaged") / "c.fits"
    write_muse(path, *voxels(rng))
    content = bytearray(path.read_bytes())
    for at in rng.integers(0, len(content), 4):
        content[at] = rng.integers(32, 127)
    path.write_bytes(content)
    with suppress(CubeFitError):
        for block in read_cube(path).blocks():
            assert block.flux.dtype == np.float32


def test_a_file_that_changed_meanwhile_is_refused(tmp_path, rng):
    cube = read_cube(write_muse(tmp_path / "c.fits", *voxels(rng)))
    (tmp_path / "c.fits").write_bytes(b"SIMPLE  = nothing")
    with pytest.raises(InputError, match="cannot be read as FITS"):
        _ = cube.flux


# Blocks


def test_blocks_join_to_the_cube(tmp_path, rng):
    flux, sigma = voxels(rng)
    flux[4] = np.nan
    cube = read_cube(write_muse(tmp_path / "c.fits", flux, sigma**2))
    for memory_mb in (1e-6, 0.001, 0.002, 100.0):
        blocks = list(cube.blocks(memory_mb=memory_mb))
        at = np.concatenate([np.arange(b.wave.start, b.wave.stop) for b in blocks])
        np.testing.assert_array_equal(at, np.arange(L))
        for name in ("flux", "noise", "mask"):
            joined = np.hstack([getattr(block, name) for block in blocks])
            np.testing.assert_array_equal(joined, getattr(cube, name))


def test_blocks_are_views_of_contiguous_native_planes(tmp_path, rng):
    cube = read_cube(write_muse(tmp_path / "c.fits", *voxels(rng)))
    (block,) = cube.blocks()
    for name in ("flux", "noise", "mask"):
        array = getattr(block, name)
        assert array.flags.f_contiguous
        assert array.dtype.isnative


@given(edges=st.tuples(st.floats(4740, 4775), st.floats(4740, 4775)))
@settings(max_examples=30)
def test_trimming_and_ranges_agree_with_slicing(muse_once, edges):
    cube, (low, high) = muse_once, sorted(edges)
    inside = (cube.wave >= low) & (cube.wave <= high)
    if inside.sum() < 2:
        with pytest.raises(GridError, match="no two pixels"):
            cube.trimmed((low, high))
        return
    trimmed = cube.trimmed((low, high))
    np.testing.assert_array_equal(trimmed.wave, cube.wave[inside])
    for name in ("flux", "noise", "mask"):
        np.testing.assert_array_equal(getattr(trimmed, name), getattr(cube, name)[:, inside])
    blocks = list(cube.blocks(wave_range=(low, high), memory_mb=0.002))
    np.testing.assert_array_equal(np.hstack([b.flux for b in blocks]), trimmed.flux)
    assert [blocks[0].wave.start, blocks[-1].wave.stop] == [
        *np.flatnonzero(inside)[[0]],
        np.flatnonzero(inside)[-1] + 1,
    ]


@pytest.fixture(scope="module")
def muse_once(tmp_path_factory):
    path = tmp_path_factory.mktemp("muse") / "c.fits"
    return read_cube(write_muse(path, *voxels(np.random.default_rng(3))))


def test_trimming_twice_is_trimming_once(muse_once):
    twice = muse_once.trimmed((4752.0, 4763.0)).trimmed((4755.0, 4760.0))
    np.testing.assert_array_equal(twice.flux, muse_once.trimmed((4755.0, 4760.0)).flux)


def test_memory_must_be_positive(muse_once):
    with pytest.raises(ConfigError, match=r"memory_mb=0: must be positive"):
        muse_once.blocks(memory_mb=0)


def test_a_loop_may_end_early(muse_once):
    for block in muse_once.blocks(memory_mb=0.001):
        assert block.wave.start == 0
        break


def test_a_file_without_permission_is_refused(tmp_path, rng, monkeypatch):
    path = write_muse(tmp_path / "c.fits", *voxels(rng))

    def refuse(self, *_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(InputError, match=r"c\.fits cannot be read .*get read permission"):
        read_cube(path)


def test_a_large_cube_streams_in_little_memory(tmp_path, rng):
    flux, sigma = voxels(rng, shape=(600, 80, 100))
    path = write_muse(tmp_path / "c.fits", flux, sigma)
    size = path.stat().st_size
    assert size > 38e6
    del flux, sigma
    tracemalloc.start()
    try:
        cube = read_cube(path)
        total = sum(int(block.mask.sum()) for block in cube.blocks(memory_mb=5.0))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 600 * 80 * 100
    assert peak < 5.5e6


def test_a_block_refuses_arrays_that_do_not_fit():
    flux = np.zeros((3, 2), np.float32)
    with pytest.raises(InputError, match=r"CubeBlock.mask has shape \(2, 3\)"):
        CubeBlock(wave=slice(0, 2), flux=flux, noise=flux, mask=np.ones((2, 3), bool))
    with pytest.raises(InputError, match=r"CubeBlock.flux has shape \(3, 2\) for 3 wavelengths"):
        CubeBlock(wave=slice(0, 3), flux=flux, noise=flux, mask=flux > 0)


def test_a_cube_is_shown_in_one_line(muse_once):
    assert "12 spectra with 12 wavelengths (4750.0-4763.8 A in air)" in repr(muse_once)


# CALIFA


def write_califa(path, flux, error, bad=None, **cards):
    head = header(**(sky_cards((1.0, 1.0)) | linear_cards(CTYPE3=None) | cards))
    hdus = [fits.PrimaryHDU(flux, head), fits.ImageHDU(error, name="ERROR")]
    hdus.append(fits.ImageHDU(np.ones_like(flux), name="ERRWEIGHT"))
    if bad is not None:
        hdus.append(fits.ImageHDU(bad, name="BADPIX"))
    fits.HDUList(hdus).writeto(path)
    return path


def test_a_califa_cube_is_read_back(tmp_path, rng):
    flux, sigma = voxels(rng)
    bad = np.zeros(flux.shape, np.uint8)
    bad[3, 1, 2] = 1
    cube = read_cube(write_califa(tmp_path / "c.fits", flux, sigma, bad))
    assert "CALIFA" in cube.source
    np.testing.assert_array_equal(cube.flux, rows(flux))
    np.testing.assert_array_equal(cube.noise, rows(sigma))
    np.testing.assert_array_equal(cube.mask, rows(bad == 0))
    np.testing.assert_array_equal(cube.wave, WAVE)
    assert cube.medium == "air"
    assert np.ptp(cube.x) == pytest.approx(NX - 1)


def test_a_muse_cube_is_no_califa_cube(tmp_path, rng):
    path = write_muse(tmp_path / "c.fits", *voxels(rng))
    with pytest.raises(InputError, match=r"HDU 0 .* has shape of no image|lacks the HDU ERROR"):
        read_cube(path, "califa")


# MaNGA

VACUUM = 10 ** (3.5589 + 1e-4 * np.arange(L))


def write_manga(path, flux, ivar, mask, wave=VACUUM, lsf=None, lsf_name="LSFPOST", name=None):
    head = header(**sky_cards((0.5, 0.5)), BUNIT="1E-17 erg/s/cm^2/Ang/spaxel")
    names = {"MASKNAME": name} if name else {}
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(mask, fits.Header(names), name="MASK"),
        fits.ImageHDU(ivar, name="IVAR"),
        fits.ImageHDU(flux, head, name="FLUX"),
        fits.ImageHDU(wave, name="WAVE"),
    ]
    if lsf is not None:
        hdus.append(fits.ImageHDU(lsf, name=lsf_name))
    fits.HDUList(hdus).writeto(path)
    return path


def test_a_manga_cube_is_read_back(tmp_path, rng):
    flux, sigma = voxels(rng)
    ivar = 1.0 / sigma**2
    ivar[0, 0, 0] = 0.0
    mask = np.zeros(flux.shape, np.int32)
    mask[1, 0, 0], mask[2, 0, 0], mask[3, 0, 0] = 1 << 10, (1 << 10) | 3, 1 << 3
    cube = read_cube(write_manga(tmp_path / "c.fits", flux, ivar, mask))
    assert "MaNGA" in cube.source
    np.testing.assert_array_equal(cube.wave, VACUUM)
    assert cube.medium == "vacuum"
    assert cube.unit == "1E-17 erg/s/cm^2/Ang/spaxel"
    np.testing.assert_array_equal(cube.flux, rows(flux))
    np.testing.assert_allclose(cube.noise[:, 1:], rows(sigma)[:, 1:], rtol=1e-6)
    np.testing.assert_array_equal(np.argwhere(~cube.mask), [[0, 0], [0, 1], [0, 2]])
    assert cube.fwhm is None


def test_the_line_spread_of_manga(tmp_path, rng):
    flux, sigma = voxels(rng)
    lsf = np.broadcast_to(np.linspace(1.0, 2.0, L)[:, None, None], flux.shape).copy()
    lsf[:, 0, 0] = 0.0
    lsf[4] = 0.0
    mask = np.zeros(flux.shape, np.int32)
    cube = read_cube(write_manga(tmp_path / "c.fits", flux, sigma, mask, lsf=lsf))
    expected = 2.354820045 * np.linspace(1.0, 2.0, L)
    np.testing.assert_allclose(cube.fwhm, expected, rtol=1e-8)
    np.testing.assert_allclose(
        cube.trimmed((3625, 3630)).fwhm, expected[(VACUUM > 3625) & (VACUUM < 3630)]
    )
    nothing = write_manga(tmp_path / "d.fits", flux, sigma, mask, lsf=0 * lsf, lsf_name="LSFPRE")
    assert read_cube(nothing).fwhm is None


def test_manga_cubes_of_the_analysis_pipeline_are_refused(tmp_path, rng):
    flux, sigma = voxels(rng)
    mask = np.zeros(flux.shape, np.int32)
    path = write_manga(tmp_path / "c.fits", flux, sigma, mask, name="MANGA_DAPSPECMASK")
    with pytest.raises(InputError, match="flags MANGA_DAPSPECMASK"):
        read_cube(path)


def test_manga_wavelengths_must_fit_and_increase(tmp_path, rng):
    flux, sigma = voxels(rng)
    mask = np.zeros(flux.shape, np.int32)
    path = write_manga(tmp_path / "c.fits", flux, sigma, mask, wave=VACUUM[:-1])
    with pytest.raises(InputError, match="11 wavelengths for a flux of shape"):
        read_cube(path)
    path = write_manga(tmp_path / "d.fits", flux, sigma, mask, wave=VACUUM[::-1].copy())
    with pytest.raises(GridError, match="do not increase"):
        read_cube(path)
    path = write_manga(tmp_path / "e.fits", flux, sigma, mask.astype(np.float32))
    with pytest.raises(InputError, match="MASK holds no integers"):
        read_cube(path)


# What no format has


def test_formats_are_told_apart_by_content(tmp_path, rng):
    flux, sigma = voxels(rng)
    mask = np.zeros(flux.shape, np.int32)
    one_name = "cube.fits"
    for format_, write in {
        "MUSE": partial(write_muse, flux=flux, variance=sigma),
        "CALIFA": partial(write_califa, flux=flux, error=sigma),
        "MaNGA": partial(write_manga, flux=flux, ivar=sigma, mask=mask),
    }.items():
        folder = tmp_path / format_
        folder.mkdir()
        assert format_ in read_cube(write(folder / one_name)).source


def test_an_unknown_file_is_named_with_what_it_holds(tmp_path, rng):
    flux, sigma = voxels(rng)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(flux, name="SCI"), fits.ImageHDU(sigma, name="ERR")]
    fits.HDUList(hdus).writeto(tmp_path / "c.fits")
    with pytest.raises(InputError, match=r"no format .*HDU 1 SCI \(12, 3, 4\).*format="):
        read_cube(tmp_path / "c.fits")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["DataCube"] = np.zeros((3, 4))
    with pytest.raises(InputError, match=r"no format .*DataCube \(3, 4\)"):
        read_cube(tmp_path / "c.h5")


def test_other_files_and_formats_are_refused(tmp_path):
    (tmp_path / "c.fits").write_text("no cube")
    with pytest.raises(InputError, match="no FITS, HDF5 or npz file"):
        read_cube(tmp_path / "c.fits")
    with pytest.raises(InputError, match="is no file"):
        read_cube(tmp_path / "none.fits")
    with pytest.raises(ConfigError, match="format='mus'"):
        read_cube(tmp_path / "c.fits", "mus")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_refuses_a_foreign_file_clearly(tmp_path, name):
    fits.PrimaryHDU(np.zeros(3)).writeto(tmp_path / "x_BinSpectra.fits")
    with pytest.raises(InputError, match=r"x_BinSpectra\.fits"):
        read_cube(tmp_path / "x_BinSpectra.fits", name, medium="air")


@pytest.mark.parametrize("medium", ["vacuo", ""])
def test_an_impossible_medium_is_refused(tmp_path, rng, medium):
    path = write_muse(tmp_path / "c.fits", *voxels(rng))
    with pytest.raises(ConfigError, match="must be 'air' or 'vacuum'"):
        read_cube(path, medium=medium)
