"""A result as files for other programs: FITS with everything, ECSV tables."""

from __future__ import annotations

from pathlib import Path

from cubefit.errors import InputError
from cubefit.results.fit_result import FitResult


def exported_files(path: Path, folder: Path) -> tuple[Path, Path, Path]:
    """Return where `export_result` writes: FITS, components, spaxels."""
    stem = path.stem
    return (
        folder / f"{stem}.fits",
        folder / f"{stem}-components.ecsv",
        folder / f"{stem}-spaxels.ecsv",
    )


def export_result(path: Path, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the committed solution of a file as FITS and ECSV, each file whole or not at all.

    Parameters
    ----------
    path : Path
        A file with a solution.
    folder : Path
        Where the files go; created if missing.
    overwrite : bool
        Replace files there.

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
    fits, components, spaxels = exported_files(path, folder)
    there = [str(name) for name in (fits, components, spaxels) if name.exists()]
    if there and not overwrite:
        raise InputError(
            f"{', '.join(there)} exists: give another folder, or --overwrite (overwrite=True)."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return [
        result.to_fits(fits, overwrite),
        result.to_ecsv(components, overwrite, "components"),
        result.to_ecsv(spaxels, overwrite, "spaxels"),
    ]
