"""What a check finds, and the list in which a check that lacks its ground is skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cubefit.errors import CubeFitError, DependencyError
from cubefit.store import schema

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    name: str
    """Of the check; stable."""
    state: State
    detail: str
    """What, where, and the mend, in a sentence."""


class Verdict(NamedTuple):
    """What one check says."""

    state: State
    detail: str


def some(items: Iterable[object], most: int = 5) -> str:
    """Return the first items as text, and how many more there are."""
    listed = [str(item) for item in items]
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest


class Checklist:
    """Findings in order.

    Parameters
    ----------
    faulty : set of str
        Paths of datasets that cannot be used.
    on_finding : callable
        Called after each check.
    """

    def __init__(self, faulty: set[str], on_finding: Callable[[], None]) -> None:
        self.findings: list[Finding] = []
        self._faulty = faulty
        self._on_finding = on_finding

    def note(self, name: str, verdict: Verdict) -> None:
        """Add a verdict."""
        self.findings.append(Finding(name, *verdict))
        self._on_finding()

    def in_order(self, name: str) -> bool:
        """Whether an earlier check ran and did not fail."""
        return any(f.name == name and f.state in ("ok", "warning") for f in self.findings)

    def run(
        self,
        name: str,
        check: Callable[[], Verdict],
        *,
        reads: Iterable[schema.Entry] = (),
        after: Iterable[str] = (),
    ) -> None:
        """Run a check and add what it says; an error of CubeFit or the system is a failure.

        Parameters
        ----------
        name : str
            Of the check.
        check : callable
            Returns the verdict.
        reads : iterable of Entry
            Datasets that it cannot do without.
        after : iterable of str
            Checks without whose success it makes no sense.

        Raises
        ------
        DependencyError
            If a package is missing: that is no fault of the file.
        """
        blocked = [e.path for e in reads if e.path in self._faulty]
        blocked += [f'check "{other}"' for other in after if not self.in_order(other)]
        if blocked:
            self.note(name, Verdict("skipped", f"Not checked: first mend {some(blocked)}."))
            return
        try:
            verdict = check()
        except DependencyError:
            raise
        except (CubeFitError, OSError) as error:
            verdict = Verdict("failed", str(error))
        self.note(name, verdict)
