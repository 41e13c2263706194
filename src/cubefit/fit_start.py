"""Where a Kaczmarz fit starts, and what identifies a fit."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubefit.config import PriorCfg, SolverCfg, WarmStart
from cubefit.errors import ConfigError
from cubefit.fit_follower import state_of
from cubefit.inverse.kaczmarz import KaczmarzState
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.seeds import jacobi_seed
from cubefit.store.digests import digest_array
from cubefit.store.resume import Earlier

Float = NDArray[np.float64]


def require_use(warm_start: WarmStart, x0: Float | None) -> None:
    """Raise ConfigError if ``x0`` is missing, or given and would go unused."""
    if warm_start == "x0" and x0 is None:
        raise ConfigError("warm_start='x0' needs x0: pass it.")
    if warm_start in ("jacobi", "zeros") and x0 is not None:
        raise ConfigError(
            f"warm_start={warm_start!r} does not use x0: drop one of them, or pass warm_start='x0'."
        )


def call_that_goes_on(warm_start: WarmStart, *, has_x0: bool) -> str:
    """Return in words how to go on with a fit of this beginning."""
    if has_x0:
        return "a call with warm_start='auto' and without x0"
    if warm_start in ("auto", "resume"):
        return "the same call"
    return "the same command without --fresh (in Python, with warm_start='auto')"


def starting_point(
    earlier: Earlier | None,
    x0: Float | None,
    warm_start: WarmStart,
    misfit: Misfit,
    cfg: SolverCfg,
) -> tuple[KaczmarzState, int, str]:
    """Return where to start, the epochs behind the fit, and where that came from."""
    if earlier is not None and earlier.state:
        first_epoch = int(earlier.state["first_epoch"])
        return state_of(earlier.x, earlier.state), first_epoch, earlier.path
    if earlier is not None:
        behind = earlier.epochs if earlier.seed == cfg.seed else 0
        return KaczmarzState(x=earlier.x, epoch=behind), behind, earlier.path
    if x0 is not None:
        return KaczmarzState(x=x0), 0, "x0"
    if warm_start == "zeros":
        return KaczmarzState(x=np.zeros(misfit.shape[1:3])), 0, "zeros"
    seed = jacobi_seed(misfit, n_pixels=cfg.pixels_per_aperture, seed=cfg.seed)
    return KaczmarzState(x=seed), 0, "jacobi"


def digest_of_weights(orbit_weights: ArrayLike | None, ratio_use: bool | None) -> str | None:
    """Return the digest of the orbit weights that act, or None."""
    if orbit_weights is None or ratio_use is False:
        return None
    return digest_array(np.asarray(orbit_weights, np.float64))


def identity_of_exact(
    priors: PriorCfg, orbit_weights: ArrayLike | None, digest: str
) -> dict[str, Any]:
    """Return what identifies an exact fit in its checkpoints: its objective."""
    weights = digest_of_weights(orbit_weights, priors.ratio_use)
    terms = asdict(priors) | {"orbit_weights": weights}
    return {"method": "exact", "settings": {}, "priors": terms, "digest": digest}


def identity_of(cfg: SolverCfg, orbit_weights: ArrayLike | None, digest: str) -> dict[str, Any]:
    """Return what identifies a fit in its checkpoints: the same identity gives the same bits."""
    settings = {name: value for name, value in asdict(cfg).items() if name != "epochs"}
    weights = digest_of_weights(orbit_weights, cfg.ratio_use)
    terms = ("ratio_", "regularization")
    priors = {name: value for name, value in settings.items() if name.startswith(terms)}
    priors |= {"orbit_weights": weights}
    return {"method": "kaczmarz", "settings": settings, "priors": priors, "digest": digest}
