"""``cubefit build`` and ``cubefit fit``: the long verbs, which can be stopped and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cubefit.cli.root import app, interruptible
from cubefit.config import TrackerConfig
from cubefit.hypercube_builder import build_hypercube
from cubefit.pipeline_runner import PipelineRunner

File = Annotated[Path, typer.Argument(help="CubeFit file.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Compute threads; default all usable cores.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


@app.command()
def build(
    file: File,
    s_chunk: Annotated[int, typer.Option(min=1, help="Most spaxels per tile.")] = 128,
    c_chunk: Annotated[int, typer.Option(min=1, help="Most components per tile.")] = 1,
    p_chunk: Annotated[int, typer.Option(min=1, help="Most populations per tile.")] = 360,
    normalization: Annotated[
        Literal["losvd", "unit"], typer.Option(help="Keep the LOSVDs' amplitude, or scale to unit.")
    ] = "losvd",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Drop a HyperCube that is there.")
    ] = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Build the HyperCube of a populated file, or go on with one that was stopped.

    Example: cubefit build cube.h5
    """
    with interruptible("run the same command again, finished tiles are kept."):
        report = build_hypercube(
            file,
            S_chunk=s_chunk,
            C_chunk=c_chunk,
            P_chunk=p_chunk,
            n_workers=threads,
            normalization=normalization,
            overwrite=overwrite,
            verbose=not quiet,
        )
        print(
            f"{file}: {report.tiles_total} tiles done, {report.tiles_built} of them in this call "
            f"({report.n_bytes / 1e9:.2f} GB in {report.elapsed_s:.1f} s)."
        )


@app.command()
def fit(
    file: File,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over all spaxels.")] = 5,
    pixels: Annotated[int, typer.Option(min=1, help="Rows per spaxel and epoch.")] = 256,
    lr: Annotated[float, typer.Option(help="Relaxation of a projection, 0 to 2.")] = 0.25,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 12345,
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
    quiet: Quiet = False,
) -> None:
    """Fit all spaxels at once by Kaczmarz sweeps, or complete a fit that was stopped.

    A fit stopped by SIGTERM, SIGUSR1 or SIGHUP leaves a checkpoint and exits with code 75.

    Example: cubefit fit cube.h5 --epochs 20
    """
    with interruptible("run the same command again, it goes on from the last checkpoint."):
        x, stats = PipelineRunner(file).solve_all(
            epochs=epochs,
            pixels_per_aperture=pixels,
            lr=lr,
            seed=seed,
            operator=operator,
            warm_start="jacobi" if fresh else "auto",
            tracker=TrackerConfig(ckpt_interval_sec=checkpoint_every),
            blas_threads=threads,
            verbose=not quiet,
        )
        print(
            f"{file}: after epoch {stats['epochs_total']}, chi2 per voxel "
            f"{stats['chi2_per_voxel']:.4g} over {stats['n_voxels']:,} voxels, "
            f"{stats['nnz']:,} of {x.size:,} weights above zero, {stats['elapsed_sec']:.1f} s."
        )
        if not stats["committed"]:
            raise typer.Exit(1)
