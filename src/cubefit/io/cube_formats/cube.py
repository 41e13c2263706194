"""An IFU cube on disk: what is known of it, and its voxels read when they are needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cubefit.errors import ConfigError, GridError, InputError
from cubefit.prepare.blocks import CubeBlock
from cubefit.spectra.grids import edges_between

if TYPE_CHECKING:
    from numpy.typing import NDArray

Layer: TypeAlias = "Callable[[slice], NDArray[Any]]"
"""Wavelength pixels of the file to values, wavelength first: shape (n, nPix) or (n, ny, nx)."""

BLOCK_BYTES = 9
"""Of one voxel in a block: flux, noise and mask."""
WORK_BYTES = 10
"""Of one voxel while a block is made: conversions, square roots and comparisons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The voxels of an open file."""

    flux: Layer
    noise: Layer | None
    """One sigma; not finite or not positive where a voxel is bad."""
    use: Layer | None
    """True = use, as far as the file has flags of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voxels:
    """How to get at the voxels of a file."""

    opened: Callable[[], AbstractContextManager[Layers]]
    n_pix: int
    raw_bytes: int
    """Bytes of one voxel in the file, all layers together."""
    has_noise: bool
    largest_block: float = math.inf
    """Voxels of a block at most, whatever memory there is."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class IFUCube:
    """An IFU cube, or a table of spectra, whose voxels stay on disk until they are asked for.

    Spatial pixels are counted in C order over (row, column) of the image: ``row * nx + column``.
    All pixels of the image are there; those without data are masked. A voxel is masked (mask
    False) where its flux or noise is not finite, its noise is not positive, or the file flags it;
    also where a number lies outside the range of float32.

    Raises
    ------
    InputError
        If the parts do not fit together.
    GridError
        If the wavelengths do not increase.
    """

    wave: NDArray[np.float64]
    """Pixel centres in Angstrom, shape (L,), increasing."""
    medium: str
    """Medium of the wavelengths, "air" or "vacuum"."""
    x: NDArray[np.float64] | None
    """Positions along the columns of the image in arcsec, shape (nPix,), zero at its centre; of a
    table of spectra, as it gives them, and None where it gives none."""
    y: NDArray[np.float64] | None
    """Positions along the rows."""
    unit: str
    """Unit of the flux as the file has it, empty where it has none."""
    image_shape: tuple[int, int] | None
    """(ny, nx); None for a table of spectra."""
    wcs: str | None
    """Header of the two celestial axes (`astropy.wcs.WCS.to_header_string`)."""
    fwhm: NDArray[np.float64] | None
    """FWHM of the line spread function in Angstrom, shape (L,), where the file has it."""
    source: str
    """File and format, for people."""
    binnum: NDArray[np.int32] | None
    """Bin of each spatial pixel, shape (nPix,), where the file holds one spectrum a bin."""
    voxels: Voxels
    """How to get at the values."""
    at_rest: bool = field(default=False)
    """Whether the redshift has been taken out of the wavelengths already."""
    first: int = field(default=0)
    """Wavelength pixel of the file at ``wave[0]``."""

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together."""
        require_wave(self.wave, self.source)
        for name in ("x", "y", "binnum"):
            values = getattr(self, name)
            if values is not None and values.shape != (self.voxels.n_pix,):
                raise InputError(
                    f"{self.source}: {name} has shape {values.shape} for {self.voxels.n_pix} "
                    "spectra: give one value each."
                )
        if self.fwhm is not None and self.fwhm.shape != self.wave.shape:
            raise InputError(
                f"{self.source}: the line spread function has {self.fwhm.size} values for "
                f"{self.wave.size} wavelengths: give one value each."
            )

    def __repr__(self) -> str:
        """Return the sizes in words."""
        return (
            f"<IFUCube of {self.voxels.n_pix} spectra with {self.wave.size} wavelengths "
            f"({self.wave[0]:.1f}-{self.wave[-1]:.1f} A in {self.medium}) from {self.source}>"
        )

    @property
    def wave_edges(self) -> NDArray[np.float64]:
        """Pixel edges in Angstrom, shape (L + 1,): half-way between the centres."""
        return edges_between(self.wave)

    @property
    def has_noise(self) -> bool:
        """Whether the file states the noise."""
        return self.voxels.has_noise

    @property
    def flux(self) -> NDArray[np.float32]:
        """The whole flux, shape (nPix, L), read from the file at each access."""
        with self.voxels.opened() as layers:
            return _pixels_first(_float32(layers.flux(self._in_file(0, self.wave.size))))

    @property
    def noise(self) -> NDArray[np.float32]:
        """The whole noise, one sigma, shape (nPix, L), read from the file at each access.

        Raises
        ------
        InputError
            If the file has none.
        """
        with self.voxels.opened() as layers:
            if layers.noise is None:
                raise InputError(
                    f"{self.source} states no noise: give a file that has it, or estimate it from "
                    "the scatter of the flux and add it."
                )
            return _pixels_first(_float32(layers.noise(self._in_file(0, self.wave.size))))

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True = use, shape (nPix, L), read from the file at each access."""
        mask = np.empty((self.wave.size, self.voxels.n_pix), np.bool_).T
        for block in self.blocks():
            mask[:, block.wave] = block.mask
        return mask

    def blocks(
        self, *, memory_mb: float = 256.0, wave_range: tuple[float, float] | None = None
    ) -> Iterator[CubeBlock]:
        """Read the cube piece by piece, in the order of the wavelengths.

        Parameters
        ----------
        memory_mb : float, optional
            Memory for one block, the one before it, and what is needed to make it; at least one
            wavelength is read at a time. Files that are compressed as a whole (``.fits.gz``) and
            npz files are held in memory besides.
        wave_range : tuple of float, optional
            Only pixels whose centres lie from the first to the last wavelength (Angstrom).

        Returns
        -------
        iterator of CubeBlock

        Raises
        ------
        ConfigError
            If ``memory_mb`` is not positive.
        GridError
            If the cube has no two pixels in the range.
        InputError
            If the file is damaged; it is raised while the blocks are read.
        """
        if not memory_mb > 0:
            raise ConfigError(f"memory_mb={memory_mb}: must be positive.")
        window = self._window(wave_range)
        voxel_bytes = self.voxels.raw_bytes + 2 * BLOCK_BYTES + WORK_BYTES
        size = min(memory_mb * 1e6 / voxel_bytes, self.voxels.largest_block)
        return self._blocks(window, max(1, int(size / self.voxels.n_pix)))

    def trimmed(self, wave_range: tuple[float, float]) -> IFUCube:
        """Return the cube with only the pixels whose centres lie in a range of wavelengths.

        Nothing is read.

        Parameters
        ----------
        wave_range : tuple of float
            First and last wavelength in Angstrom.

        Raises
        ------
        GridError
            If the cube has no two pixels there.
        """
        window = self._window(wave_range)
        return replace(
            self,
            wave=self.wave[window],
            fwhm=None if self.fwhm is None else self.fwhm[window],
            first=self.first + window.start,
        )

    def _window(self, wave_range: tuple[float, float] | None) -> slice:
        if wave_range is None:
            return slice(0, self.wave.size)
        low, high = wave_range
        start = int(np.searchsorted(self.wave, low, side="left"))
        stop = int(np.searchsorted(self.wave, high, side="right"))
        if stop - start < 2:
            raise GridError(
                f"{self.source} covers {self.wave[0]:.1f}-{self.wave[-1]:.1f} A, with no two "
                f"pixels from {low} to {high} A: give another wave_range, lowest first."
            )
        return slice(start, stop)

    def _in_file(self, start: int, stop: int) -> slice:
        return slice(self.first + start, self.first + stop)

    def _blocks(self, window: slice, n: int) -> Iterator[CubeBlock]:
        with self.voxels.opened() as layers:
            for start in range(window.start, window.stop, n):
                yield self._block(layers, slice(start, min(start + n, window.stop)))

    def _block(self, layers: Layers, wave: slice) -> CubeBlock:
        in_file = self._in_file(wave.start, wave.stop)
        flux = _pixels_first(_float32(layers.flux(in_file)))
        mask = np.isfinite(flux)
        if layers.noise is None:
            noise = np.broadcast_to(np.float32(np.nan), flux.shape)
        else:
            noise = _pixels_first(_float32(layers.noise(in_file)))
            mask &= noise > 0
            mask &= noise < np.inf
        if layers.use is not None:
            mask &= _pixels_first(layers.use(in_file))
        return CubeBlock(wave=wave, flux=flux, noise=noise, mask=mask)


def require_wave(wave: NDArray[np.float64], where: str) -> None:
    """Refuse wavelengths in Angstrom that are no grid of pixel centres.

    Raises
    ------
    GridError
        Unless they are at least two, positive, finite and increasing.
    """
    if wave.ndim != 1 or wave.size < 2 or not np.isfinite(wave).all():
        raise GridError(
            f"{where}: wavelengths of shape {wave.shape} are no vector of at least two numbers: "
            "give one wavelength in Angstrom for each pixel."
        )
    if wave[0] <= 0 or not (np.diff(wave) > 0).all():
        raise GridError(
            f"{where}: wavelengths run from {wave[0]:.6g} to {wave[-1]:.6g} A and do not increase "
            "throughout from above zero: order the spectra from blue to red."
        )


def _float32(raw: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", under="ignore"):
        return raw.astype(np.float32, copy=False)


def _pixels_first(layer: NDArray[Any]) -> NDArray[Any]:
    """Return a view of shape (nPix, n)."""
    return layer.reshape(layer.shape[0], -1).T
