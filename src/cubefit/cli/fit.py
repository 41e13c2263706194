"""``cubefit fit``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cubefit.cli.root import app, interruptible
from cubefit.cli.work import AsJson, File, Quiet, Scheduler, Threads, Workers, cluster_of
from cubefit.errors import EXIT_INTERRUPTED, ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def regularization_of(text: str) -> float | Literal["auto"]:
    """Return the value of ``--regularization``.

    Raises
    ------
    ConfigError
        If it is neither a number nor ``auto``.
    """
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--regularization {text}: give a number, or auto.") from None


def weights_of(given: Path | None) -> NDArray[Any] | Literal["stored"] | None:
    """Return the value of ``--orbit-weights``."""
    from cubefit.io.numbers import read_numbers

    if given is None:
        return None
    return "stored" if str(given) == "stored" else read_numbers(given)


def as_object(file: Path, stats: dict[str, Any], n_weights: int) -> dict[str, Any]:
    """Return what a fit came to as plain data: of arrays of its course there are files."""
    from cubefit.store.file_status import plain

    single = {k: v.item() if hasattr(v, "item") else v for k, v in stats.items()}
    kinds = bool | int | float | str | None
    told = {k: plain(v) for k, v in single.items() if isinstance(v, kinds)}
    return {"file": str(file), "n_weights": n_weights, **told}


def summary(file: Path, stats: dict[str, Any], n_weights: int) -> str:
    """Return what a fit came to, in one line."""
    misfit = (
        f"chi2 per voxel {stats['chi2_per_voxel']:.6g}"
        if stats["has_noise"]
        else f"RMSE {stats['rmse']:.6g} (no noise given)"
    )
    text = (
        f"{misfit} over {stats['n_voxels']:,} voxels, {stats['nnz']:,} of {n_weights:,} weights "
        f"above zero, {stats['elapsed_sec']:.1f} s"
    )
    if stats["method"] == "kaczmarz":
        return f"{file}: after epoch {stats['epochs_total']}, {text}."
    smooth = f", regularization {stats['regularization']:.4g}" if stats["regularization"] else ""
    return f"{file}: {text}{smooth}, {stats['rounds']} rounds: {stats['outcome']}"


@app.command()
def fit(
    file: File,
    method: Annotated[
        Literal["exact", "kaczmarz"],
        typer.Option(help="The certified optimum, or sweeps over the rows."),
    ] = "exact",
    orbit_weights: Annotated[
        Path | None,
        typer.Option(
            help="Ratios of the components: a file with one weight each (.npy, .txt, .csv), or "
            "'stored' for those of the inputs.",
            readable=False,
        ),
    ] = None,
    ratio_weight: Annotated[
        float, typer.Option(min=0.0, help="Exact: 1 / relative scatter allowed to the ratios.")
    ] = 300.0,
    regularization: Annotated[
        str, typer.Option(help="Smoothness of the populations: a number, or auto (exact).")
    ] = "0",
    total_weight: Annotated[
        float | None, typer.Option(help="Exact: what all weights sum to, if known.")
    ] = None,
    gap: Annotated[float, typer.Option(help="Exact: relative duality gap to stop at.")] = 1e-6,
    max_rounds: Annotated[int, typer.Option(min=1, help="Exact: rounds at most.")] = 200,
    time_limit: Annotated[
        float | None, typer.Option(help="Exact: seconds after which no round begins.")
    ] = None,
    max_memory_gb: Annotated[
        float | None, typer.Option(help="Exact: memory; default half of the machine's.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Kaczmarz: passes over all spaxels.")] = 5,
    pixels: Annotated[int, typer.Option(min=1, help="Kaczmarz: rows per spaxel, epoch.")] = 256,
    lr: Annotated[float, typer.Option(help="Kaczmarz: relaxation, 0 to 2.")] = 0.25,
    seed: Annotated[int, typer.Option(min=0, help="Kaczmarz: random seed.")] = 12345,
    operator: Annotated[
        Literal["auto", "stored", "matrix-free"], typer.Option(help="Use the HyperCube or not.")
    ] = "auto",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Do not go on from an earlier fit.")
    ] = False,
    checkpoint_every: Annotated[
        float, typer.Option(min=0.0, help="Seconds between two checkpoints.")
    ] = 1800.0,
    threads: Threads = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
    shares: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Parts that the spaxels lie in, default one for each worker: the same number "
            "gives the same bits.",
            rich_help_panel="Cluster",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fit all spaxels at once, or complete a fit that was stopped.

    A fit stopped by SIGTERM, SIGUSR1 or SIGHUP leaves a checkpoint and exits with code 75. Ctrl-C
    ends an exact fit with the best point found so far.

    With --scheduler or --workers the spaxels lie on the workers of a Dask cluster, which read them
    from the file themselves.

    Example: cubefit fit cube.h5 --orbit-weights weights.txt --regularization auto
    """
    with (
        interruptible("run the same command again, it goes on from the last checkpoint."),
        cluster_of(scheduler, workers, threads) as client,
    ):
        from cubefit.config import TrackerConfig
        from cubefit.pipeline_runner import PipelineRunner

        x, stats = PipelineRunner(file).solve_all(
            method=method,
            orbit_weights=weights_of(orbit_weights),
            ratio_weight=ratio_weight,
            regularization=regularization_of(regularization),
            total_weight=total_weight,
            gap_tolerance=gap,
            max_rounds=max_rounds,
            time_limit_s=time_limit,
            max_memory_gb=max_memory_gb,
            epochs=epochs,
            pixels_per_aperture=pixels,
            lr=lr,
            seed=seed,
            operator=operator,
            warm_start=("zeros" if method == "exact" else "jacobi") if fresh else "auto",
            tracker=TrackerConfig(ckpt_interval_sec=checkpoint_every),
            blas_threads=threads,
            client=client,
            n_shares=shares,
            verbose=not quiet,
        )
        if as_json:
            print(json.dumps(as_object(file, stats, x.size), indent=2))
        else:
            print(summary(file, stats, x.size))
        if stats.get("interrupted"):
            raise typer.Exit(EXIT_INTERRUPTED)
        if not stats["committed"]:
            raise typer.Exit(1)
