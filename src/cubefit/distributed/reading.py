"""What a worker makes of its spaxels: it reads them from the file itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dask.sizeof import sizeof
from numpy.typing import NDArray

from cubefit.config import Normalization
from cubefit.distributed.on_worker import all_threads, named_reader, named_worker
from cubefit.errors import StaleError
from cubefit.inverse.compressed import Light
from cubefit.inverse.matrix_free import MatrixFreeOperator
from cubefit.inverse.observed import Observed
from cubefit.inverse.shares import Share
from cubefit.inverse.variations import VariedShare
from cubefit.store.handle import reading
from cubefit.store.load import ModelInputs, input_stamp, read_model_inputs, read_observed


@dataclass(frozen=True, slots=True)
class Task:
    """Which spaxels of which file a share holds."""

    path: str
    start: int
    stop: int
    normalization: Normalization
    stamp: str
    """Of the inputs that the other shares were read from, see `input_stamp`."""

    @property
    def spaxels(self) -> slice:
        """The spaxels."""
        return slice(self.start, self.stop)

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Open the file, unless another has taken its place since the first share was read.

        Raises
        ------
        StaleError
            If one has.
        """
        with reading(Path(self.path)) as file:
            if input_stamp(file) != self.stamp:
                raise StaleError(
                    f"{self.path} was replaced by another file while it was being fitted: call "
                    "again, for a fit of what is there now."
                )
            yield file


def read_inputs(task: Task) -> ModelInputs:
    """Return LOSVDs, templates and grids of some spaxels."""
    with named_worker(), named_reader(), task.opened() as file:
        return read_model_inputs(file, task.normalization, task.spaxels)


def peaks_of(inputs: ModelInputs) -> NDArray[np.float32]:
    """Return the largest LOSVD value of each velocity bin in some spaxels, shape (V,)."""
    return np.asarray(inputs.losvd.max(axis=(0, 2)))


def make_share(inputs: ModelInputs, peaks: NDArray[np.float32], task: Task) -> Share:
    """Return model and spectra of some spaxels.

    Parameters
    ----------
    inputs : ModelInputs
        Of these spaxels.
    peaks : ndarray, shape (V,)
        Largest LOSVD value of each velocity bin in any share: all have the same shifted templates,
        and count the same values as dark.
    task : Task
        Which spaxels.
    """
    lit = peaks > 0
    with named_worker(), all_threads():
        operator = MatrixFreeOperator(
            inputs.losvd,
            inputs.shifted_templates(np.float64, lit=lit),
            dtype=np.float64,
            lit_bins=lit,
            brightest=float(peaks.max()),
        )
        with named_reader(), task.opened() as file:
            observed = read_observed(file, task.spaxels)
    return Share(operator, observed, task.start)


def size_of_inputs(inputs: ModelInputs) -> int:
    """Return the bytes of LOSVDs and templates."""
    return inputs.losvd.nbytes + inputs.templates.nbytes


def size_of_share(share: Share) -> int:
    """Return the bytes of model and spectra."""
    assert isinstance(share.operator, MatrixFreeOperator)  # noqa: S101 - `make_share` makes no other
    return share.operator.n_bytes + size_of_observed(share.observed)


def size_of_varied(share: VariedShare) -> int:
    """Return the bytes of its spectra: the operator is counted where it was made."""
    return size_of_observed(share.observed)


def size_of_observed(observed: Observed) -> int:
    """Return the bytes of spectra and weights."""
    return observed.data.nbytes + observed.inverse_noise.nbytes


def size_of_light(light: Light) -> int:
    """Return the bytes of light by velocity bin."""
    return light.weighted.nbytes + light.pairs.nbytes


# By these Dask decides where work is done, and whether memory runs out.
sizeof.register(ModelInputs, size_of_inputs)
sizeof.register(Share, size_of_share)
sizeof.register(VariedShare, size_of_varied)
sizeof.register(Observed, size_of_observed)
sizeof.register(Light, size_of_light)
