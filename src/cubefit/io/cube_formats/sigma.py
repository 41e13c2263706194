"""What files call the error of a voxel, as one sigma."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ToSigma: TypeAlias = "Callable[[NDArray[Any]], NDArray[Any]]"


def of_sigma(error: NDArray[Any]) -> NDArray[Any]:
    """Return one sigma as it is."""
    return error


def of_variance(variance: NDArray[Any]) -> NDArray[Any]:
    """Return one sigma of a variance: NaN where that is negative."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(variance))


def of_inverse_variance(ivar: NDArray[Any]) -> NDArray[Any]:
    """Return one sigma of an inverse variance: infinite where that is zero."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return np.asarray(1.0 / np.sqrt(ivar))
