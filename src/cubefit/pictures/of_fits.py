"""Pictures of the fit: spectra, residuals on the sky and along wavelength, convergence, inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from cubefit.errors import MissingDataError
from cubefit.pictures.of_stars import capitalised, draw_on_sky
from cubefit.pictures.source import Float, Source
from cubefit.report import (
    Course,
    Figure,
    MapPanel,
    convergence_curves,
    prefit_panels,
    residual_spectrum,
    spectrum_fits,
)
from cubefit.report.colour_scales import LOG_RANGE
from cubefit.results.pixels import spread_over_pixels
from cubefit.store.history import History
from cubefit.store.snapshot import read_snapshot

PENALTIES_FROM: Final = 1e-4
"""Share of chi2 from which penalties make its course another one than that of the objective."""
METHODS: Final = {"exact": "Exact fit", "kaczmarz": "Kaczmarz fit"}


def width_of(source: Source) -> dict[str, Any]:
    """Return the argument of the width, if one was chosen."""
    width = source.choices.width_inch
    return {} if width is None else {"width_inch": width}


def spectra(source: Source) -> Figure:
    """Draw data, model and residuals of the chosen spaxels, or of the best and the worst."""
    named = source.spaxels()
    chosen = list(named)
    return spectrum_fits(
        ln_wave=source.ln_wave,
        data=source.data_of(chosen),
        model=source.model[chosen],
        noise=None if source.noise is None else source.noise[chosen],
        used=source.observed.used[chosen],
        titles=[
            f"{name}: {source.misfit_name} {three_digits(source.misfit[s])}"
            for s, name in named.items()
        ],
        flux_unit=source.flux_unit,
        **width_of(source),
    )


def three_digits(value: float) -> str:
    """Return a number with three digits, zeros too: 1.00."""
    return f"{value:#.3g}".rstrip(".")


def residual_map(source: Source) -> Figure:
    """Draw the misfit and the mean residual of each spaxel on the sky."""
    residual, unit = source.residual
    counts = np.isfinite(residual).sum(axis=1)
    mean = np.full(counts.shape, np.nan)
    np.divide(np.nansum(residual, axis=1), counts, out=mean, where=counts > 0)
    misfit = capitalised(source.misfit_name)
    return draw_on_sky(
        source,
        [
            MapPanel(values=_over_pixels(source, source.misfit), label=misfit, scale="log"),
            MapPanel(
                values=_over_pixels(source, mean),
                label=f"Mean data - model [{unit}]",
                scale="signed",
            ),
        ],
    )


def residuals_along_wavelength(source: Source) -> Figure:
    """Draw the residuals of all spaxels against wavelength."""
    residual, unit = source.residual
    return residual_spectrum(
        ln_wave=source.ln_wave,
        residual=residual,
        unit=unit,
        expected=1.0 if source.observed.has_noise else None,
        **width_of(source),
    )


def convergence(source: Source) -> Figure:
    """Draw the figures of merit that the fit wrote down."""
    history = source.history
    if not history.n_rows:
        raise MissingDataError(f"{source.path} has no metrics of a fit: fit with its tracker on.")
    moments, label = moments_of(history)
    return convergence_curves(
        courses=courses_of(history, has_noise=source.observed.has_noise),
        moments=moments,
        moment_label=label,
        whole_moments=label == "Round",
        title=METHODS.get(history.method, ""),
        **width_of(source),
    )


def moments_of(history: History) -> tuple[Float, str]:
    """Return when the metrics were written: the rounds of an exact fit, else the time; a label."""
    if history.method == "exact":
        return history.columns["epoch"], "Round"
    return history.columns["time_sec"], "Time [s]"


def courses_of(history: History, *, has_noise: bool) -> list[Course]:
    """Return the figures of merit of a fit, those of one unit together.

    The running mean of the training error says nothing of an exact fit, whose rounds are few.
    """
    columns = history.columns
    rmse = {"validation": columns["val_rmse"]}
    if history.method != "exact":
        rmse = {"training": columns["train_rmse_ewma"]} | rmse
    unit = r"$\sigma$" if has_noise else "data unit"
    return [
        Course(label="Duality gap\n/ objective", curves={"": columns["gap_rel"]}, log=True),
        excess_course(columns, has_noise=has_noise),
        Course(label=f"RMSE [{unit}]", curves=rmse),
        chi2_course(columns, has_noise=has_noise),
        Course(label="Relative\nchange of x", curves={"": columns["delta_x_rel"]}, log=True),
        Course(
            label="Error of\nmass ratios",
            curves={"sum": columns["mass_err_L1"], "largest": columns["mass_err_Linf"]},
            log=True,
        ),
        Course(label="Weights\nabove zero", curves={"": columns["nnz"]}),
    ]


def excess_course(columns: Mapping[str, Float], *, has_noise: bool) -> Course:
    """Return by what share the objective, or chi2 without it, lies above its last value."""
    chi2 = chi2_name(has_noise=has_noise)
    for name, label in (("objective", "Objective"), ("chi2", chi2)):
        values = columns[name]
        known = values[np.isfinite(values)]
        if known.size > 1 and known[-1] > 0:
            excess = values / known[-1] - 1.0
            return Course(label=f"{label}\n/ last - 1", curves={"": excess}, log=True)
    return Course(label=chi2, curves={})


def chi2_course(columns: Mapping[str, Float], *, has_noise: bool) -> Course:
    """Return chi2 itself where the objective is more than half of it: there are penalties too."""
    objective, chi2 = columns["objective"], columns["chi2"]
    known = np.isfinite(objective) & np.isfinite(chi2)
    if np.allclose(2.0 * objective[known], chi2[known], rtol=PENALTIES_FROM):
        return Course(label=chi2_name(has_noise=has_noise), curves={})
    is_wide = chi2[known].max() > LOG_RANGE * chi2[known].min() > 0
    return Course(label=chi2_name(has_noise=has_noise), curves={"": chi2}, log=bool(is_wide))


def chi2_name(*, has_noise: bool) -> str:
    """Return what the sum of the squares of the residuals is: without noise it is no chi2."""
    return r"$\chi^2$" if has_noise else "Square residual"


def prefit(source: Source) -> Figure:
    """Draw data, templates, LOSVDs and stored models, also while the HyperCube is built."""
    return prefit_panels(**read_snapshot(source.path).panels(), **width_of(source))


def _over_pixels(source: Source, values: Float) -> Float:
    return spread_over_pixels(values, source.pixels.bins, extensive=False)
