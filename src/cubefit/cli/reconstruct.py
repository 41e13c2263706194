"""``cubefit reconstruct``."""

from __future__ import annotations

from typing import Annotated

import typer

from cubefit.cli.root import app, interruptible
from cubefit.cli.work import AsJson, File, Quiet, Threads, tell


@app.command()
def reconstruct(
    file: File,
    name: Annotated[
        str | None, typer.Option(help="Name of the model cube in the file; default ModelCube.")
    ] = None,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the model cube (S, L) of the fitted solution into the file.

    Example: cubefit reconstruct cube.h5
    """
    with interruptible("run the same command again; the file is as it was."):
        from cubefit.reconstruction import reconstruct_model_cube_single
        from cubefit.store import schema

        name = schema.MODEL_CUBE.name if name is None else name
        made = reconstruct_model_cube_single(
            file, array_name=name, blas_threads=threads, verbose=not quiet
        )
        state = "written" if made else "there already, of this solution"
        dataset = f"/{name.strip('/')}"
        tell(
            {"file": str(file), "dataset": dataset, "written": made},
            f"{file}: {dataset} is {state}.",
            as_json=as_json,
        )
