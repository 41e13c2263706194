"""A Kaczmarz fit of a file: its start, its follower, its sweeps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.config import SolverCfg, WarmStart
from cubefit.fit_follower import Follower
from cubefit.fit_parts import FitParts
from cubefit.fit_start import call_that_goes_on, identity_of, starting_point
from cubefit.fit_tracker import FitTracker
from cubefit.interrupts import StopRequest
from cubefit.inverse.priors import require_second_differences
from cubefit.inverse.ratio import ratio_rows
from cubefit.kaczmarz_solver import BatchHook, EpochHook, solve_global_kaczmarz

logger = logging.getLogger(__name__)

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class KaczmarzFit:
    """Kaczmarz sweeps as a method of `cubefit.pipeline_runner.PipelineRunner`."""

    cfg: SolverCfg
    orbit_weights: ArrayLike | None
    on_epoch_end: EpochHook | None
    on_batch: BatchHook | None

    def check(self, n_components: int, template_shape: tuple[int, ...]) -> None:
        """Raise ConfigError or InputError if the settings do not fit the file."""
        ratio_rows(self.orbit_weights, n_components, self.cfg)
        if self.cfg.regularization:
            require_second_differences(template_shape, self.cfg.regularization)

    def identity(self, digest: str) -> dict[str, Any]:
        """Return what identifies the fit, of inputs with this digest."""
        return identity_of(self.cfg, self.orbit_weights, digest)

    def run(
        self,
        parts: FitParts,
        tracker: FitTracker | None,
        request: StopRequest,
        warm_start: WarmStart,
        *,
        verbose: bool,
    ) -> tuple[Float, dict[str, Any]]:
        """Sweep, followed by the tracker, until the epochs are done or a stop is asked for."""
        cfg = self.cfg
        start, first_epoch, origin = starting_point(
            parts.earlier, parts.x0, warm_start, parts.misfit, cfg
        )
        logger.info(
            "Fitting %s (%s), starting from %s.", parts.path, parts.operator, parts.told(origin)
        )
        last_epoch = first_epoch + cfg.epochs
        if start.epoch >= last_epoch:
            logger.warning(
                "The unfinished fit has %d of the %d epochs that were asked for behind it: it "
                "is committed as it is.", start.epoch - first_epoch, cfg.epochs,
            )  # fmt: skip
        if tracker is not None:
            tracker.tell(
                fitting_since=time.time() - tracker.elapsed_s,
                elapsed_before=tracker.elapsed_s,
                epochs_before=start.epoch,
                epochs_wanted=last_epoch,
            )
        follower = Follower(
            parts.path,
            tracker,
            request,
            start,
            n_spaxels=parts.misfit.n_spaxels,
            first_epoch=first_epoch,
            last_epoch=last_epoch,
            same_call=call_that_goes_on(warm_start, has_x0=parts.x0 is not None),
            chi2_of=chi2_of(parts),
            has_priors=bool(cfg.regularization),
            on_epoch_end=self.on_epoch_end,
            on_batch=self.on_batch,
        )
        with follower.at_work():
            x, stats = solve_global_kaczmarz(
                parts.share.operator,
                parts.share.observed,
                start,
                cfg,
                first_epoch=first_epoch,
                orbit_weights=self.orbit_weights,
                template_shape=parts.template_shape,
                on_state=follower.follow,
                verbose=verbose,
            )
        follower.save(stats["chi2"])
        return x, stats | {"warm_start": origin, "seed": cfg.seed}


def chi2_of(parts: FitParts) -> Callable[[Float], float] | None:
    """Return what computes the chi2 of weights during the sweeps, None where that takes too long.

    One product of the matrix-free operator is a few percent of an epoch; a HyperCube would be read
    from the disk once more.
    """
    if parts.operator != "matrix-free":
        return None
    operator, observed = parts.share.operator, parts.share.observed
    return lambda x: observed.chi2(operator.matvec(x))
