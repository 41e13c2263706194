"""``cubefit build``, and the options of long verbs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cubefit.cli.root import app, interruptible
from cubefit.errors import DependencyError

# Whether it can be read is ours to say: Typer would call it wrong usage.
File = Annotated[Path, typer.Argument(help="CubeFit file.", readable=False)]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Compute threads; default all usable cores.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Address of a Dask scheduler whose workers do the work, or its scheduler file.",
        rich_help_panel="Cluster",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Start so many Dask workers here to do the work; with --scheduler, wait for so many.",
        rich_help_panel="Cluster",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def tell(told: Mapping[str, object], sentence: str, *, as_json: bool) -> None:
    """Print what a verb has to tell: an object for scripts, or a sentence."""
    print(json.dumps(told, indent=2) if as_json else sentence)


@contextmanager
def cluster_of(
    scheduler: str | None, workers: int | None, threads: int | None = None
) -> Iterator[Any]:
    """Give a client of the cluster that the options ask for, None where they ask for none.

    Raises
    ------
    DependencyError
        If Dask is not installed.
    """
    if scheduler is None and workers is None:
        yield None
        return
    try:
        from cubefit.distributed.connection import connected
    except ImportError as error:
        raise DependencyError(
            f'Work on a cluster needs {error.name}: pip install "cubefit[distributed]".'
        ) from error
    with connected(scheduler, workers, threads=threads) as client:
        yield client


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
    scheduler: Scheduler = None,
    workers: Workers = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Build the HyperCube of a populated file, or go on with one that was stopped.

    With a cluster, its workers write shard files into the folder FILE.shards; every verb reads them
    through FILE, and gather puts them into it.

    Example: cubefit build cube.h5
    """
    with (
        interruptible(
            f"run the same command again{' without --overwrite' if overwrite else ''}, finished "
            "tiles are kept."
        ),
        cluster_of(scheduler, workers, threads) as client,
    ):
        from cubefit.hypercube_builder import build_hypercube

        report = build_hypercube(
            file,
            S_chunk=s_chunk,
            C_chunk=c_chunk,
            P_chunk=p_chunk,
            n_workers=threads,
            normalization=normalization,
            overwrite=overwrite,
            verbose=not quiet,
            client=client,
        )
        tell(
            {"file": str(file), **asdict(report)},
            f"{file}: {report.tiles_total} tiles done, {report.tiles_built} of them in this call "
            f"({report.n_bytes / 1e9:.2f} GB in {report.elapsed_s:.1f} s).",
            as_json=as_json,
        )
