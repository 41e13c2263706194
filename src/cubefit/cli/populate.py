"""``cubefit populate``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cubefit.cli.root import app, interruptible
from cubefit.cli.work import AsJson, Quiet, tell


@app.command()
def populate(
    inputs: Annotated[
        Path, typer.Argument(help="npz file with the arrays by name.", readable=False)
    ],
    file: Annotated[Path, typer.Argument(help="CubeFit file to make.", readable=False)],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace other inputs, and drop what is of them.")
    ] = False,
    safety_pad: Annotated[
        int, typer.Option(min=0, help="Template pixels wanted beyond the data on each side.")
    ] = 64,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check the inputs of a fit, and put them into one file: all of them, or nothing.

    The npz file holds tem_pix, obs_pix (ln Angstrom), vel_pix (km/s), losvd (S, V, C), datacube
    (S, L) and templates (T, nZ, nAge, nAlpha); and optionally noise, mask, voxel_mask, xpix, ypix,
    binnum, metals, ages, alphas, template_masses, orbit_weights and component_<name> (C,), such as
    "component_radius [kpc]"; and the texts name, flux_unit and pixel_unit.

    Example: cubefit populate inputs.npz cube.h5
    """
    with interruptible(f"run the same command again; {file} is as it was, or complete."):
        from cubefit.hdf5_manager import H5Manager
        from cubefit.npz_inputs import populate as put
        from cubefit.npz_inputs import read_arrays
        from cubefit.progress import visible_log

        with visible_log(not quiet):
            put(file, read_arrays(inputs), overwrite=overwrite, safety_pad_px=safety_pad)
        coverage = H5Manager.diagnose_rebin_edges(file)
        tell(
            {"file": str(file), "coverage": {**asdict(coverage), "safe": coverage.safe}},
            f"{file}: populated. Templates beyond the data: {coverage}",
            as_json=as_json,
        )
