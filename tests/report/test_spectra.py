import numpy as np
import pytest
from PIL import Image

from cubefit.errors import InputError
from cubefit.report import save_figure, spectrum_fits
from cubefit.report.spectra import residuals

N_PIXELS = 150


def inputs(n=2, **changes):
    random = np.random.default_rng(5)
    model = 2.0 + np.sin(np.arange(N_PIXELS) / 9.0) + np.arange(n)[:, None]
    noise = np.full((n, N_PIXELS), 0.05)
    used = np.ones((n, N_PIXELS), bool)
    used[0, 30:40] = False
    return {
        "ln_wave": np.linspace(np.log(4800.0), np.log(5400.0), N_PIXELS),
        "data": model + noise * random.normal(size=model.shape),
        "model": model,
        "noise": noise,
        "used": used,
        "titles": [f"Spaxel {s}" for s in range(n)],
    } | changes


def test_each_spaxel_has_a_spectrum_and_a_residual_on_one_axis():
    figure = spectrum_fits(**inputs(3))
    assert len(figure.axes) == 6
    for upper, lower in zip(figure.axes[::2], figure.axes[1::2], strict=True):
        assert [line.get_label() for line in upper.lines] == ["data", "model"]
        assert upper.lines[0].get_color() == "black"
        assert upper.get_xlim() == lower.get_xlim() == figure.axes[0].get_xlim()
        assert upper.get_ylabel() == "Flux density\n[data unit]"
    assert figure.axes[-1].get_xlabel() == "Wavelength [Å]"
    assert figure.axes[0].get_xlim() == pytest.approx((4798.0, 5402.0), abs=1.0)
    titles = [axes.get_title(loc="left") for axes in figure.axes[::2]]
    assert titles == ["Spaxel 0", "Spaxel 1", "Spaxel 2"]


def test_residuals_are_in_units_of_the_noise():
    figure = spectrum_fits(**inputs())
    assert r"$\sigma$" in figure.axes[1].get_ylabel()
    drawn = figure.axes[1].lines[1].get_ydata()
    assert np.nanstd(drawn) == pytest.approx(1.0, abs=0.2)
    assert np.isnan(drawn[30:40]).all()


def test_residuals_without_noise_are_in_percent():
    figure = spectrum_fits(**inputs(noise=None))
    assert "%" in figure.axes[1].get_ylabel()
    residual, unit = residuals(
        np.array([1.1, 0.0, 3.0]), np.array([1.0, 0.0, 2.0]), None, np.ones(3, bool)
    )
    np.testing.assert_allclose(residual, [10.0, np.nan, 50.0])
    assert unit == "%"


def test_unused_pixels_may_hold_anything(tmp_path):
    plain = spectrum_fits(**inputs())
    spoilt = inputs()
    spoilt["data"][0, 30:40] = [1e9, -1e9, np.nan, np.inf, -np.inf, 0, 0, 0, 0, 0]
    spoilt["noise"][0, 30:40] = [0.0, -1.0, np.nan, np.inf, 0, 0, 0, 0, 0, 0]
    figure = spectrum_fits(**spoilt)
    assert [axes.get_ylim() for axes in figure.axes] == [axes.get_ylim() for axes in plain.axes]
    assert len(figure.axes[0].patches) == len(figure.axes[1].patches) == 1
    assert not figure.axes[2].patches
    with Image.open(save_figure(figure, tmp_path / "fits.png")) as image:
        image.load()


def test_one_bad_pixel_does_not_flatten_the_residuals():
    spoilt = inputs()
    spoilt["data"][0, 100] += 1e4
    lower = spectrum_fits(**spoilt).axes[1]
    assert lower.get_ylim()[1] < 20.0
    assert [text.get_text() for text in lower.texts] == ["1 outside"]


def test_perfect_fit_and_empty_spaxel_draw(tmp_path):
    data = inputs()
    data["data"] = data["model"].copy()
    data["used"][1] = False
    save_figure(spectrum_fits(**data), tmp_path / "fits.png")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": np.ones((2, 3))}, "model has shape"),
        ({"noise": np.ones(N_PIXELS)}, "noise has shape"),
        ({"used": np.ones((1, N_PIXELS), bool)}, "used has shape"),
        ({"titles": ["one"]}, "data has shape"),
        ({"noise": np.zeros((2, N_PIXELS))}, "mark such pixels as unused"),
        ({"noise": np.full((2, N_PIXELS), np.nan)}, "mark such pixels as unused"),
    ],
)
def test_arrays_that_disagree_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        spectrum_fits(**inputs(**changes))


def test_no_spaxel_is_refused():
    with pytest.raises(InputError, match="no spaxel"):
        spectrum_fits(
            **{key: value[:0] for key, value in inputs().items() if key != "ln_wave"},
            ln_wave=inputs()["ln_wave"],
        )


def test_one_bad_pixel_does_not_flatten_the_spectra():
    spoilt = inputs()
    spoilt["data"][0, 100] += 1e4
    upper = spectrum_fits(**spoilt).axes[0]
    plain = spectrum_fits(**inputs()).axes[0]
    assert upper.get_ylim() == pytest.approx(plain.get_ylim(), abs=0.1)
    assert [text.get_text() for text in upper.texts] == ["1 outside"]


def test_lines_and_shades_are_named_outside_of_the_panels():
    figure = spectrum_fits(**inputs())
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["data", "model", "not used"]
    everything = inputs(used=np.ones((2, N_PIXELS), bool))
    (legend,) = spectrum_fits(**everything).legends
    assert [text.get_text() for text in legend.get_texts()] == ["data", "model"]


def test_spectra_fit_into_one_column():
    assert spectrum_fits(**inputs(), width_inch=3.4).get_size_inches()[0] == 3.4


def test_residuals_stay_inside_unless_they_are_extreme():
    data = inputs()
    data["data"][0] = data["model"][0] + 0.05 * np.sin(np.arange(N_PIXELS))
    data["data"][0, 100] = data["model"][0, 100] + 0.05 * 2.0  # of noise 1, as most
    lower = spectrum_fits(**data).axes[1]
    assert lower.get_ylim()[1] > 2.0
    assert not lower.texts
