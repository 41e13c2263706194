"""Settings: frozen, keyword-only, checked once at birth."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np

from cubefit.errors import ConfigError

Normalization = Literal["losvd", "unit"]
RowOrder = Literal["random", "sequential"]
WarmStart = Literal["auto", "resume", "jacobi", "zeros", "x0"]
OperatorKind = Literal["auto", "stored", "matrix-free"]
Method = Literal["kaczmarz", "exact"]

LARGEST_RATIO_WEIGHT = 1e5
LARGEST_REGULARIZATION = 1e4
"""What float64 holds beside the data."""
LARGEST = 2**63 - 1
"""What an integer in a file can hold."""


def require_choice(name: str, value: object, choices: object) -> None:
    """Raise ConfigError unless ``value`` is one of the ``Literal`` type ``choices``."""
    allowed = get_args(choices)
    if value not in allowed:
        raise ConfigError(f"{name}={value!r}: choose one of {', '.join(map(repr, allowed))}.")


def require_whole(name: str, value: object, least: int, most: int = LARGEST) -> None:
    """Raise ConfigError unless ``value`` is an int (no bool) from ``least`` to ``most``."""
    if type(value) is not int or value < least:
        raise ConfigError(f"{name}={value!r}: must be an int of at least {least}.")
    if value > most:
        raise ConfigError(f"{name} must be an int of at most {most}.")


def require_positive(name: str, value: int | None) -> None:
    """Raise ConfigError unless ``value`` is an int of at least 1, or None."""
    if value is not None:
        require_whole(name, value, 1)


def require_flag(name: str, value: object) -> None:
    """Raise ConfigError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={value!r}: give True or False.")


def require_real(name: str, value: object) -> None:
    """Raise ConfigError unless ``value`` is a real number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name}={value!r}: give a number.")


def require_not_negative(name: str, value: float) -> None:
    """Raise ConfigError unless a number is finite and not negative."""
    require_real(name, value)
    if not 0 <= value < float("inf"):
        raise ConfigError(f"{name}={value}: give a finite number, 0 or more.")


def require_above_zero(name: str, value: float | None) -> None:
    """Raise ConfigError unless a number is finite and positive, or None."""
    if value is None:
        return
    require_real(name, value)
    if not 0 < value < float("inf"):
        raise ConfigError(f"{name}={value}: give a finite number above 0.")


def require_smoothness(regularization: float) -> None:
    """Raise ConfigError unless it is a number from 0 to `LARGEST_REGULARIZATION`."""
    require_not_negative("regularization", regularization)
    if regularization > LARGEST_REGULARIZATION:
        raise ConfigError(
            f"regularization={regularization}: {LARGEST_REGULARIZATION:.0e} at most, which leaves "
            "populations no bend that could be seen."
        )


def require_ratio_settings(anchor: int | str, min_weight: float) -> None:
    """Raise ConfigError unless they are a component or ``auto``, and a share below one."""
    require_real("ratio_min_weight", min_weight)
    if not 0 <= min_weight < 1:
        raise ConfigError(
            f"ratio_min_weight={min_weight}: relative to the largest weight, give 0 to below 1."
        )
    if anchor != "auto":
        require_whole("ratio_anchor ('auto' or a component)", anchor, 0)


def unwrap_numpy(settings: BuildConfig | SolverCfg | PriorCfg | ExactCfg | TrackerConfig) -> None:
    """Replace NumPy scalars by the Python numbers that they hold, while settings are made."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, np.generic):
            object.__setattr__(settings, field.name, value.item())


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildConfig:
    """How the HyperCube is cut into tiles and computed."""

    S_chunk: int = 128
    """Most spaxels per tile; tiles are evened out so that the last one is not nearly empty."""
    C_chunk: int = 1
    """Most components per tile."""
    P_chunk: int = 360
    """Most populations per tile."""
    n_workers: int | None = None
    """Compute threads; None takes every core that the process may use."""
    normalization: Normalization = "losvd"
    """``losvd`` keeps the amplitude of each LOSVD, ``unit`` scales each to unit sum."""

    def __post_init__(self) -> None:
        """Check every setting."""
        unwrap_numpy(self)
        for name in ("S_chunk", "C_chunk", "P_chunk"):
            require_whole(name, getattr(self, name), 1)
        require_positive("n_workers", self.n_workers)
        require_choice("normalization", self.normalization, Normalization)


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverCfg:
    """How the global Kaczmarz sweeps run."""

    epochs: int = 1
    """Passes over all spaxels, at least 1."""
    pixels_per_aperture: int = 256
    """Rows (pixels) drawn per spaxel and epoch, at least 1."""
    lr: float = 0.25
    """Relaxation of one projection, between 0 and 2."""
    project_nonneg: bool = True
    """Project onto x >= 0 after every spaxel."""
    row_order: RowOrder = "random"
    """``random`` order of spaxels and of the rows in each, or both ``sequential``."""
    seed: int = 12345
    """Random seed; the same seed and inputs give the same bits."""
    ratio_use: bool | None = None
    """Enforce the orbit-weight ratios; None does so when orbit weights are given."""
    ratio_prob: float = 0.02
    """Chance of one batch of ratio rows, 0 to 1. Per spaxel, not per pixel row: the
    rows then nudge, and do not fight the data."""
    ratio_eta: float | None = None
    """Relaxation of a ratio row; None takes ``0.1 * lr``."""
    ratio_anchor: int | Literal["auto"] = "auto"
    """Component that the ratios refer to; ``auto`` takes the one of largest weight."""
    ratio_min_weight: float = 1e-4
    """Components below this weight, relative to the largest, get no ratio row."""
    ratio_batch: int = 2
    """Ratio rows per batch, at least 1."""
    regularization: float = 0.0
    """Smoothness of the populations, see `PriorCfg`: after every spaxel a proximal step of the
    second differences, of strength ``lr * regularization^2`` over an epoch."""

    def __post_init__(self) -> None:
        """Check every setting."""
        unwrap_numpy(self)
        for name in ("epochs", "pixels_per_aperture", "ratio_batch"):
            require_whole(name, getattr(self, name), 1)
        require_whole("seed", self.seed, 0)
        require_smoothness(self.regularization)
        for name in ("lr", "ratio_prob"):
            require_real(name, getattr(self, name))
        require_choice("row_order", self.row_order, RowOrder)
        require_flag("project_nonneg", self.project_nonneg)
        if self.ratio_use is not None:
            require_flag("ratio_use", self.ratio_use)
        if self.ratio_eta is not None:
            require_real("ratio_eta", self.ratio_eta)
        if not 0 < self.lr < 2:
            raise ConfigError(f"lr={self.lr}: must lie between 0 and 2, both excluded.")
        if self.ratio_eta is not None and not 0 < self.ratio_eta < 2:
            raise ConfigError(f"ratio_eta={self.ratio_eta}: must lie in (0, 2).")
        if not 0 <= self.ratio_prob <= 1:
            raise ConfigError(f"ratio_prob={self.ratio_prob}: is a chance, give 0 to 1.")
        require_ratio_settings(self.ratio_anchor, self.ratio_min_weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorCfg:
    """Prior terms of the objective of an exact fit."""

    ratio_use: bool | None = None
    """Hold the components to the ratios of the orbit weights; None does so when they are given."""
    ratio_weight: float = 300.0
    """One over the relative scatter that the ratios are allowed. 0 leaves them free."""
    ratio_anchor: int | Literal["auto"] = "auto"
    """Component that the ratios refer to; ``auto`` takes the one of largest weight."""
    ratio_min_weight: float = 1e-4
    """Components below this weight, relative to the largest, get no ratio row."""
    regularization: float | Literal["auto"] = 0.0
    """Weight of the second differences of the populations of each component along metallicity, age
    and alpha, in units of the component's expected weight per population: 1 / regularization is
    their allowed scatter, as with pPXF's ``regul``. ``auto`` raises it until chi2 has grown by
    ``sqrt(2 N)``."""
    total_weight: float | None = None
    """What all weights sum to, if it is known; None takes it from a fit without smoothness."""

    def __post_init__(self) -> None:
        """Check every setting."""
        unwrap_numpy(self)
        if self.ratio_use is not None:
            require_flag("ratio_use", self.ratio_use)
        require_not_negative("ratio_weight", self.ratio_weight)
        if self.ratio_weight > LARGEST_RATIO_WEIGHT:
            raise ConfigError(
                f"ratio_weight={self.ratio_weight}: {LARGEST_RATIO_WEIGHT:.0e} at most, which "
                "leaves the ratios no scatter that could be seen."
            )
        require_ratio_settings(self.ratio_anchor, self.ratio_min_weight)
        if isinstance(self.regularization, str):
            require_choice("regularization", self.regularization, Literal["auto"])
        else:
            require_smoothness(self.regularization)
        require_above_zero("total_weight", self.total_weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactCfg:
    """How the exact solver runs, and when it stops."""

    gap_tolerance: float = 1e-6
    """Relative duality gap at which the fit is finished."""
    max_rounds: int = 200
    """Rounds, at least 1; each stage of the preparation has as many."""
    time_limit_s: float | None = None
    """Seconds after which no further round begins."""
    max_memory_gb: float | None = None
    """Memory that the process may take; None takes half of the machine's."""

    def __post_init__(self) -> None:
        """Check every setting."""
        unwrap_numpy(self)
        require_whole("max_rounds", self.max_rounds, 1)
        require_above_zero("gap_tolerance", self.gap_tolerance)
        if self.gap_tolerance >= 1:
            raise ConfigError(
                f"gap_tolerance={self.gap_tolerance}: x = 0 is that good; give less than 1."
            )
        for name in ("time_limit_s", "max_memory_gb"):
            require_above_zero(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerConfig:
    """How a fit is followed."""

    metrics_interval_sec: float = 300.0
    """Seconds between two rows of metrics; like the other two less at first: 2, 4, 8, ... s."""
    val_interval_sec: float = 3600.0
    """Seconds between two looks at the validation sample."""
    ckpt_interval_sec: float = 1800.0
    """Seconds between two checkpoints."""
    Ns: int = 16
    """Spaxels of the validation sample; fewer where the cube has fewer."""
    Kval: int = 32
    """Pixels of the validation sample, the same in each of its spaxels."""
    diag_seed: int = 12345
    """Random seed of the validation sample."""
    ring_size: int = 96
    """Earlier solutions that are kept. In a file that has a ring of another size, the space of that
    one is left unused."""

    def __post_init__(self) -> None:
        """Check every setting."""
        unwrap_numpy(self)
        for name in ("metrics_interval_sec", "val_interval_sec", "ckpt_interval_sec"):
            value = getattr(self, name)
            require_real(name, value)
            if not value >= 0:
                raise ConfigError(f"{name}={value}: give seconds, 0 or more.")
        for name in ("Ns", "Kval"):
            require_whole(name, getattr(self, name), 1)
        require_whole("ring_size", self.ring_size, 1, 1_000_000)
        require_whole("diag_seed", self.diag_seed, 0)
