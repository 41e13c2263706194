"""Rebinning: exact averages of binned or splined spectra over wider or narrower pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline, make_interp_spline
from scipy.sparse import csr_array, diags_array, eye_array, kron
from scipy.sparse.linalg import splu

from cubefit.errors import GridError
from cubefit.spectra.grids import edges_of, require_cover


def overlap_matrix(
    source_edges: NDArray[np.float64], target_edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the operator that averages source bins into target bins.

    The source is taken as constant inside each bin, which conserves flux for any two grids
    but shows stairs where target bins are narrower. Models use the smoother `spline_rebin_matrix`,
    and SSP libraries are log-rebinned through a spline of their running integral.

    Parameters
    ----------
    source_edges : ndarray, shape (N + 1,)
        Source bin edges, strictly increasing, in any unit.
    target_edges : ndarray, shape (M + 1,)
        Target bin edges, strictly increasing, same unit, inside the source range.

    Returns
    -------
    ndarray, shape (N, M)
        Share of target bin ``m`` filled by source bin ``n``; each column sums to one, so
        ``flux @ matrix`` keeps flux density.

    Raises
    ------
    GridError
        If edges do not increase, or the source does not cover the target.
    """
    widths = np.diff(target_edges)
    return np.asarray(bin_overlaps(source_edges, target_edges).toarray() / widths)


def bin_overlaps(source_edges: NDArray[np.float64], target_edges: NDArray[np.float64]) -> csr_array:
    """Return the width that each source bin shares with each target bin.

    Parameters
    ----------
    source_edges, target_edges : ndarray, shapes (N + 1,), (M + 1,)
        Increasing, same unit; the target lies inside the source.

    Returns
    -------
    csr_array, shape (N, M)
        Columns sum to the target's widths.

    Raises
    ------
    GridError
        If edges do not increase, or the source does not cover the target.
    """
    for name, edges in (("Source", source_edges), ("Target", target_edges)):
        if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
            raise GridError(f"{name} bin edges must be a strictly increasing vector: sort them.")
    slack = 1e-9 * (target_edges[-1] - target_edges[0])
    if source_edges[0] > target_edges[0] + slack or source_edges[-1] < target_edges[-1] - slack:
        raise GridError(
            f"Source bins cover {source_edges[0]:.6g} to {source_edges[-1]:.6g}, but the target "
            f"needs {target_edges[0]:.6g} to {target_edges[-1]:.6g}: give a wider source, or a "
            "narrower target."
        )
    # Cut at all edges of both, every piece lies in one bin of each.
    cuts = np.union1d(source_edges, target_edges)
    cuts = cuts[(cuts >= target_edges[0]) & (cuts <= target_edges[-1])]
    middle = 0.5 * (cuts[:-1] + cuts[1:])
    n_source, n_target = source_edges.size - 1, target_edges.size - 1
    # What rounding puts outside the source (up to the slack) counts to the outermost bin.
    rows = np.clip(np.searchsorted(source_edges, middle) - 1, 0, n_source - 1)
    columns = np.clip(np.searchsorted(target_edges, middle) - 1, 0, n_target - 1)
    return csr_array((np.diff(cuts), (rows, columns)), shape=(n_source, n_target))


def template_spline(ln_wave: NDArray[np.float64], templates: NDArray[np.floating]) -> BSpline:
    """Return the cubic spline (not-a-knot) through template samples, one per population.

    Parameters
    ----------
    ln_wave : ndarray, shape (T,)
        Template pixel centres in ln(wavelength / Angstrom).
    templates : ndarray, shape (P, T)
        Flux density at the pixel centres.

    Returns
    -------
    BSpline
        ``spline(u)`` has shape ``u.shape + (P,)``.
    """
    degree = min(3, ln_wave.size - 1)
    return make_interp_spline(ln_wave, np.asarray(templates, np.float64).T, k=degree)


def averaging_operator(
    integral: BSpline,
    edges: NDArray[np.float64],
    shifts: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> csr_array:
    """Return the operator that averages a shifted spline over each pixel, exactly.

    Parameters
    ----------
    integral : BSpline
        Antiderivative of the spline, see `template_spline`.
    edges : ndarray, shape (L + 1,)
        Pixel edges in ln(wavelength).
    shifts, weights : ndarray, shape (N,)
        Shifts of the spectrum to the red, in ln(wavelength), and the weights of their average.

    Returns
    -------
    csr_array, shape (L, n)
        ``matrix @ integral.c[:n]`` are the averages, shape (L, P).
    """
    points = (edges - shifts[:, None]).ravel()
    basis = BSpline.design_matrix(points, integral.t, integral.k, extrapolate=True)
    mean = kron(csr_array(weights[None, :]), eye_array(edges.size), format="csr") @ basis
    return csr_array(diags_array(1.0 / np.diff(edges)) @ (mean[1:] - mean[:-1]))


def spline_rebin_matrix(
    template_ln_wave: NDArray[np.float64], observed_ln_wave: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the linear operator from template samples to observed pixel averages.

    This is what the models use at zero velocity and zero width: the exact average over each
    observed pixel of the cubic spline through the template samples.

    Parameters
    ----------
    template_ln_wave : ndarray, shape (T,)
        Template pixel centres in ln(wavelength / Angstrom).
    observed_ln_wave : ndarray, shape (L,)
        Observed pixel centres, same unit, inside the template range.

    Returns
    -------
    ndarray, shape (T, L)
        Each column sums to one, so a flat template stays flat.

    Raises
    ------
    GridError
        If the templates do not cover the observed range.
    """
    require_cover(template_ln_wave, observed_ln_wave)
    spline = template_spline(template_ln_wave, np.zeros((1, template_ln_wave.size)))
    knots, order = spline.t, spline.k + 1
    averages = averaging_operator(
        spline.antiderivative(), edges_of(observed_ln_wave), np.zeros(1), np.ones(1)
    ).toarray()
    # The antiderivative's coefficients are running sums of the spline's, times these lengths.
    lengths = (knots[order:] - knots[:-order]) / order
    of_coefficients = np.cumsum(averages[:, :0:-1], axis=1)[:, ::-1] * lengths
    collocation = BSpline.design_matrix(template_ln_wave, knots, spline.k)
    return np.asarray(
        splu(collocation.T.tocsc(), permc_spec="NATURAL").solve(
            np.ascontiguousarray(of_coefficients.T)
        )
    )


def rebinned_at_rest(
    templates: NDArray[np.floating],
    template_ln_wave: NDArray[np.float64],
    observed_ln_wave: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the templates averaged over the observed pixels, unshifted and unsmeared.

    Equal to ``templates @ spline_rebin_matrix(...)`` without that large matrix.

    Parameters
    ----------
    templates : ndarray, shape (P, T)
        Flux density per template.
    template_ln_wave, observed_ln_wave : ndarray, shapes (T,), (L,)
        Pixel centres in ln(wavelength / Angstrom).

    Returns
    -------
    ndarray, shape (P, L)

    Raises
    ------
    GridError
        If the templates do not cover the observed range.
    """
    require_cover(template_ln_wave, observed_ln_wave)
    integral = template_spline(template_ln_wave, templates).antiderivative()
    average = averaging_operator(integral, edges_of(observed_ln_wave), np.zeros(1), np.ones(1))
    return np.asarray((average @ integral.c[: average.shape[1]]).T)
