import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubefit.errors import InputError
from cubefit.report import prefit_panels, save_figure
from cubefit.report.prefit import sampled_kernel, stacked
from cubefit.spectra.grids import edges_of, ln_shift, velocity_of_shift

N_PIXELS = 200
DLN = 1.3e-4


def inputs(**changes):
    random = np.random.default_rng(3)
    velocity = np.arange(-400.0, 401.0, 25.0)
    mask = np.ones((3, N_PIXELS), bool)
    mask[:, 50:60] = mask[:, -5:] = False
    return {
        "ln_wave": np.linspace(np.log(4800.0), np.log(5400.0), N_PIXELS),
        "spectra": 3e-3 * (1.0 + 0.1 * random.random((3, N_PIXELS))),
        "spectrum_labels": ["spaxel 0", "spaxel 7", "spaxel 9"],
        "mask": mask,
        "templates": 1.0 + random.random((2, N_PIXELS)),
        "template_labels": ["1 Gyr", "10 Gyr"],
        "velocity_kms": velocity,
        "losvds": np.exp(-0.5 * ((velocity - [[0.0], [80.0]]) / 120.0) ** 2),
        "losvd_labels": ["c=0", "c=1"],
        "dln_template": DLN,
        "models": 1e-5 * (1.0 + random.random((2, N_PIXELS))),
        "model_labels": ["s=0, c=0", "s=1, c=4"],
    } | changes


def panels(**changes):
    figure = prefit_panels(**inputs(**changes))
    return figure, dict(zip(("spectra", "templates", "losvds", "models"), figure.axes, strict=True))


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_axes_are_labelled_with_units():
    _, axes = panels()
    for name in ("spectra", "templates", "models"):
        assert axes[name].get_xlabel() == "Wavelength [Å]"
        assert axes[name].get_ylabel() == "Flux density / median + offset"
    assert axes["losvds"].get_xlabel() == "Velocity [km/s]"
    assert axes["losvds"].child_axes[0].get_xlabel() == "Offset [template pixels]"


def test_every_row_is_drawn_and_labelled():
    _, axes = panels()
    # Observed rows come twice, used pixels on top of all; LOSVDs have dots, and steps of their own.
    counts = {name: len(axes[name].lines) for name in axes}
    assert counts == {"spectra": 6, "templates": 2, "losvds": 2, "models": 2}
    assert len(axes["losvds"].patches) == 2
    assert texts(axes["models"]) == [
        f"s={s} (median {median:.3g})"
        for s, median in zip(
            ("0, c=0", "1, c=4"), np.median(inputs()["models"], axis=1), strict=True
        )
    ]
    legend = axes["losvds"].get_legend()
    assert [text.get_text()[:3] for text in legend.get_texts()] == ["c=0", "c=1"]


def test_masked_pixels_drive_no_limits():
    spectra = inputs()["spectra"]
    plain = panels(spectra=spectra)[1]["spectra"].get_ylim()
    spoilt = spectra.copy()
    spoilt[:, 52] = 1e9
    spoilt[1, 55] = -1e9
    spoilt[:, -1] = np.nan
    assert panels(spectra=spoilt)[1]["spectra"].get_ylim() == plain
    spoilt[0, 100] = 1.0
    assert panels(spectra=spoilt)[1]["spectra"].get_ylim()[1] > 100 * plain[1]


def test_masked_ranges_are_shaded():
    _, axes = panels()
    wave_edges = np.exp(edges_of(inputs()["ln_wave"]))
    shaded = [(patch.get_x(), patch.get_width()) for patch in axes["spectra"].patches]
    expected = [(50, 60), (N_PIXELS - 5, N_PIXELS)]
    np.testing.assert_allclose(
        shaded, [(wave_edges[a], wave_edges[b] - wave_edges[a]) for a, b in expected]
    )
    assert not axes["templates"].patches


def test_nan_and_dark_rows_are_tolerated(tmp_path):
    data = inputs()
    spectra, models, losvds = data["spectra"], data["models"], data["losvds"]
    spectra[0, 20:30] = np.nan
    spectra[1] = np.nan
    spectra[2] -= spectra[2].mean()
    models[1] = losvds[1] = 0.0
    figure, axes = panels(spectra=spectra, models=models, losvds=losvds)
    assert "spaxel 7 (median 0)" in texts(axes["spectra"])
    assert np.isfinite(axes["spectra"].get_ylim()).all()
    save_figure(figure, tmp_path / "prefit.png")


def test_nothing_used_still_draws(tmp_path):
    figure, _ = panels(mask=np.zeros((3, N_PIXELS), bool))
    save_figure(figure, tmp_path / "prefit.png")


def test_no_models_says_so():
    figure, axes = panels(models=np.empty((0, N_PIXELS)), model_labels=[])
    assert texts(axes["models"]) == ["no tiles built yet"]
    assert len(figure.axes) == 4


def test_many_rows_get_a_colour_scale_and_no_legend():
    losvds = np.tile(inputs()["losvds"][0], (12, 1))
    _, axes = panels(losvds=losvds, losvd_labels=[f"c={c}" for c in range(12)])
    assert not axes["losvds"].get_legend().get_texts()
    assert axes["losvds"].get_legend().get_title().get_text() == "c=0 to c=11"
    assert len({line.get_color() for line in axes["losvds"].lines}) == 12


@pytest.mark.parametrize(
    "changes",
    [
        {"spectra": np.ones((3, N_PIXELS + 1))},
        {"spectrum_labels": ["one"]},
        {"templates": np.ones(N_PIXELS)},
        {"losvds": np.ones((2, 5))},
        {"models": np.ones((1, N_PIXELS))},
        {"mask": np.ones(3, bool)},
    ],
)
def test_arrays_that_disagree_are_refused(changes):
    with pytest.raises(InputError, match=f"{next(iter(changes)).split('_')[0][:5]}.* has shape"):
        prefit_panels(**inputs(**changes))


@given(n_rows=st.integers(1, 6), spread=st.floats(1e-3, 50.0), seed=st.integers(0, 2**32 - 1))
def test_stacked_rows_never_touch(n_rows, spread, seed):
    random = np.random.default_rng(seed)
    spectra = random.lognormal(size=(n_rows, 1)) * (1.0 + spread * random.random((n_rows, 40)))
    raised, edges = stacked(spectra, np.ones((n_rows, 40), bool))
    np.testing.assert_allclose(raised.min(1), edges[:, 0])
    np.testing.assert_allclose(raised.max(1), edges[:, 1])
    assert (edges[1:, 0] > edges[:-1, 1]).all()


@given(step=st.floats(5.0, 80.0), dln=st.floats(2e-5, 5e-4), seed=st.integers(0, 2**32 - 1))
def test_sampled_kernel_keeps_light_and_sits_on_whole_pixels(step, dln, seed):
    edges = step * (np.arange(32) - 15.5)
    losvd = np.random.default_rng(seed).random(31)
    velocity, kernel = sampled_kernel(losvd, edges, dln)
    offsets = ln_shift(velocity) / dln
    np.testing.assert_allclose(offsets, np.round(offsets), atol=1e-6)
    pixel_edges = velocity_of_shift((np.append(offsets, offsets[-1] + 1) - 0.5) * dln)
    assert kernel @ np.diff(pixel_edges) / step == pytest.approx(losvd.sum(), rel=1e-6)


def test_sampled_kernel_of_a_flat_histogram_is_flat():
    _, kernel = sampled_kernel(np.full(41, 0.3), edges_of(np.linspace(-400.0, 400.0, 41)), DLN)
    np.testing.assert_allclose(kernel[1:-1], 0.3)


def test_a_voxel_masked_in_one_spectrum_drives_no_limits_and_is_not_shaded():
    spectra, mask = inputs()["spectra"], inputs()["mask"]
    spectra[1, 100:110] = np.median(spectra[1])
    plain = panels(spectra=spectra, mask=mask)[1]["spectra"]
    mask[1, 100:110] = False
    spectra[1, 100:110] = 0.0
    axes = panels(spectra=spectra, mask=mask)[1]["spectra"]
    assert axes.get_ylim() == pytest.approx(plain.get_ylim(), abs=1e-3)
    assert len(axes.patches) == len(plain.patches) == 2
    assert np.isnan(axes.lines[2].get_ydata()[100:110]).all()
    assert np.isfinite(axes.lines[0].get_ydata()[100:110]).all()


def test_in_one_column_the_panels_stand_below_each_other():
    figure, _ = panels(width_inch=3.4)
    figure.draw_without_rendering()
    assert figure.get_size_inches()[0] == 3.4
    places = [axes.get_position() for axes in figure.axes]
    assert all(above.y0 > below.y1 for above, below in itertools.pairwise(places))
    assert min(place.width for place in places) > 0.7


@pytest.mark.parametrize("width", [3.4, 7.1])
def test_the_names_of_losvds_leave_the_panel_to_them(width):
    labels = [f"s={s}, c={3 * s}" for s in (0, 38, 18, 28)]
    losvds = np.tile(inputs()["losvds"][0], (4, 1))
    figure, axes = panels(losvds=losvds, losvd_labels=labels, width_inch=width)
    figure.draw_without_rendering()
    panel, legend = axes["losvds"].bbox, axes["losvds"].get_legend().get_window_extent()
    assert legend.height < panel.height / 4
    assert legend.width < panel.width
    peak = axes["losvds"].transData.transform((0.0, 1.0))[1]
    assert legend.y0 > peak
