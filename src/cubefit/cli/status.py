"""``cubefit status``."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cubefit.cli.root import app, interruptible
from cubefit.store.file_status import BuildState, FileStatus, FitState, read_file_status


def duration(seconds: float) -> str:
    """Return a time for people; a dash where it is not known."""
    if not seconds >= 0:
        return "-"
    for limit, unit, length in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.1f} d"


def size(n_bytes: float) -> str:
    """Return a number of bytes for people."""
    for limit, unit, length in ((1e6, "kB", 1e3), (1e9, "MB", 1e6), (1e12, "GB", 1e9)):
        if n_bytes < limit:
            return f"{n_bytes / length:.3g} {unit}"
    return f"{n_bytes / 1e12:.3g} TB"


def number(value: float) -> str:
    """Return a number, or a dash where it is not known."""
    return f"{value:.5g}" if math.isfinite(value) else "-"


def build_rows(build: BuildState) -> dict[str, RenderableType]:
    """Return what is told of the HyperCube."""
    share = build.tiles_done / build.tiles_total
    tiles = f"{build.tiles_done} of {build.tiles_total} tiles ({100 * share:.0f} %)"
    if math.isfinite(build.tiles_per_s):
        tiles += f", {build.tiles_per_s:.2g} tiles/s, {duration(build.left_s)} left"
    return {
        "models": f"(S, C, P, L) = {build.shape}, {size(build.n_bytes)}, "
        f"normalization {build.normalization}, compression {build.compression}",
        "": Group(ProgressBar(total=build.tiles_total, completed=build.tiles_done), Text(tiles)),
    }


def misfit(chi2: float, n_voxels: int, *, has_noise: bool) -> str:
    """Return the misfit by its name: without noise it is an RMSE."""
    if has_noise:
        return f"chi2 {number(chi2)}"
    return f"RMSE {number(math.sqrt(chi2 / n_voxels) if n_voxels else math.nan)}"


def fit_rows(fit: FitState, *, has_noise: bool) -> dict[str, RenderableType]:
    """Return what is told of the fit."""
    epochs = f"{'round' if fit.method == 'exact' else 'epoch'} {fit.epoch}"
    if fit.epochs_wanted is not None:
        epochs += f" of {fit.epochs_wanted}"
    if fit.running and math.isfinite(fit.row_age_s):
        epochs += f", {duration(fit.row_age_s)} ago, {duration(fit.left_s)} left"
    elif fit.running:
        epochs += ", under way"
    elif fit.resumable:
        epochs += ", stopped: the same call completes it"
    rows: dict[str, RenderableType] = {
        "fit": f"{fit.method or 'own solver'}, {epochs}, {duration(fit.elapsed_s)} so far",
        "misfit": f"training RMSE {number(fit.train_rmse)}, validation RMSE "
        f"{number(fit.val_rmse)}" + (f", chi2 {number(fit.chi2)}" if has_noise else ""),
        "weights": f"{number(fit.nnz)} above zero",
        "last checkpoint": f"{duration(fit.checkpoint_age_s)} ago"
        + (", of the finished fit" if fit.finished else ""),
    }
    if math.isfinite(fit.gap_rel):
        rows["duality gap"] = f"{fit.gap_rel:.2e} of the objective"
    return rows


def status_table(status: FileStatus) -> Table:
    """Return the status for a terminal."""
    dims = status.dims
    rows: dict[str, RenderableType] = {
        "inputs": f"{dims['nSpat']} spaxels, {dims['nLSpec']} pixels, {dims['nComp']} components, "
        f"{dims['nPop']} populations, {dims['nVel']} velocity bins, "
        f"{'noise given' if status.has_noise else 'no noise'}; {size(status.n_bytes)} in all",
    }
    rows |= {"models": "none"} if status.build is None else build_rows(status.build)
    rows |= (
        {"fit": "none"} if status.fit is None else fit_rows(status.fit, has_noise=status.has_noise)
    )
    if status.solution is not None:
        solution = status.solution
        how = f"{solution.epochs} epochs"
        if math.isfinite(solution.gap_rel):
            how = f"at most {solution.gap_rel:.1e} of the objective above the optimum"
        rows["solution"] = (
            f"/X_global of {solution.written}, {how}, "
            f"{misfit(solution.chi2, solution.n_voxels, has_noise=status.has_noise)} over "
            f"{solution.n_voxels:,} voxels"
        )
    rows["writer"] = (
        "no CubeFit process writes now" if status.writer is None else str(status.writer)
    )
    if status.leftovers:
        rows["left over"] = (
            f"{', '.join(status.leftovers)} of a killed writer; the next one removes them"
        )
    table = Table(title=Text(status.path), show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(value) if isinstance(value, str) else value)
    return table


@app.command()
def status(
    file: Annotated[Path, typer.Argument(help="CubeFit file.")],
    watch: Annotated[bool, typer.Option("--watch", help="Go on looking, until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, max=86_400.0, help="Seconds between two looks.")
    ] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a look.")] = False,
) -> None:
    """Show how far a file's HyperCube and fit are, and who writes to it; while it is written too.

    Example: cubefit status cube.h5 --watch
    """
    with interruptible("that was the last look."):
        if as_json:
            print(json.dumps(read_file_status(file).as_json()), flush=True)
            while watch:
                time.sleep(interval)
                print(json.dumps(read_file_status(file).as_json()), flush=True)
            return
        console = Console()
        if not watch:
            console.print(status_table(read_file_status(file)))
            return
        with Live(
            status_table(read_file_status(file)), console=console, auto_refresh=False
        ) as view:
            while True:
                time.sleep(interval)
                view.update(status_table(read_file_status(file)), refresh=True)
