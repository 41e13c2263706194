"""Where the data's lines are against where the orbits put them: sign of velocity, and redshift.

Each bin's spectrum is cross-correlated with one mean template at rest, smeared as the orbits are on
average but not shifted. The shifts found are compared with those that the LOSVDs make: along a line
of slope one they agree, of slope minus one the sign is flipped, and the line's value at zero is a
shift that all bins share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError
from cubefit.prepare.consistency.line_shifts import (
    expected_shifts,
    line_shifts,
    shifted_references,
    trial_shifts,
)
from cubefit.spectra.grids import SPEED_OF_LIGHT_KMS, velocity_of_shift

Float = NDArray[np.float64]

TELLING_SLOPE: Final = 0.5
"""A slope beyond it, of either sign, tells the sign."""

SURE: Final = 0.25
"""Error of the slope up to which it tells anything."""


FLOOR_KMS: Final = 5.0
"""Part of a shift's error that no noise explains: a template that is not quite the galaxy's."""

EVEN_KMS: Final = 1.0
"""Scatter of mean velocities from bin to bin below which there is no rotation to speak of."""

ROUNDS: Final = 30
"""Of the reweighting."""

AIR_KMS: Final = 83.0
"""What taking air wavelengths for vacuum ones does, in the optical."""

AIR_WIDTH_KMS: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VelocitySign:
    """How the velocities of the LOSVDs agree with the data's line shifts."""

    ok: bool
    message: str
    slope: float
    """Measured shift per velocity of the model: 1 agrees, -1 is a flipped sign. NaN unknown."""
    slope_error: float
    offset_kms: float
    """Shift that all bins share, positive to the red; NaN where it is not known."""
    offset_error_kms: float
    model_kms: Float
    """Shift that the LOSVDs of each bin make, shape (S,); NaN where there is no light."""
    measured_kms: Float
    """Shift of the data, shape (S,); NaN where none was found."""


def velocity_sign(
    losvd: NDArray[np.floating],
    velocity_kms: Float,
    weights: Float,
    data: NDArray[np.floating],
    ln_wave: Float,
    template: Float,
    template_ln_wave: Float,
    *,
    noise: NDArray[np.floating] | None = None,
    mask: NDArray[np.bool_] | None = None,
    offset_limit_kms: float = 30.0,
) -> VelocitySign:
    """Return whether the data's lines shift as the LOSVDs say, and by how much all are off.

    Parameters
    ----------
    losvd : ndarray, shape (S, V, C)
        Histograms.
    velocity_kms : ndarray, shape (V,)
        Bin centres, positive recedes.
    weights : ndarray, shape (C,)
        Light of each component.
    data : ndarray, shape (S, L)
        Rest-frame spectra.
    ln_wave : ndarray, shape (L,)
        Their pixel centres in ln(wavelength / Angstrom), uniform.
    template : ndarray, shape (T,)
        A mean template at the data's resolution.
    template_ln_wave : ndarray, shape (T,)
        Its pixel centres; as far as it goes beyond the data shifts are looked for.
    noise, mask : ndarray, shape (S, L), optional
        One sigma, and True = use; what is not used may hold anything.
    offset_limit_kms : float
        Shift of all bins up to which it is not reported as wrong.

    Returns
    -------
    VelocitySign

    Raises
    ------
    InputError
        If shapes do not fit together.
    GridError
        If the template does not cover the data.
    """
    _require_shapes(losvd, velocity_kms, weights, data, ln_wave)
    light = np.einsum("svc,c->sv", losvd, weights, dtype=np.float64)
    used = np.isfinite(data) if mask is None else mask & np.isfinite(data)
    weight = used.astype(np.float64)
    if noise is not None:
        known = used & (noise > 0)
        weight = np.zeros(data.shape)
        np.divide(1.0, noise, out=weight, where=known)
        weight = weight**2
    trials = trial_shifts(template_ln_wave, ln_wave)
    smear = typical_dispersion(light, velocity_kms)
    references = shifted_references(template, template_ln_wave, ln_wave, trials, smear)
    sharp = shifted_references(template, template_ln_wave, ln_wave, np.zeros(1), 0.0)[0]
    model = expected_shifts(light, velocity_kms, ln_wave, references, sharp, trials)
    values = np.where(used, data, 0.0).astype(np.float64)
    measured, error = line_shifts(values, weight, ln_wave, references, trials)
    farthest = velocity_of_shift(np.abs(trials).max())
    model[~used.any(axis=1)] = np.nan
    return _compared(model, measured, error, float(farthest), offset_limit_kms)


def typical_dispersion(light: Float, velocity_kms: Float) -> float:
    """Return the median dispersion in km/s of LOSVDs (S, V); zero without any light."""
    lit = light[light.sum(axis=1) > 0]
    if not lit.size:
        return 0.0
    share = lit / lit.sum(axis=1, keepdims=True)
    spread = share @ velocity_kms**2 - (share @ velocity_kms) ** 2
    return float(np.median(np.sqrt(np.maximum(spread, 0.0))))


def _compared(
    model: Float, measured: Float, error: Float, farthest_kms: float, offset_limit_kms: float
) -> VelocitySign:
    lit = np.isfinite(model)
    both = lit & np.isfinite(measured)
    if both.sum() < max(1, 0.5 * lit.sum()):
        message = (
            f"The template's lines were found in {int(both.sum())} of {int(lit.sum())} spectra "
            f"within {farthest_kms:.0f} km/s: check the redshift and the unit of the wavelengths, "
            "or whether the spectra are too noisy to tell."
        )
        line = _Line(np.nan, np.inf, np.nan, np.inf)
        ok = False
    else:
        line = _line_through(model[both], measured[both], error[both])
        rms = float(np.std(model[both]))
        is_off, about_offset = _offset_verdict(line, offset_limit_kms)
        is_wrong, about_sign = _sign_verdict(line, rms)
        ok, message = not (is_off or is_wrong), f"{about_sign} {about_offset}"
    return VelocitySign(
        ok=ok,
        message=message,
        slope=line.slope,
        slope_error=line.slope_error,
        offset_kms=line.offset,
        offset_error_kms=line.offset_error,
        model_kms=model,
        measured_kms=measured,
    )


def _sign_verdict(line: _Line, rms_kms: float) -> tuple[bool, str]:
    if not line.slope_error <= SURE:
        return False, (
            f"Rotation is too small to tell the sign of velocities: the LOSVDs' differ by "
            f"{rms_kms:.0f} km/s rms from bin to bin."
        )
    told = f"Lines shift by {line.slope:.2f} +- {line.slope_error:.2f} of the LOSVDs' velocities"
    if line.slope < -TELLING_SLOPE:
        return True, (
            f"{told}: the sign is flipped. Reverse the velocity axis of the LOSVDs, or turn the "
            "orbit library by 180 degrees."
        )
    if line.slope <= TELLING_SLOPE:
        return True, (
            f"{told}, which has no relation to them: check the position angle, whether an axis is "
            "mirrored, and the order of the bins."
        )
    return False, f"{told}: same sign."


def _offset_verdict(line: _Line, limit_kms: float) -> tuple[bool, str]:
    told = f"All lines are off by {line.offset:+.0f} +- {line.offset_error:.0f} km/s"
    if not (abs(line.offset) > limit_kms and abs(line.offset) > 3.0 * line.offset_error):
        return False, f"{told}."
    factor = 1.0 + line.offset / SPEED_OF_LIGHT_KMS
    mend = f"If the redshift is wrong, multiply 1 + redshift by {factor:.6f}."
    if abs(abs(line.offset) - AIR_KMS) < AIR_WIDTH_KMS:
        have, told_as = ("air", "vacuum") if line.offset < 0 else ("vacuum", "air")
        mend += f" Wavelengths in {have} taken for those in {told_as} would do it too."
    return True, f"{told}. {mend}"


@dataclass(frozen=True, slots=True)
class _Line:
    slope: float
    slope_error: float
    offset: float
    offset_error: float


def _line_through(model: Float, measured: Float, error: Float) -> _Line:
    """Return the line through measured shifts that far-off ones hardly move."""
    weight = 1.0 / (error**2 + FLOOR_KMS**2)
    is_told = float(np.std(model)) > EVEN_KMS and model.size >= 3
    columns = [np.ones(model.size), model] if is_told else [np.ones(model.size)]
    design = np.column_stack(columns)
    residual = measured - design @ _least_absolute(design, measured, weight)
    size = 1.4826 * float(np.median(np.abs(residual))) + FLOOR_KMS
    kept = weight * (np.abs(residual) < 5.0 * size)
    fit = _least_squares(design, measured, kept)
    freedom = max(int((kept > 0).sum()) - design.shape[1], 1)
    scale = float((kept * (measured - design @ fit) ** 2).sum()) / freedom
    covariance = max(scale, 1.0) * np.linalg.pinv((design * kept[:, None]).T @ design)
    errors = np.sqrt(np.diag(covariance))
    if not is_told:
        return _Line(np.nan, np.inf, float(fit[0]), float(errors[0]))
    return _Line(float(fit[1]), float(errors[1]), float(fit[0]), float(errors[0]))


def _least_squares(design: Float, measured: Float, weight: Float) -> Float:
    root = np.sqrt(weight)
    return np.asarray(np.linalg.lstsq(design * root[:, None], measured * root)[0], np.float64)


def _least_absolute(design: Float, measured: Float, weight: Float) -> Float:
    """Return the fit of least absolute deviations, which shifts found in noise hardly move."""
    robust = weight
    for _ in range(ROUNDS):
        residual = measured - design @ _least_squares(design, measured, robust)
        robust = weight / np.maximum(np.abs(residual), FLOOR_KMS)
    return _least_squares(design, measured, robust)


def _require_shapes(
    losvd: NDArray[np.floating],
    velocity_kms: Float,
    weights: Float,
    data: NDArray[np.floating],
    ln_wave: Float,
) -> None:
    if losvd.ndim != 3 or losvd.shape[1:] != (velocity_kms.size, weights.size):
        raise InputError(
            f"losvd has shape {losvd.shape}, with {velocity_kms.size} velocities and "
            f"{weights.size} weights: give (bins, velocities, components)."
        )
    if data.shape != (losvd.shape[0], ln_wave.size):
        raise InputError(
            f"data have shape {data.shape}, with {losvd.shape[0]} bins of LOSVDs and "
            f"{ln_wave.size} wavelengths: give (bins, wavelengths)."
        )
