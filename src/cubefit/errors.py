"""The errors of CubeFit: each message says what is wrong, where, and how to mend it."""

from __future__ import annotations

from typing import Final

EXIT_REQUEUE: Final = 75
"""Exit code of work that a signal stopped at a safe point (EX_TEMPFAIL): run the same again."""
EXIT_INTERRUPTED: Final = 130
"""Exit code of work that Ctrl-C stopped."""


class CubeFitError(Exception):
    """Base of every error that CubeFit raises on purpose."""


class InputError(CubeFitError, ValueError):
    """Arrays that a user gave do not fit together or hold impossible values."""


class GridError(InputError):
    """A wavelength or velocity grid is unusable, or does not cover another one."""


class ConfigError(CubeFitError, ValueError):
    """A setting is out of its range or contradicts another one."""


class StoreError(CubeFitError, OSError):
    """An HDF5 file is missing, foreign, incomplete, locked or does not fit its disk."""


class OverwriteError(StoreError):
    """A file holds what the call would replace, and was not allowed to."""


class MissingDataError(StoreError, RuntimeError):
    """A dataset that the call needs is not in the file yet."""


class StaleError(StoreError):
    """A product in the file was made from other inputs than those now in it."""


class LockedError(StoreError):
    """Another process is writing to the file."""


class ClusterError(CubeFitError, RuntimeError):
    """A Dask cluster does not answer, lacks something, or is too small."""


class DependencyError(CubeFitError, ImportError):
    """An optional package is needed and not installed."""


class StoppedError(SystemExit):
    """A signal asked for the end, and the state is safe: the same call goes on from there.

    Left alone, it ends the program with exit code 75, on which a batch script can requeue. Its
    message, where it has one, was logged.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = EXIT_REQUEUE
