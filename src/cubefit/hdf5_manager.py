"""The manager of a CubeFit file: grids and inputs in, diagnostics, snapshots, compression."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.errors import ConfigError, GridError
from cubefit.inputs import CubeInputs, CubeOrder, check_inputs, numeric
from cubefit.observation import Observation
from cubefit.report import prefit_panels, save_figure
from cubefit.spectra.grids import Coverage, require_ln_wave, require_velocities
from cubefit.store import schema
from cubefit.store.compress import Codec, compress_visibly
from cubefit.store.handle import amending, reading
from cubefit.store.load import read_coverage
from cubefit.store.populate import write_guard, write_inputs, write_rebin_products
from cubefit.store.snapshot import read_snapshot
from cubefit.store.tiles import read_status

logger = logging.getLogger(__name__)


def warn_of_thin_guard(inputs: CubeInputs) -> None:
    """Warn if the templates cover the LOSVD's support but not the wanted margin."""
    found = inputs.coverage
    margin = min(found.blue_margin_px, found.red_margin_px)
    if margin < inputs.safety_pad_px:
        warnings.warn(
            f"Templates reach {found.blue_margin_px:.1f} px (blue) and {found.red_margin_px:.1f} "
            f"px (red) beyond the data, less than safety_pad_px={inputs.safety_pad_px}; the LOSVD "
            f"needs {found.blue_support_px:.1f} and {found.red_support_px:.1f} px, so the models "
            "are exact.",
            stacklevel=3,
        )


class H5Manager:
    """Gathers the inputs of a fit and writes them to one HDF5 file, complete or not at all.

    Parameters
    ----------
    h5_path : str or Path
        The file; it need not exist yet.
    tem_pix : array_like, shape (T,), optional
        Template pixel centres in ln(wavelength / Angstrom), uniform. Needed to populate.
    obs_pix : array_like, shape (L,), optional
        Observed pixel centres, same unit, uniform. Needed to populate.

    Raises
    ------
    GridError
        If a grid is not uniform or looks like Angstrom or log10.
    """

    def __init__(
        self,
        h5_path: str | Path,
        tem_pix: ArrayLike | None = None,
        obs_pix: ArrayLike | None = None,
    ) -> None:
        self.path = Path(h5_path)
        self._tem_pix = (
            None
            if tem_pix is None
            else require_ln_wave(numeric("tem_pix", tem_pix), "tem_pix (/TemPix)")
        )
        self._obs_pix = (
            None
            if obs_pix is None
            else require_ln_wave(numeric("obs_pix", obs_pix), "obs_pix (/ObsPix)")
        )
        self._vel_pix: NDArray[np.float64] | None = None

    def set_velocity_grid(self, velocity_kms: ArrayLike) -> None:
        """Set the LOSVD bin centres (``/VelPix``), km/s, shape (V,), uniform, v > 0 receding.

        They reach the file with `populate_from_arrays`.
        """
        self._vel_pix = require_velocities(
            numeric("velocity_kms", velocity_kms), "The velocity grid (/VelPix)"
        )

    def populate_from_arrays(
        self,
        losvd: ArrayLike,
        datacube: ArrayLike,
        templates: ArrayLike,
        mask: ArrayLike | None = None,
        xpix: ArrayLike | None = None,
        ypix: ArrayLike | None = None,
        binnum: ArrayLike | None = None,
        safety_pad_px: int = 64,
        *,
        noise: ArrayLike | None = None,
        voxel_mask: ArrayLike | None = None,
        template_axes: Mapping[str, Sequence[float]] | None = None,
        template_masses: ArrayLike | None = None,
        orbit_weights: ArrayLike | None = None,
        component_properties: Mapping[str, ArrayLike] | None = None,
        observation: Observation | None = None,
        datacube_order: CubeOrder | None = None,
        overwrite: bool = False,
    ) -> None:
        """Check all inputs against each other and write the file.

        A second call with the same inputs leaves the file, and all that was made from it, alone.

        Parameters
        ----------
        losvd : array_like, shape (S, V, C)
            LOSVD histograms; the sum over v is the share of component c's light in spaxel s.
        datacube : array_like, shape (S, L) or (L, S)
            Observed spectra, flux density.
        templates : array_like, shape (T, nZ, nAge, nAlpha) or (T, ...)
            Template flux densities; stored as (P, T), P in C order of the axes behind T.
        mask : array_like of bool, shape (L,), optional
            True = use the pixel.
        xpix, ypix : array_like, shape (nPix,), optional
            Image-plane coordinates of each image pixel.
        binnum : array_like of int, shape (nPix,), optional
            Spaxel (0 to S-1) of each image pixel.
        safety_pad_px : int
            Template pixels wanted beyond the data on each side; fewer give a warning, fewer than
            the LOSVD's support an error.
        noise : array_like, shape (S, L), (L, S) or (L,), optional
            One sigma, unit of the data.
        voxel_mask : array_like of bool, shape (S, L) or (L, S), optional
            True = use the voxel.
        template_axes : mapping of str to sequence, optional
            Physical values of the template axes in their order, say
            ``{"metallicity": [...], "age": [...], "alpha": [...]}`` ([M/H] in dex, age in Gyr).
        template_masses : array_like, shape (nZ, nAge, nAlpha), the like, or (P,), optional
            Stellar mass of one unit of each template, so that ``x * template_masses`` is mass; ones
            where templates are spectra of one unit of mass. Results are read with it
            (`cubefit.FitResult`), the fit does not see it: new masses go into a file with all its
            products in place.
        orbit_weights : array_like, shape (C,), optional
            Weight of each component in the dynamical model, any scale: pictures compare with it,
            and ``solve_all(orbit_weights="stored")`` fits with it. Changes as freely as masses.
        component_properties : mapping of str to array_like, shape (C,), optional
            What is known of the components, by name with its unit, as axes of pictures:
            ``{"radius [kpc]": [...], "circularity": [...]}``. NaN where not known.
        observation : Observation, optional
            What stands behind the arrays: sky coordinates, wavelengths as observed, units,
            settings. Products carry it; it changes as freely as masses.
        datacube_order : {"SL", "LS"}, optional
            Axis order of ``datacube``, ``noise`` and ``voxel_mask``; needed where S equals L.
        overwrite : bool
            Replace other inputs and drop what was made from them, instead of refusing.

        Raises
        ------
        InputError, GridError
            If the inputs do not fit; nothing is written then.
        StoreError
            If the file holds products of other inputs, is foreign, or cannot be written.
        """
        if self._tem_pix is None or self._obs_pix is None:
            raise GridError(
                "Populating needs both grids: H5Manager(path, tem_pix=..., obs_pix=...)."
            )
        if self._vel_pix is None:
            raise GridError("Populating needs the LOSVD bins: call set_velocity_grid(vbins) first.")
        inputs = check_inputs(
            tem_pix=self._tem_pix,
            obs_pix=self._obs_pix,
            vel_pix=self._vel_pix,
            losvd=losvd,
            datacube=datacube,
            templates=templates,
            mask=mask,
            noise=noise,
            voxel_mask=voxel_mask,
            template_axes=template_axes,
            xpix=xpix,
            ypix=ypix,
            binnum=binnum,
            template_masses=template_masses,
            orbit_weights=orbit_weights,
            component_properties=component_properties,
            observation=observation,
            safety_pad_px=safety_pad_px,
            datacube_order=datacube_order,
        )
        warn_of_thin_guard(inputs)
        written = write_inputs(self.path, inputs, overwrite=overwrite)
        logger.info("%s %s", self.path, "populated." if written else "holds these inputs already.")

    def ensure_rebin_and_resample(self) -> None:
        """Add ``/R_T``, ``/RebinMatrix``, ``/TemplatesFFT`` and ``/TemplatesFFT_R``.

        Nothing is done where they are in the file and belong to its templates and grids.
        """
        write_rebin_products(self.path)

    @staticmethod
    def diagnose_rebin_edges(h5_path: str | Path) -> Coverage:
        """Return the margins of the templates beyond the data.

        Returns
        -------
        Coverage
            True when safe; its text gives the margins of both sides in pixels and km/s.
        """
        with reading(Path(h5_path)) as file:
            return read_coverage(file)

    @staticmethod
    def _write_guard_attrs(h5_path: str | Path, info: Mapping[str, float]) -> None:
        """Write guard information as ``guard.*`` scalars and ``guard_info_json``."""
        plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in info.items()}
        wrong = [k for k, v in plain.items() if not isinstance(v, bool | int | float)]
        if wrong:
            raise ConfigError(f"Guard information {wrong} is no number: give scalars only.")
        with amending(Path(h5_path)) as file:
            merged = json.loads(file.attrs.get(schema.ATTR_GUARD, "{}")) | plain
            write_guard(file, merged)

    @staticmethod
    def print_hypercube_done_status(h5_path: str | Path) -> None:
        """Print shape, chunks and finished tiles of the HyperCube."""
        with reading(Path(h5_path)) as file:
            status = read_status(file)
        if status is None:
            print(f"{h5_path}: no HyperCube yet: run build_hypercube.")  # noqa: T201
            return
        print(  # noqa: T201
            f"{h5_path}: models {status.grid.shape} chunks {status.chunks} "
            f"normalization {status.normalization} compression {status.compression}\n"
            f"tiles done: {int(status.done.sum())} / {status.done.size}"
        )

    @staticmethod
    def live_prefit_snapshot_from_models(
        h5_path: str | Path, out_png: str | Path = "prefit_overlay.png"
    ) -> Path:
        """Draw data, templates, LOSVDs and stored models, also while the HyperCube is built.

        Parameters
        ----------
        h5_path : str or Path
            A populated file, after `ensure_rebin_and_resample`.
        out_png : str or Path
            Where the picture goes (png, pdf or svg).

        Returns
        -------
        Path
            The picture.
        """
        figure = prefit_panels(**read_snapshot(Path(h5_path)).panels())
        return save_figure(figure, Path(out_png))

    @staticmethod
    def compress_hypercube_inplace(
        h5_path: str | Path,
        codec: Codec = "gzip",
        level: int = 2,
        shuffle: bool = True,
        *,
        keep_bits: int | None = None,
        verbose: bool = True,
    ) -> tuple[int, int]:
        """Compress a finished HyperCube into a new file, verify it, and swap it in.

        Parameters
        ----------
        h5_path : str or Path
            The file; needs room for the compressed copy beside it.
        codec : {"gzip", "lzf", "bitshuffle-lz4"}
            The last needs hdf5plugin, also to read: ``pip install "cubefit[compress]"``.
        level : int
            Of gzip, 0 to 9.
        shuffle : bool
            Of gzip and lzf.
        keep_bits : int, optional
            Mantissa bits to keep; the relative error is at most ``2**-(keep_bits + 1)``, 1.2e-4 for
            12. Default all: lossless, bit for bit.
        verbose : bool
            Tell progress.

        Returns
        -------
        before, after : int
            Bytes of the models on disk.
        """
        return compress_visibly(
            Path(h5_path),
            codec=codec,
            level=level,
            shuffle=shuffle,
            keep_bits=keep_bits,
            verbose=verbose,
        )
