"""A result at a glance: one line, or a small table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cubefit.results.fit_result import FitResult, MeanKind


def summary_rows(result: FitResult) -> list[tuple[str, str]]:
    """Return what there is to say of a result, name and text of each.

    Parameters
    ----------
    result : FitResult
        The result.
    """
    (S, C), P, facts = result.share.shape, result.x.shape[1], result.facts
    rows = [("file", result.path.name), ("size", f"{C} components x {P} populations, {S} spaxels")]
    if "selected" in facts:
        rows.append(("of", str(facts["selected"])))
    named = "method" if "method" in facts else "solution"
    rows.append((named, str(facts[named])))
    if "chi2_per_voxel" in facts:
        name = "chi2/N" if facts["has_noise"] else "mean square residual"
        rows.append((name, f"{facts['chi2_per_voxel']:.4g}"))
    if "gap_rel" in facts:
        rows.append(("relative gap", f"{facts['gap_rel']:.2g}"))
    rows.append(("weights above zero", str(int((result.x > 0).sum()))))
    kinds: list[MeanKind] = ["light"]
    if result.template_masses is not None:
        kinds.append("mass")
    rows += [(f"total {kind}", f"{result.total(kind):.4g}") for kind in kinds]
    properties = result.properties
    for kind in kinds:
        # Nothing has a mean where there is no weight.
        means = {n: result.mean(n, kind) for n in properties}
        if math.isfinite(means.get("log_age", math.nan)):
            rows.append((f"geometric mean age by {kind}", f"{10.0 ** means['log_age']:.3g} Gyr"))
        if math.isfinite(means.get("metal", math.nan)):
            rows.append((f"mean [M/H] by {kind}", f"{means['metal']:+.3f}"))
    return rows


def one_line(rows: list[tuple[str, str]]) -> str:
    """Return the rows as one line."""
    (_, name), (_, size), *others = rows
    return f"FitResult({name}: {size}; " + ", ".join(f"{k} {v}" for k, v in others) + ")"
