"""A file under check."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubefit.file_check.structure import CUBE, axis_sizes, layout_faults
from cubefit.inputs import Grids
from cubefit.inverse.observed import Observed
from cubefit.store import schema
from cubefit.store.compress import require_filters
from cubefit.store.digests import InputDigests, digest_inputs
from cubefit.store.load import read_grids, read_observed
from cubefit.store.tiles import CubeStatus, read_status
from cubefit.store.verify import Survey


class Subject:
    """The file under check, open: what several checks look at is read once.

    Parameters
    ----------
    survey : Survey
        What was found in the file, open to read.
    """

    def __init__(self, survey: Survey) -> None:
        self.file = survey.file
        self.attributes = survey.attributes
        self.layout = survey.layout
        self.reconstructions = survey.reconstructions
        self.faults = layout_faults(self.layout)
        self.sizes = axis_sizes(self.layout, self.faults)

    def has(self, entry: schema.Entry) -> bool:
        """Whether the file has something there."""
        return entry.path in self.layout

    def read(self, path: str) -> NDArray[Any]:
        """Return a dataset."""
        return np.asarray(self.file[path][()])

    @cached_property
    def grids(self) -> Grids:
        """The three grids."""
        return read_grids(self.file)

    @cached_property
    def losvd(self) -> NDArray[np.float32]:
        """The LOSVDs, as stored."""
        return self.read(schema.LOSVD.path)

    @cached_property
    def observed(self) -> Observed:
        """Data, noise and masks."""
        return read_observed(self.file)

    @cached_property
    def digests(self) -> InputDigests:
        """Of the inputs now in the file."""
        return digest_inputs(self.file)

    @cached_property
    def status(self) -> CubeStatus | None:
        """Of the HyperCube, whose filter is made known; None if there is none that can be used."""
        sound = all(self.has(e) and e.path not in self.faults for e in CUBE)
        status = read_status(self.file) if sound else None
        if status is not None:
            require_filters(status)
        return status
