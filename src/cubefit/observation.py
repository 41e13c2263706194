"""What stands behind the arrays of a file: sky, wavelengths and settings that they came from."""

from __future__ import annotations

from typing import Any, Final, Literal, Self

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cubefit.errors import InputError

LARGEST_BYTES: Final = 60_000
"""What an attribute of an HDF5 file of the oldest format holds, with some room."""


class ImagePlane(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The image that the pixels of a cube are of."""

    shape: tuple[int, int]
    """Rows and columns."""
    x: tuple[float, float]
    """Coordinate of the first column, and step from column to column."""
    y: tuple[float, float]
    """Likewise of the rows."""
    wcs: str = ""
    """Header of its celestial coordinates, cards of 80 characters; empty where unknown."""


class WaveAxis(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wavelengths of a cube as it was observed."""

    first: float
    """Centre of the first pixel: Angstrom, or its logarithm."""
    step: float
    size: int
    kind: Literal["linear", "ln"]
    medium: Literal["air", "vacuum"]

    @property
    def edges(self) -> NDArray[np.float64]:
        """Pixel edges in Angstrom, shape (size + 1,)."""
        edges = self.first + self.step * (np.arange(self.size + 1) - 0.5)
        return np.asarray(np.exp(edges) if self.kind == "ln" else edges, np.float64)


class Observation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands behind the arrays of a file; all of it is optional."""

    name: str = ""
    """Of the galaxy."""
    flux_unit: str = ""
    pixel_unit: str = ""
    """Of the coordinates of the image pixels."""
    image: ImagePlane | None = None
    wave: WaveAxis | None = None
    redshift: float = 0.0
    """That the fitted wavelengths are free of."""
    medium: Literal["air", "vacuum", ""] = ""
    """Of the fitted wavelengths."""
    noise_chi2: float | None = None
    """Chi2 per voxel that noise alone leaves, where neighbouring pixels share it; else one."""
    settings: dict[str, Any] = {}
    """That the arrays were made with."""

    def to_json(self) -> str:
        """Return it as text.

        Raises
        ------
        InputError
            If that is longer than an attribute of a file may be.
        """
        text = msgspec.json.encode(self).decode()
        if len(text.encode()) > LARGEST_BYTES:
            raise InputError(
                f"observation takes {len(text.encode())} bytes as JSON, more than the "
                f"{LARGEST_BYTES} that the file can hold: leave out what is large in its settings."
            )
        return text

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return it from text.

        Raises
        ------
        InputError
            If the text is of something else.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError as error:
            raise InputError(
                f"observation is not what CubeFit writes ({error}): populate again."
            ) from error
