"""What an orbit library needs of DYNAMITE's configuration file: its kinematic sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from cubefit.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROPER_MOTIONS: Final = "ProperMotions"
"""Sets of this type are kept in a file of their own, and have no LOSVDs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KinematicSet:
    """How the LOSVDs of one kinematic set are binned, in velocity and on the sky.

    ``hist_center`` of the configuration is not used: DYNAMITE centres its histograms on zero.

    Raises
    ------
    ConfigError
        If the width is not positive, or the number of bins not odd.
    """

    name: str
    """Its name in the configuration file."""
    aperture_file: str = "aperture.dat"
    """File of the pixel grid, in the model's ``infil`` folder or the input folder."""
    bin_file: str = "bins.dat"
    """File of the bin of each pixel, in the same place."""
    hist_width: float | None = None
    """Width of the histograms in km/s. None takes both from the library, which records them for
    the first set alone."""
    hist_bins: int | None = None
    """Number of velocity bins, odd."""

    def __post_init__(self) -> None:
        """Refuse histograms that DYNAMITE cannot make."""
        if self.hist_width is not None and not 0 < self.hist_width < float("inf"):
            raise ConfigError(
                f"Kinematic set {self.name}: hist_width={self.hist_width} must be positive."
            )
        if self.hist_bins is not None and (self.hist_bins < 3 or self.hist_bins % 2 == 0):
            raise ConfigError(
                f"Kinematic set {self.name}: hist_bins={self.hist_bins} must be odd and at least "
                "3; DYNAMITE centres its bins on zero."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamiteConfig:
    """What an orbit library needs of a configuration file."""

    sets: tuple[KinematicSet, ...]
    """The sets with LOSVDs, in the order in which their apertures stand in the library."""
    bar: bool
    """Whether the system is a bar with a disk, whose tubes are not flipped."""
    input_directory: Path | None
    """Folder of the input files."""


def read_config(path: Path) -> DynamiteConfig:
    """Read the kinematic sets of a DYNAMITE configuration file.

    Parameters
    ----------
    path : Path
        YAML; ``system_components`` has one included component with ``kinematics``.

    Returns
    -------
    DynamiteConfig

    Raises
    ------
    InputError
        If the file is missing, no YAML, or no configuration of DYNAMITE.
    ConfigError
        If the histograms are impossible.
    """
    content = _mapping(path, "the file", _load(path))
    components = _mapping(path, "system_components", content.get("system_components"))
    with_kinematics = {
        name: part
        for name, part in components.items()
        if isinstance(part, dict) and part.get("include", True) and part.get("kinematics")
    }
    if len(with_kinematics) != 1:
        raise InputError(
            f"{path}: {len(with_kinematics)} included system_components have kinematics "
            f"({', '.join(with_kinematics) or 'none'}), but DYNAMITE fits one: give the "
            "configuration that made the library, or the sets themselves."
        )
    name, component = next(iter(with_kinematics.items()))
    kinematics = _mapping(path, f"{name}: kinematics", component["kinematics"])
    entries = {
        key: _mapping(path, f"kinematics: {key}", value) for key, value in kinematics.items()
    }
    settings = content.get("io_settings")
    folder = settings.get("input_directory") if isinstance(settings, dict) else None
    return DynamiteConfig(
        sets=tuple(
            _kinematic_set(path, key, entry)
            for key, entry in entries.items()
            if entry.get("type") != PROPER_MOTIONS
        ),
        bar=str(component.get("type", "")).startswith("BarDisk"),
        input_directory=path.parent / folder if isinstance(folder, str) else None,
    )


def _load(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"{path} cannot be read as YAML ({error}): give DYNAMITE's configuration file."
        ) from error


def _mapping(path: Path, what: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(
            f"{path}: {what} is {type(value).__name__}, not a mapping: give DYNAMITE's "
            "configuration file."
        )
    return value


def _kinematic_set(path: Path, name: str, entry: Mapping[str, Any]) -> KinematicSet:
    # Files write numbers as text too ('203'), and "default" for values found from the data.
    given = {
        key: value
        for key in ("hist_width", "hist_bins")
        if (value := entry.get(key, "default")) != "default"
    }
    try:
        width = float(given["hist_width"]) if "hist_width" in given else None
        bins = int(given["hist_bins"]) if "hist_bins" in given else None
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path}: kinematics {name}: {given} are no numbers ({error}): mend the file."
        ) from error
    return KinematicSet(
        name=name,
        aperture_file=str(entry.get("aperturefile", "aperture.dat")),
        bin_file=str(entry.get("binfile", "bins.dat")),
        hist_width=width,
        hist_bins=bins,
    )
