"""A result as files for other programs: FITS with everything, ECSV tables."""

from __future__ import annotations

import logging
from pathlib import Path

from cubefit.errors import InputError, MissingDataError
from cubefit.results.fit_result import FitResult
from cubefit.results.model_cube import export_model_cube

logger = logging.getLogger(__name__)


def exported_files(path: Path, folder: Path) -> tuple[Path, Path, Path, Path]:
    """Return where `export_result` writes: FITS, components, spaxels, model cube."""
    stem = path.stem
    return (
        folder / f"{stem}-results.fits",
        folder / f"{stem}-components.ecsv",
        folder / f"{stem}-spaxels.ecsv",
        folder / f"{stem}-model.fits",
    )


def export_result(
    path: Path, folder: Path, *, overwrite: bool = False, model_cube: bool = True
) -> list[Path]:
    """Write the committed solution of a file as FITS and ECSV, each file whole or not at all.

    The model cube is among them where the file has one of the solution, and knows its pixels.

    Parameters
    ----------
    path : Path
        A file with a solution.
    folder : Path
        Where the files go; created if missing.
    overwrite : bool
        Replace files there.
    model_cube : bool
        Whether the model cube is wanted, too.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        If one of the files exists and ``overwrite`` is False; nothing is written then.
    MissingDataError
        If there is no solution yet.
    StaleError
        If the solution was made from other inputs than those now in the file.
    """
    result = FitResult.from_file(path)
    fits, components, spaxels, model = exported_files(path, folder)
    there = [str(name) for name in (fits, components, spaxels, model) if name.exists()]
    if there and not overwrite:
        raise InputError(
            f"{', '.join(there)} exists: give another folder, or --overwrite (overwrite=True)."
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = [
        result.to_fits(fits, overwrite),
        result.to_ecsv(components, overwrite, "components"),
        result.to_ecsv(spaxels, overwrite, "spaxels"),
    ]
    if not model_cube:
        return written
    try:
        written.append(export_model_cube(result, model, overwrite=overwrite))
    except MissingDataError as reason:
        # One of other weights would be taken for the model of these.
        model.unlink(missing_ok=True)
        logger.info("No model cube: %s", reason)
    return written
