"""Streaming access to a stored HyperCube: spaxel planes and slabs, and the pixels in use."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cubefit.errors import InputError, MissingDataError
from cubefit.store import schema
from cubefit.store.compress import require_filters
from cubefit.store.handle import reading
from cubefit.store.load import read_optional
from cubefit.store.shards import Models, missing_words, stored_models
from cubefit.store.tiles import CubeStatus, read_status


class HyperCubeReader:
    """Reads models of a finished HyperCube; a context manager.

    From an uncompressed cube it reads the bytes of the planes asked for and nothing else.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    MissingDataError
        If there is no HyperCube, or tiles or shards of it are missing.
    """

    def __init__(self, path: str | Path) -> None:
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._file = stack.enter_context(reading(Path(path)))
            status = read_status(self._file)
            if status is None:
                raise MissingDataError(
                    f"Missing {schema.MODELS.path} after build in {path}: run build_hypercube."
                )
            if status.missing:
                raise MissingDataError(
                    f"Of {schema.MODELS.path} in {path} {missing_words(status.missing)}."
                )
            if not status.complete:
                raise MissingDataError(
                    f"{schema.MODELS.path} in {path} has {int(status.done.sum())} of "
                    f"{status.done.size} tiles: run build_hypercube again, it resumes."
                )
            require_filters(status)
            self.status: CubeStatus = status
            self._models: Models = stack.enter_context(stored_models(self._file))
            mask = read_optional(self._file, schema.MASK)
            self._stack = stack.pop_all()
        pixels = self.shape[3]
        if mask is not None and mask.shape != (pixels,):
            raise InputError(
                f"Row L mismatch ({mask.size} vs {pixels}): {schema.MASK.path} and "
                f"{schema.MODELS.path} in {path} disagree; populate the file again."
            )
        self.mask: NDArray[np.bool_] = np.ones(pixels, bool) if mask is None else mask.astype(bool)
        """True = use, shape (L,)."""

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes ``(S, C, P, L)``."""
        return self.status.grid.shape

    def plane(self, spaxel: int, *, masked: bool = False) -> NDArray[np.float32]:
        """Return the models of one spaxel.

        Parameters
        ----------
        spaxel : int
            Which one.
        masked : bool
            Whether to leave out the pixels that ``/Mask`` leaves out.

        Returns
        -------
        ndarray, shape (C, P, L) or (C, P, pixels in use)
        """
        plane = self._models[spaxel]
        return plane[..., self.mask] if masked else plane

    def slab(
        self, spaxels: slice, populations: slice, *, masked: bool = False
    ) -> NDArray[np.float32]:
        """Return the models of some spaxels and populations.

        Returns
        -------
        ndarray, shape (dS, C, dP, L) or (dS, C, dP, pixels in use)
        """
        slab = self._models[spaxels, :, populations]
        return slab[..., self.mask] if masked else slab
