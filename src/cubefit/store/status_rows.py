"""The status of a file in words, for terminals and notebooks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cubefit.display import duration, number, size

if TYPE_CHECKING:
    from cubefit.store.file_status import (
        BuildState,
        ClusterState,
        FileStatus,
        FitState,
        SolutionState,
    )


def build_rows(build: BuildState) -> dict[str, str]:
    """Return what is told of the HyperCube."""
    return {
        "models": f"(S, C, P, L) = {build.shape}, {size(build.n_bytes)}, "
        f"normalization {build.normalization}, compression {build.compression}",
        "built": tiles_told(build)
        + (f"; {build.shards_missing} shard files are missing" if build.shards_missing else ""),
    }


def tiles_told(build: BuildState) -> str:
    """Return how many tiles are done, and of a build under way how fast it is."""
    # Rounded down: not all is done before it is.
    share = 100 * build.tiles_done // build.tiles_total
    told = f"{build.tiles_done} of {build.tiles_total} tiles ({share} %)"
    if build.tiles_per_s > 0:
        S, C, P, L = build.shape
        speed = 4 * S * C * P * L / build.tiles_total * build.tiles_per_s
        told += (
            f", {build.tiles_per_s:.2g} tiles/s ({size(speed)}/s), {duration(build.left_s)} left"
        )
    return told


def misfit(chi2: float, n_voxels: int, *, has_noise: bool) -> str:
    """Return the misfit by its name: without noise it is an RMSE."""
    if has_noise:
        return f"chi2 {number(chi2)}"
    return f"RMSE {number(math.sqrt(chi2 / n_voxels) if n_voxels else math.nan)}"


def fit_rows(fit: FitState, *, has_noise: bool) -> dict[str, str]:
    """Return what is told of the fit."""
    epochs = f"{fit.step} {fit.epoch}"
    if fit.epochs_wanted is not None:
        epochs += f" of {fit.epochs_wanted}"
    if fit.running and math.isfinite(fit.row_age_s):
        epochs += f", {duration(fit.row_age_s)} ago, {duration(fit.left_s)} left"
    elif fit.running:
        epochs += ", under way"
    elif fit.resumable:
        epochs += ", stopped: the same call completes it"
    took = duration(fit.elapsed_s)
    over = fit.finished and not fit.running and not fit.resumable
    rows = {
        "fit": f"{fit.method or 'own solver'}, {epochs}, "
        + (f"took {took}" if over else f"{took} so far"),
        "misfit": f"training RMSE {number(fit.train_rmse)}, validation RMSE "
        f"{number(fit.val_rmse)}" + (f", chi2 {number(fit.chi2)}" if has_noise else ""),
        "weights": f"{number(fit.nnz)} above zero",
        "last checkpoint": f"{duration(fit.checkpoint_age_s)} ago"
        + (", of the finished fit" if fit.finished else ""),
    }
    if math.isfinite(fit.gap_rel):
        rows["duality gap"] = f"{fit.gap_rel:.2e} of the objective"
    return rows


def solution_text(solution: SolutionState, *, has_noise: bool) -> str:
    """Return what is told of the committed solution."""
    how = f"{solution.epochs} epochs"
    if math.isfinite(solution.gap_rel):
        how = f"at most {solution.gap_rel:.1e} of the objective above the optimum"
    return (
        f"/X_global of {solution.written}, {how}, "
        f"{misfit(solution.chi2, solution.n_voxels, has_noise=has_noise)} over "
        f"{solution.n_voxels:,} voxels"
    )


def work_moved(cluster: ClusterState) -> str:
    """Return workers, shares, rounds and bytes of a Dask cluster."""
    rounds = f", {cluster.rounds:,} rounds" if cluster.rounds else ""
    return (
        f"{cluster.workers} workers, {cluster.shares} shares{rounds}, "
        f"{size(cluster.moved_bytes)} moved"
    )


def status_rows(status: FileStatus) -> dict[str, str]:
    """Return what there is to say of a file, name and text of each."""
    dims, has_noise = status.dims, status.has_noise
    rows = {
        "inputs": f"{dims['nSpat']} spaxels, {dims['nLSpec']} pixels, {dims['nComp']} components, "
        f"{dims['nPop']} populations, {dims['nVel']} velocity bins, "
        f"{'noise given' if has_noise else 'no noise'}; {size(status.n_bytes)} in all",
    }
    rows |= {"models": "none"} if status.build is None else build_rows(status.build)
    rows |= {"fit": "none"} if status.fit is None else fit_rows(status.fit, has_noise=has_noise)
    if status.solution is not None:
        rows["solution"] = solution_text(status.solution, has_noise=has_noise)
    rows["writer"] = (
        "no CubeFit process writes now" if status.writer is None else str(status.writer)
    )
    if status.cluster is not None:
        rows["cluster"] = f"{work_moved(status.cluster)}; scheduler {status.cluster.scheduler}"
        rows["its dashboard"] = status.cluster.dashboard
    if status.leftovers:
        rows["left over"] = (
            f"{', '.join(status.leftovers)} of a killed writer; the next one removes them"
        )
    return rows
