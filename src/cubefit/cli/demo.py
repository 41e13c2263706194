"""``cubefit demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cubefit.cli.root import app, interruptible

if TYPE_CHECKING:
    from cubefit.demo import DemoReport


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the file and the pictures.")
    ] = Path("cubefit-demo"),
    size: Annotated[
        Literal["small", "medium"],
        typer.Option(help="small: 40 spaxels, 24 components; medium: 293, 120 (15 GB)."),
    ] = "small",
    quiet: Annotated[bool, typer.Option("--quiet", help="Show the summary only.")] = False,
) -> None:
    """Fit a mock galaxy of known truth, made of real orbits and real SSP spectra.

    Example: cubefit demo --out cubefit-demo
    """
    with interruptible("run the same command again, built tiles are kept."):
        from cubefit.demo import run_demo

        summarise(run_demo(out, size, verbose=not quiet))


def summarise(report: DemoReport) -> None:
    """Print what the demo found."""
    stats = report.fit.stats
    table = Table(title="CubeFit demo, a mock galaxy: fitted against true", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    rows = {
        "chi2 per voxel": f"{stats['chi2_per_voxel']:.3f} (the true galaxy: "
        f"{report.true_chi2_per_voxel:.3f}; {stats['n_voxels']:,} voxels, that is "
        "spaxels x wavelengths)",
        "total mass": f"{report.total_mass:.3f} (truth 1)",
        "light error of the components": f"{100 * report.light_error:.1f} % of the total light",
        "mass error of the components": f"{100 * report.mass_error:.1f} % of the total mass "
        "(the orbit weights hold their ratios)",
        "geometric mean age, by light": "{:.2f} Gyr (truth {:.2f})".format(*report.ages_by_light),
        "geometric mean age, by mass": "{:.2f} Gyr (truth {:.2f}; less certain, for old stars "
        "give little light)".format(*report.ages_by_mass),
        "log age per component, by light": f"{report.log_age_rms:.3f} dex rms error",
        "[M/H] per component, by light": f"{report.metal_rms:.3f} dex rms error",
        "optimum": "no other weights lower chi2 and priors together by more than "
        f"{stats['gap_rel']:.0e} of them",
        "time": f"{report.elapsed_s:.1f} s",
        "file": str(report.fit.h5_path),
        "pictures": ", ".join(str(p) for p in report.fit.pictures),
        "look at it": f"cubefit dashboard {report.fit.h5_path}",
        "more pictures": f"cubefit plot all {report.fit.h5_path} -o {report.fit.h5_path.parent}",
    }
    for name, value in rows.items():
        table.add_row(name, Text(value))
    Console().print(table)
