"""HDF5 files of other programs: their datasets and attributes as plain arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from cubefit.errors import CubeFitError, InputError
from cubefit.store.access import read_apart
from cubefit.store.handle import READ_DAMAGE, missing_bytes

if TYPE_CHECKING:
    from types import EllipsisType

    from numpy.typing import NDArray


def is_hdf5(path: Path) -> bool:
    """Return whether ``path`` is an HDF5 file."""
    return path.is_file() and bool(h5py.is_hdf5(path))


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """An open HDF5 file that may hold anything; made by `foreign_file`."""

    path: Path
    shapes: dict[str, tuple[int, ...]]
    """Shapes of all datasets, by their paths without the leading slash."""
    dtypes: dict[str, np.dtype[Any]]
    """Types of all datasets."""
    _file: h5py.File

    def read(
        self, name: str, selection: slice | tuple[slice, ...] | EllipsisType = ...
    ) -> NDArray[Any]:
        """Return a dataset, or a part of it.

        Parameters
        ----------
        name : str
            Path of the dataset.
        selection : slice or tuple of slice, optional
            Which part, as for a NumPy array. Everything by default.

        Raises
        ------
        InputError
            If there is no such dataset, or its values are damaged.
        """
        self.require(name)
        with _clear(self.path, name):
            return np.asarray(self._file[name][selection])

    def attribute(self, name: str, *, of: str = "/") -> Any:
        """Return an attribute of the file, or of a dataset or group in it; None if missing.

        Text comes as str, a number as a NumPy scalar, anything else as an array.

        Raises
        ------
        InputError
            If there is no dataset or group ``of``, or the attribute is damaged.
        """
        with _clear(self.path, f"{of} attribute {name}"):
            if of not in self._file:
                raise InputError(f"{self.path} has no {of}: it holds {self.contents()}.")
            value = self._file[of].attrs.get(name)
            return value.decode() if isinstance(value, bytes) else value

    def require(self, *names: str) -> None:
        """Refuse a file that lacks one of these datasets.

        Raises
        ------
        InputError
            It names what is missing and what is there.
        """
        missing = [name for name in names if name.strip("/") not in self.shapes]
        if missing:
            raise InputError(
                f"{self.path} lacks the dataset {', '.join(missing)}; it holds "
                f"{self.contents()}: give the file that has them, or rename them."
            )

    def contents(self) -> str:
        """Return the datasets in words."""
        listed = [f"{name} {shape}" for name, shape in list(self.shapes.items())[:12]]
        more = len(self.shapes) - len(listed)
        return ", ".join(listed) + (f" and {more} more" if more else "") or "no datasets"


@contextmanager
def foreign_file(path: str | Path) -> Iterator[ForeignFile]:
    """Open an HDF5 file that another program wrote; it is only read.

    Parameters
    ----------
    path : str or Path
        The file.

    Yields
    ------
    ForeignFile

    Raises
    ------
    InputError
        If it is missing, no HDF5 file, or damaged; also while it is read.
    """
    path = Path(path)
    if not is_hdf5(path):
        what = "no HDF5 file" if path.is_file() else "no file"
        raise InputError(f"{path} is {what}: give an HDF5 file, or check the name.")
    with ExitStack() as stack:
        with _clear(path, "its table of contents"):
            file = stack.enter_context(read_apart(path))
            datasets = _datasets(file)
            # Damaged shapes and types show only when they are asked for.
            shapes = {name: tuple(dataset.shape or ()) for name, dataset in datasets.items()}
            dtypes = {name: dataset.dtype for name, dataset in datasets.items()}
        yield ForeignFile(path, shapes, dtypes, file)


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(keep)
    return found


@contextmanager
def _clear(path: Path, what: str) -> Iterator[None]:
    """Turn what h5py raises on damaged files into InputError."""
    try:
        yield
    except CubeFitError:
        raise
    except (*READ_DAMAGE, OverflowError) as error:
        raise InputError(
            f"{path}: {what} cannot be read; the file is {missing_bytes(path) or 'damaged'} "
            f"({error}): get it again."
        ) from error
