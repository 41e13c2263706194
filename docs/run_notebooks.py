"""The notebooks of ``examples/``, executed: the tests check what the documentation shows.

``python docs/run_notebooks.py`` executes those that are not up to date.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

import cubefit

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
EXECUTED = ROOT / "docs" / "_generated" / "examples"
TIMEOUT_S = 300


def digest_of(*files: Path) -> str:
    """Return what tells one state of some files from another."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def digest_of_program() -> str:
    """Return what tells one version of the program from another; installing it anew does not."""
    return digest_of(*sorted(Path(cubefit.__file__).parent.rglob("*.py")))


def notebooks() -> list[Path]:
    """Return the notebooks of ``examples/``."""
    return sorted(EXAMPLES.glob("*.ipynb"))


def execute(source: Path, target: Path) -> nbformat.NotebookNode:
    """Execute a notebook in an empty folder, and write it with its outputs.

    Parameters
    ----------
    source, target : Path
        The notebook, and where it goes with its outputs.

    Returns
    -------
    NotebookNode

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails; it names the cell.
    """
    notebook = nbformat.read(source, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=TIMEOUT_S,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
        ).execute()
    notebook.metadata["made_of"] = [digest_of(source), digest_of_program()]
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part")
    nbformat.write(notebook, partial)
    partial.replace(target)
    return notebook


def is_current(source: Path, target: Path) -> bool:
    """Whether an executed notebook is of this source and of this program."""
    if not target.exists():
        return False
    made_of = nbformat.read(target, as_version=4).metadata.get("made_of")
    return bool(made_of == [digest_of(source), digest_of_program()])


def bring_up_to_date(folder: Path = EXECUTED) -> None:
    """Execute the notebooks whose executed copy in a folder is missing or old."""
    for source in notebooks():
        target = folder / source.name
        if not is_current(source, target):
            execute(source, target)
    for extra in set(folder.glob("*")) - {folder / source.name for source in notebooks()}:
        shutil.rmtree(extra) if extra.is_dir() else extra.unlink()


if __name__ == "__main__":
    bring_up_to_date()
