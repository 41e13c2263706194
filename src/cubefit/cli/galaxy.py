"""``cubefit init`` and ``cubefit run``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cubefit.cli.root import EXIT_FOUND, app, interruptible
from cubefit.cli.work import AsJson, Quiet, Threads
from cubefit.errors import ConfigError

if TYPE_CHECKING:
    from cubefit.galaxy import GalaxyReport


@app.command()
def init(
    settings: Annotated[Path, typer.Argument(help="TOML file to write.", readable=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file there.")] = False,
) -> None:
    """Write a file of settings to begin with: every key with its meaning and default.

    Example: cubefit init galaxy.toml
    """
    from cubefit.galaxy import settings_template

    try:
        with settings.open("w" if overwrite else "x", encoding="utf-8") as stream:
            stream.write(settings_template())
    except FileExistsError:
        raise ConfigError(
            f"{settings} exists: give another name, or --overwrite to replace it."
        ) from None
    print(f"{settings}: name your files in it, then: cubefit run {settings}")


@app.command()
def run(
    settings: Annotated[Path, typer.Argument(help="TOML file of settings.", readable=False)],
    check_only: Annotated[
        bool,
        typer.Option("--check", help="End after the checks; exit code 3 if they find something."),
    ] = False,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take a galaxy from cube, orbit library and SSPs to fitted products.

    Every step leaves what it made in the folder of the settings, and is skipped as long as its
    inputs and settings stay the same.

    Example: cubefit run galaxy.toml
    """
    with interruptible("run the same command again, finished steps are kept."):
        from cubefit.galaxy import run_galaxy
        from cubefit.store.file_status import plain

        report = run_galaxy(settings, check_only=check_only, threads=threads, verbose=not quiet)
        if as_json:
            told = {
                "file": str(report.h5_path),
                "products": [str(path) for path in report.products],
                "findings": report.findings,
                "steps_done": report.steps_done,
                "noise_chi2": plain(report.noise_chi2),
                "fit": report.stats,
            }
            print(json.dumps(told, indent=2))
        else:
            print(summary(report))
            for finding in report.findings:
                print(f"Check: {finding}")
            for path in report.products:
                print(path)
        if check_only and report.findings:
            raise typer.Exit(EXIT_FOUND)


def summary(report: GalaxyReport) -> str:
    """Return what a run came to, in a line."""
    done = ", ".join(report.steps_done) or "none, all were done before"
    if not report.stats:
        found = f"{len(report.findings)} findings" if report.findings else "nothing found"
        return f"Checked, {found}; steps done now: {done}."
    left = (
        "no noise given"
        if math.isnan(report.noise_chi2)
        else f"noise alone leaves {report.noise_chi2:.4g}, for neighbouring pixels share it"
    )
    return (
        f"{report.h5_path}: chi2 per voxel {report.stats['chi2_per_voxel']:.4g} over "
        f"{report.stats['n_voxels']:,} voxels ({left}); steps done now: {done}."
    )
