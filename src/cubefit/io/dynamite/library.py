"""One DYNAMITE model to an orbit library, in the order of its orbit weights."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cubefit.errors import ConfigError, InputError
from cubefit.io.dynamite.apertures import Apertures, read_apertures
from cubefit.io.dynamite.config import DynamiteConfig, KinematicSet, read_config
from cubefit.io.dynamite.histograms import (
    HistogramHeader,
    OrbitFiles,
    find_orbits,
    orbit_histograms,
    read_header,
)
from cubefit.io.dynamite.model_folder import (
    ModelFolder,
    find_model,
    read_weights,
    velocity_scale_of,
)
from cubefit.io.dynamite.orbit_classes import ODD, read_orbit_classes
from cubefit.prepare.bundles import Bundles, Bundling, LosvdSums, make_bundles
from cubefit.prepare.orbit_library import OrbitLibrary, checked_library, orbit_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

_log = logging.getLogger(__name__)

_SAME_STEP: Final = 1e-6
"""Relative difference of bin widths that the text of a configuration file may make."""

_NOTABLE_SHARE: Final = 1e-2
"""Share of the light in the outermost bins that is worth a warning."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the files are read with: all sets, and the one wanted."""

    sets: tuple[KinematicSet, ...]
    apertures: tuple[Apertures, ...]
    chosen: int

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Apertures and velocity bins of each set."""
        return [
            (apertures.n_bins, kinematic.hist_bins or 0)
            for kinematic, apertures in zip(self.sets, self.apertures, strict=True)
        ]


def read_dynamite(
    model_dir: Path | str,
    config: Path | str | None = None,
    *,
    sets: Sequence[KinematicSet] | None = None,
    kinematics: int | str = 0,
    bundle: Bundling | None = None,
    weights: ArrayLike | Path | str | None = None,
    velocity_scale: float | None = None,
    flip_tubes: bool | None = None,
    zero_ends: bool = True,
) -> OrbitLibrary:
    """Read the orbit library of a DYNAMITE model, one orbit in memory at a time.

    Orbits stand in the order of DYNAMITE's weights: each tube followed by the same tube running
    backwards, then the boxes. With ``bundle`` they are summed into components as they are read.

    Parameters
    ----------
    model_dir : path
        Folder of the model, such as ``output/models/orblib_000_000/ml05.00``.
    config : path, optional
        DYNAMITE's configuration file.
    sets : sequence of KinematicSet, optional
        The kinematic sets, instead of the configuration file.
    kinematics : int or str
        Which kinematic set to read, by place (from 0, of those with LOSVDs) or by name. The cube
        must be binned with the same ``bins.dat``.
    bundle : BundleBins or array_like of int, shape (N,), optional
        Bundles the orbits into components, see `cubefit.prepare.bundles`.
    weights : array_like, shape (N,), or path, optional
        Orbit weights, or a file of them (ECSV with a column ``weights``, or plain numbers), instead
        of ``orbit_weights.ecsv`` of the model.
    velocity_scale : float, optional
        Factor on all velocities; by default from the mass-to-light ratios of model and library.
    flip_tubes : bool, optional
        Whether tubes run both ways; by default unless the system is a bar with a disk.
    zero_ends : bool
        Empty the first and the last velocity bin. DYNAMITE sorts all light beyond its histograms
        into them, where no velocity is right, and empties them itself before it fits.

    Returns
    -------
    OrbitLibrary
        Positions are along the image axes of ``aperture.dat``, not turned to the major axis.
        Properties ``Rmean_kpc``, ``lambdax``, ``lambday``, ``lambdaz`` and ``Vrms_kms`` are there
        if the model has its ``orbclass`` files.

    Raises
    ------
    InputError
        If files are missing, damaged or contradict each other.
    ConfigError
        If the settings do, or there are none.
    """
    model = find_model(Path(model_dir))
    settings = _settings(config, sets)
    flip = not settings.bar if flip_tubes is None else flip_tubes
    scale = velocity_scale_of(model) if velocity_scale is None else velocity_scale
    if not 0 < scale < np.inf:
        raise ConfigError(f"velocity_scale={scale}: must be positive.")
    folder = model.library / "datfil"
    tubes, boxes = find_orbits(folder, "orblib"), find_orbits(folder, "orblibbox")
    layout = _layout(model, settings, kinematics, tubes)
    kinematic = layout.sets[layout.chosen]
    n_orbits = tubes.n_orbits * (2 if flip else 1) + boxes.n_orbits
    orbit_w = _weights(model, weights, n_orbits)
    properties = _properties(folder, tubes, boxes, flip, scale)
    bundles = make_bundles(bundle, weights=orbit_w, properties=properties)
    losvd = _bundled(tubes, boxes, layout, flip, zero_ends, bundles)
    sky = layout.apertures[layout.chosen]
    return checked_library(
        str(model_dir),
        losvd=losvd,
        vel=scale * _velocities(kinematic),
        weights=bundles.weights,
        binnum=sky.binnum,
        x=sky.x,
        y=sky.y,
        properties={name: bundles.mean(values) for name, values in properties.items()},
    )


def model_files(
    model_dir: Path | str, config: Path | str | None = None, weights: Path | str | None = None
) -> list[Path]:
    """Return the files that a model is read from, and perhaps a few more of it.

    Raises
    ------
    InputError
        If there is no model, or it has no weights.
    """
    model = find_model(Path(model_dir))
    found = [model.weights_file() if weights is None else Path(weights)]
    for folder, pattern in (("datfil", "orblib*"), ("infil", "*")):
        found += sorted(file for file in (model.library / folder).glob(pattern) if file.is_file())
    if config is not None:
        settings = read_config(Path(config))
        names = {name for kin in settings.sets for name in (kin.aperture_file, kin.bin_file)}
        inputs = settings.input_directory
        beside = [] if inputs is None else [inputs / name for name in sorted(names)]
        found += [Path(config), *(file for file in beside if file.is_file())]
    return found


def _weights(
    model: ModelFolder, weights: ArrayLike | Path | str | None, n_orbits: int
) -> NDArray[np.float64]:
    if weights is None:
        return read_weights(model.weights_file(), n_orbits)
    if isinstance(weights, Path | str):
        return read_weights(Path(weights), n_orbits)
    return orbit_weights(str(model.library), np.asarray(weights), n_orbits, "the number of orbits")


def _settings(config: Path | str | None, sets: Sequence[KinematicSet] | None) -> DynamiteConfig:
    if (config is None) == (sets is None):
        raise ConfigError(
            "read_dynamite needs the kinematic sets, from config= (DYNAMITE's YAML file) or from "
            "sets=: give one of the two."
        )
    if config is not None:
        return read_config(Path(config))
    if not isinstance(sets, list | tuple) or not all(isinstance(s, KinematicSet) for s in sets):
        raise ConfigError(
            f"sets = {sets!r}: give a list of KinematicSet, which Python alone can, or config=."
        )
    return DynamiteConfig(sets=tuple(sets), bar=False, input_directory=None)


def _layout(
    model: ModelFolder, settings: DynamiteConfig, kinematics: int | str, tubes: OrbitFiles
) -> _Layout:
    """Return the layout of the files, checked against their first record."""
    names = [kinematic.name for kinematic in settings.sets]
    known = kinematics in names if isinstance(kinematics, str) else 0 <= kinematics < len(names)
    if not known:
        raise ConfigError(
            f"kinematics={kinematics!r}: the model has the sets {', '.join(names) or 'none'}; "
            f"give one of them, or 0 to {len(names) - 1}."
        )
    chosen = names.index(kinematics) if isinstance(kinematics, str) else kinematics
    apertures = tuple(
        read_apertures(
            model.file(kinematic.aperture_file, [settings.input_directory]),
            model.file(kinematic.bin_file, [settings.input_directory]),
        )
        for kinematic in settings.sets
    )
    header = read_header(tubes)
    total = sum(part.n_bins for part in apertures)
    if header.n_apertures != total:
        raise InputError(
            f"{tubes.histograms} holds {header.n_apertures} apertures, but the bin files of the "
            f"kinematic sets {', '.join(names)} have {total}: give the configuration that belongs "
            "to the library."
        )
    first = _first_set(settings.sets[0], header, tubes.histograms)
    complete = (first, *settings.sets[1:])
    for kinematic in complete:
        if kinematic.hist_bins is None or kinematic.hist_width is None:
            raise ConfigError(
                f"Kinematic set {kinematic.name} has no hist_bins and hist_width, and the library "
                "records them for the first set alone: write them into the configuration."
            )
    return _Layout(complete, apertures, chosen)


def _first_set(kinematic: KinematicSet, header: HistogramHeader, path: Path) -> KinematicSet:
    """Return the first set with what the library records of it, or refuse a contradiction."""
    n_bins = 2 * header.half + 1
    bins = n_bins if kinematic.hist_bins is None else kinematic.hist_bins
    width = bins * header.step_kms if kinematic.hist_width is None else kinematic.hist_width
    same_step = abs(width / bins - header.step_kms) <= _SAME_STEP * header.step_kms
    if bins != n_bins or not same_step:
        raise InputError(
            f"{path} has {n_bins} velocity bins of {header.step_kms:.6g} km/s in its first "
            f"kinematic set, but {kinematic.name} has {bins} of {width / bins:.6g} km/s: give the "
            "configuration that belongs to the library."
        )
    return replace(kinematic, hist_bins=bins, hist_width=width)


def _velocities(kinematic: KinematicSet) -> NDArray[np.float64]:
    """Return the bin centres in km/s, shape (V,)."""
    n_bins, width = kinematic.hist_bins or 0, kinematic.hist_width or 0.0
    # Counted from the middle, so that the grid is symmetric to the last bit.
    centres = (np.arange(n_bins) - n_bins // 2) * (width / n_bins)
    return np.asarray(centres, np.float64)


def _properties(
    folder: Path, tubes: OrbitFiles, boxes: OrbitFiles, flip: bool, scale: float
) -> dict[str, NDArray[np.float64]]:
    """Return the properties of all orbits, in the order of the weights."""
    of_tubes = read_orbit_classes(folder, "orblib", tubes, scale)
    of_boxes = read_orbit_classes(folder, "orblibbox", boxes, scale)
    if not of_tubes or not of_boxes:
        return {}
    properties = {}
    for name, values in of_tubes.items():
        both = np.stack([values, -values if name in ODD else values], axis=1).ravel()
        properties[name] = np.concatenate([both if flip else values, of_boxes[name]])
    return properties


def _bundled(
    tubes: OrbitFiles,
    boxes: OrbitFiles,
    layout: _Layout,
    flip: bool,
    zero_ends: bool,
    bundles: Bundles,
) -> NDArray[np.float32]:
    """Return the LOSVDs of the components, shape (S, V, C)."""
    sums = LosvdSums(bundles, *layout.sizes[layout.chosen])
    orbit = 0
    light = at_ends = 0.0
    for files in (tubes, boxes):
        for losvd in orbit_histograms(files, layout.sizes, layout.chosen):
            light += losvd.sum()
            at_ends += losvd[:, [0, -1]].sum()
            if zero_ends:
                losvd[:, [0, -1]] = 0.0
            sums.add(orbit, losvd)
            orbit += 1
            if flip and files is tubes:
                sums.add(orbit, losvd[:, ::-1])
                orbit += 1
    if at_ends > _NOTABLE_SHARE * light:
        _log.warning(
            "%s: %.1f %% of the light lies in the first and last velocity bins, beyond the "
            "histograms (zero_ends=%s).",
            tubes.histograms,
            100 * at_ends / light,
            zero_ends,
        )
    return sums.result()
