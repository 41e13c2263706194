"""When something that is done once in a while is due."""

from __future__ import annotations

import time
from typing import Final

FIRST_S: Final = 2.0
"""Everything is due for the first time this soon: a fit shows itself, and a bad disk too."""
RETRY_S: Final = 30.0
"""What was lost, a full disk or a dead process being the cause, is due again this soon."""


class Gate:
    """Tells when something is due: soon after the start, then after twice as long each time.

    So a fit shows itself early, whatever its length; at last it is due once an interval.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._wait_s = min(FIRST_S, interval_s)
        self._next = time.monotonic() + self._wait_s

    def is_due(self) -> bool:
        """Whether its time has come."""
        return time.monotonic() >= self._next

    def pass_on(self) -> None:
        """Note that it was done."""
        self._wait_s = min(2.0 * self._wait_s, self._interval_s)
        self._next = time.monotonic() + self._wait_s

    def hasten(self) -> None:
        """Note that it came to nothing, and is to be tried again soon."""
        self._next = min(self._next, time.monotonic() + RETRY_S)
