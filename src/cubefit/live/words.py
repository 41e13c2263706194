"""What a look at a file comes to, in words."""

from __future__ import annotations

import math
import time
from typing import Final, Literal

from cubefit.display import duration
from cubefit.live.file import Look
from cubefit.live.galaxy import Galaxy
from cubefit.store.file_status import FileStatus, FitState, SolutionState
from cubefit.store.lock import Owner
from cubefit.store.status_rows import tiles_told

Tone = Literal["waiting", "running", "done", "doubtful", "stopped"]

WITHIN_NOISE: Final = (0.5, 1.5)
"""Times what noise alone leaves, of the chi2 of a fit that may be one within the noise."""
FAR: Final = 2.0
"""Times those limits."""


def tone_of(look: Look) -> Tone:
    """Return what kind of news the headline is."""
    status = look.status
    if status is None:
        return "waiting"
    if status.writer is not None:
        return "running"
    if status.fit is not None and status.fit.resumable:
        return "stopped"
    if status.solution is not None:
        doubtful = look.galaxy is not None and is_doubtful(status.solution.chi2, look.galaxy)
        return "doubtful" if doubtful else "done"
    unfinished = status.build is not None and status.build.tiles_done < status.build.tiles_total
    return "stopped" if unfinished else "waiting"


def headline(look: Look) -> str:
    """Return in one or two sentences how far the file is, and what to do next."""
    status = look.status
    if look.problem or status is None or look.galaxy is None:
        return look.problem
    if status.writer is not None:
        return under_way(status, look.galaxy)
    if status.fit is not None and status.fit.resumable:
        fit = status.fit
        return (
            f"A fit was stopped after {fit.step} {fit.epoch}{quality(fit, look.galaxy)}. "
            "The same call of cubefit fit completes it."
        )
    if status.solution is not None:
        return fitted(status.solution, look.galaxy)
    if status.build is not None and status.build.tiles_done < status.build.tiles_total:
        return f"The HyperCube has {tiles_told(status.build)}. cubefit build goes on with it."
    ready = "The HyperCube is built" if status.build is not None else "The file is populated"
    return f"{ready}, nothing is fitted yet. Run cubefit fit {look.path.name}."


def under_way(status: FileStatus, galaxy: Galaxy) -> str:
    """Return what the writer is doing."""
    writer = status.writer
    task = writer.task if isinstance(writer, Owner) else ""
    if task == "build" and status.build is not None:
        return f"Building the HyperCube: {tiles_told(status.build)}."
    if task == "fit" and isinstance(writer, Owner):
        fit = status.fit
        if fit is None or not fit.n_rows:
            since = duration(time.time() - writer.started)
            return f"A fit is being prepared, for {since} now: its figures follow."
        wanted = f" of {fit.epochs_wanted}" if fit.epochs_wanted else ""
        left = f", {duration(fit.left_s)} left" if math.isfinite(fit.left_s) else ""
        return f"Fitting: {fit.step} {fit.epoch}{wanted}{quality(fit, galaxy)}{left}."
    return f"The file is written to by {writer}."


def quality(fit: FitState, galaxy: Galaxy) -> str:
    """Return how good a fit is by its last row of metrics, from a comma on."""
    words = ""
    if math.isfinite(fit.chi2):
        words += f", {misfit_per_voxel(fit.chi2, galaxy)}"
    elif math.isfinite(fit.train_rmse):
        words += f", rms {fit.train_rmse:.4g}{' sigma' if galaxy.has_noise else ''}"
    if math.isfinite(fit.gap_rel):
        words += f", at most {share(fit.gap_rel)} above the optimum"
    return words


def fitted(solution: SolutionState, galaxy: Galaxy) -> str:
    """Return how good a committed solution is."""
    text = f"Fitted ({solution.written})"
    if math.isfinite(solution.chi2):
        text += f": {misfit_per_voxel(solution.chi2, galaxy)}"
    if math.isfinite(solution.gap_rel):
        text += f". No other weights lower the objective by more than {share(solution.gap_rel)}"
    elif solution.method == "kaczmarz":
        text += f", {solution.epochs} epochs of Kaczmarz, whose distance to the optimum is unknown"
    return text + "."


def misfit_per_voxel(chi2: float, galaxy: Galaxy) -> str:
    """Return chi2 as what it means per voxel."""
    per_voxel = chi2 / max(galaxy.n_voxels, 1)
    if not galaxy.has_noise:
        return f"rms residual {math.sqrt(per_voxel):.4g} (no noise was given)"
    told, (low, high) = f"chi2 per voxel {per_voxel:.4g}", WITHIN_NOISE
    due, ratio = f"{galaxy.noise_chi2:.3g}", per_voxel / galaxy.noise_chi2
    if low <= ratio <= high:
        return f"{told} (about {due} is a fit within the noise)"
    far = "" if low / FAR <= ratio <= high * FAR else "far "
    where = "above" if ratio > high else "below"
    return f"{told}, {far}{where} the {due} of a fit within the noise"


def is_doubtful(chi2: float, galaxy: Galaxy) -> bool:
    """Return whether a fit misses the data by more than their noise, or by much less."""
    low, high = WITHIN_NOISE
    known = galaxy.has_noise and math.isfinite(chi2)
    return known and not low <= chi2 / max(galaxy.n_voxels, 1) / galaxy.noise_chi2 <= high


def share(value: float) -> str:
    """Return a small share in a form that everybody reads."""
    return f"{100.0 * max(value, 0.0):.2g} %"


def what_is_fitted(galaxy: Galaxy) -> str:
    """Return in one sentence what was observed and what is fitted to it."""
    wave, dims = galaxy.wave, galaxy.dims
    C, P = galaxy.shape
    axes = " x ".join(f"{axis.values.size} {axis.long_name}" for axis in galaxy.axes)
    name = f"{galaxy.name}: " if galaxy.name else ""
    return (
        f"{name}{dims['nSpat']:,} spaxels x {dims['nLSpec']:,} pixels ({wave[0]:.0f} to "
        f"{wave[-1]:.0f} \u212b), {galaxy.n_voxels:,} voxels in use, explained by {C:,} orbit "
        f"components x {P:,} stellar populations"
        + (f" ({axes})" if axes else "")
        + f": {C * P:,} weights, none negative."
    )
