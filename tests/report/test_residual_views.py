import numpy as np
import pytest

from cubefit.errors import InputError
from cubefit.report import residual_spectrum, save_figure
from cubefit.spectra.grids import edges_of

LN_WAVE = np.linspace(np.log(4800.0), np.log(5400.0), 90)
RESIDUAL = np.random.default_rng(2).normal(size=(30, 90))


def draw(**changes):
    return residual_spectrum(
        **{"ln_wave": LN_WAVE, "residual": RESIDUAL, "unit": "%", "expected": None} | changes
    )


def test_every_voxel_stands_at_its_wavelength():
    image, profile, bar = draw().axes
    drawn = image.images[0]
    np.testing.assert_array_equal(drawn.get_array(), RESIDUAL)
    assert image.get_xlim() == profile.get_xlim()
    assert image.get_xlim() == pytest.approx(np.exp(edges_of(LN_WAVE)[[0, -1]]))
    assert drawn.norm.vmin == -drawn.norm.vmax
    assert image.get_ylabel() == "Spaxel"
    assert profile.get_xlabel() == "Wavelength [Å]"
    assert bar.get_xlabel() == profile.get_ylabel() == "Data - model [%]"


def test_median_and_spread_are_those_of_the_spaxels():
    profile = draw().axes[1]
    (median,) = (line for line in profile.lines if line.get_label() == "median")
    np.testing.assert_allclose(median.get_ydata(), np.median(RESIDUAL, axis=0))
    band = profile.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(np.percentile(RESIDUAL, 84.0, axis=0).max())
    assert band[:, 1].min() == pytest.approx(np.percentile(RESIDUAL, 16.0, axis=0).min())


def test_noise_is_shown_where_it_is_known():
    named = [line.get_label() for line in draw(unit=r"$\sigma$", expected=1.0).axes[1].lines]
    assert "noise" in named
    assert "noise" not in [line.get_label() for line in draw().axes[1].lines]


def test_masked_voxels_are_empty_and_masked_pixels_shaded(tmp_path):
    masked = RESIDUAL.copy()
    masked[:, 40:50] = np.nan
    masked[7] = np.nan
    figure = draw(residual=masked)
    image, profile, _ = figure.axes
    hidden = np.ma.getmaskarray(image.images[0].get_array())
    np.testing.assert_array_equal(hidden, np.isnan(masked))
    (shade,) = (patch for patch in profile.patches)
    edges = np.exp(edges_of(LN_WAVE))
    assert (shade.get_x(), shade.get_width()) == pytest.approx((edges[40], edges[50] - edges[40]))
    save_figure(figure, tmp_path / "residuals.png")


def test_one_bad_voxel_flattens_nothing():
    spoilt = RESIDUAL.copy()
    spoilt[3, 3] = 1e6
    image, profile, _ = draw(residual=spoilt).axes
    assert image.images[0].norm.vmax < 10.0
    assert profile.get_ylim()[1] < 10.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"residual": RESIDUAL[:, :5]}, "residual has shape"),
        ({"residual": np.full((3, 90), np.nan)}, "nothing to draw"),
    ],
)
def test_impossible_residuals_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        draw(**changes)
