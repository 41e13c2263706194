"""What is made of a galaxy's fit: files for other programs, and pictures."""

from __future__ import annotations

import logging
from pathlib import Path

from cubefit.errors import MissingDataError
from cubefit.galaxy.settings import ProductsTable
from cubefit.pictures import draw
from cubefit.report import save_figure
from cubefit.results.export import export_result

logger = logging.getLogger(__name__)


def make_products(path: Path, folder: Path, table: ProductsTable) -> list[Path]:
    """Write maps, weights, tables, model cube and pictures into a folder; return what there is."""
    written = export_result(path, folder, overwrite=True, model_cube=table.model_cube)
    for kind in table.pictures:
        try:
            figure = draw(kind, path)
        except MissingDataError as reason:
            logger.warning("No picture %s: %s", kind, reason)
            continue
        written.append(save_figure(figure, folder / f"{kind}.png"))
    return written
