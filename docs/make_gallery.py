"""The pictures of the gallery: every kind that CubeFit draws, of the demo's galaxy."""

from __future__ import annotations

import shutil
from pathlib import Path

from cubefit.demo import run_demo
from cubefit.errors import CubeFitError
from cubefit.live_fit_dashboard import render_dashboard
from cubefit.pictures import KINDS, draw_all
from cubefit.report import save_figure
from cubefit.report.figures import PNG_DPI
from run_notebooks import digest_of_program

DASHBOARD = Path(__file__).parent / "dashboard.png"
DEMO_PICTURES = {
    "snapshot": "A build or a fit in one picture (`cubefit snapshot cube.h5`)",
    "masses": "Masses of the components against the truth (`cubefit demo`)",
    "populations": "Mean ages and metallicities against the truth (`cubefit demo`)",
}
OF_DEMO = "demo"
CSS_DPI = 96


def draw_into(folder: Path) -> None:
    """Run the demo and draw all that its file can carry, unless that is there already.

    Parameters
    ----------
    folder : Path
        For the pictures; those there are taken if this program drew them.
    """
    stamp, program = folder / "made_of", digest_of_program()
    if stamp.exists() and stamp.read_text() == program:
        return
    shutil.rmtree(folder, ignore_errors=True)
    report = run_demo(folder / OF_DEMO, verbose=False)
    for name, picture in draw_all(report.fit.h5_path, pixel_unit="arcsec"):
        if isinstance(picture, CubeFitError):
            continue
        save_figure(picture, folder / f"{name}.png")
    render_dashboard(report.fit.h5_path, folder / OF_DEMO / "snapshot.png")
    report.fit.h5_path.unlink()
    stamp.write_text(program)


def shown(picture: Path, told: str, base: Path) -> str:
    """Return a picture as Markdown, in the width that it has on paper."""
    pixels = int.from_bytes(picture.read_bytes()[16:20])  # of the header of a PNG
    width = round(pixels / PNG_DPI * CSS_DPI)
    return f"![{told}]({picture.relative_to(base)}){{width={width}px}}"


def write_page(path: Path) -> None:
    """Draw the pictures, and write the page that shows them, for another to include."""
    folder = path.parent / "gallery"
    draw_into(folder)
    base = path.parent.parent
    parts = [
        f"## {name}\n\n{kind.told[:1].upper()}{kind.told[1:]}.\n\n{shown(picture, kind.told, base)}"
        for name, kind in KINDS.items()
        if (picture := folder / f"{name}.png").exists()
    ]
    parts += [
        f"## {name}\n\n{told}.\n\n{shown(folder / OF_DEMO / f'{name}.png', told, base)}"
        for name, told in DEMO_PICTURES.items()
    ]
    if DASHBOARD.exists():
        told = "A build or a fit, live in the browser: `cubefit dashboard cube.h5`."
        parts.append(f"## dashboard\n\n{told}\n\n![The dashboard of a fit]({DASHBOARD.name})")
    path.write_text("\n\n".join(parts) + "\n")
