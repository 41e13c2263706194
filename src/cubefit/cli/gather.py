"""``cubefit gather``."""

from __future__ import annotations

from cubefit.cli.root import app, interruptible
from cubefit.cli.work import AsJson, File, Quiet, tell


@app.command()
def gather(file: File, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Put a HyperCube that a cluster built in shards into its file, and remove the shards.

    Nothing changes until the new file is verified; the disk must hold both.

    Example: cubefit gather cube.h5
    """
    with interruptible("run the same command again; file and shards are as they were."):
        from cubefit.store.gather import gather_hypercube

        n_shards = gather_hypercube(file, verbose=not quiet)
        how = f"now, out of {n_shards} shards" if n_shards else "already"
        tell(
            {"file": str(file), "shards": n_shards},
            f"{file} holds its HyperCube {how}.",
            as_json=as_json,
        )
