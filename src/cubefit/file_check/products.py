"""What was made from the inputs: whether it belongs to those now in the file, and is finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubefit.file_check.findings import Verdict
from cubefit.store import schema
from cubefit.store.checkpoints import Checkpoint
from cubefit.store.digests import InputDigests, digest_array, digest_entries
from cubefit.store.tiles import CubeStatus


def check_rebin(file: Mapping[str, Any]) -> Verdict:
    """Judge the rebin operator and the template transforms in a file."""
    present = [e for e in schema.REBIN_PRODUCTS if e.path in file]
    mend = "run ensure_rebin_and_resample()"
    if not present:
        return Verdict("skipped", f"No rebin products yet: {mend}.")
    if len(present) < len(schema.REBIN_PRODUCTS):
        lacking = ", ".join(e.path for e in schema.REBIN_PRODUCTS if e not in present)
        return Verdict("failed", f"{lacking} is missing: {mend}.")
    made_from = file[schema.R_T.path].attrs.get(schema.ATTR_DIGEST)
    if made_from != digest_entries(file, (schema.TEMPLATES, schema.TEM_PIX, schema.OBS_PIX)):
        return Verdict("failed", f"The rebin products are of other templates or grids: {mend}.")
    bad = next((e.path for e in present if not np.isfinite(file[e.path][()]).all()), None)
    if bad is not None:
        return Verdict("failed", f"{bad} holds NaN or infinite values: delete it and {mend}.")
    return Verdict("ok", "Rebin products of these templates and grids.")


def check_cube_digest(status: CubeStatus, digests: InputDigests) -> Verdict:
    """Judge whether the HyperCube is made of the inputs now in the file."""
    if status.digest != digests.models:
        return Verdict(
            "failed",
            "The HyperCube was built from other LOSVDs, templates or grids than those now in the "
            "file: build it anew with build_hypercube(..., overwrite=True).",
        )
    return Verdict("ok", f"Built from these inputs, normalization {status.normalization!r}.")


def check_solution(
    name: str,
    x: NDArray[np.float64],
    attributes: Mapping[str, Any],
    status: CubeStatus | None,
    digests: InputDigests,
) -> Verdict:
    """Judge a solution: its values, and whether it belongs to these inputs and this HyperCube."""
    bad = int((~np.isfinite(x)).sum())
    again = "fit again with warm_start='zeros'"
    if bad:
        return Verdict("failed", f"{name} holds {bad} NaN or infinite weights: {again}.")
    if attributes.get(schema.ATTR_DIGEST) != digests.fit:
        return Verdict(
            "failed", f"{name} was made from other inputs than those now in the file: {again}."
        )
    had = attributes.get(schema.ATTR_NORMALIZATION)
    if status is not None and had not in (None, status.normalization):
        return Verdict(
            "warning",
            f"{name} was fitted with normalization={had!r}, the HyperCube has "
            f"{status.normalization!r}: the two do not belong together.",
        )
    negative = int((x < 0).sum())
    if negative:
        return Verdict(
            "warning",
            f"{name} holds {negative} negative weights (least {x.min():.3g}): fit with "
            "project_nonneg=True, unless that was on purpose.",
        )
    lit = int(np.count_nonzero(x))
    return Verdict("ok", f"{name} is finite, {lit:,} of {x.size:,} weights above zero.")


def check_model_cube(
    name: str,
    cube: NDArray[np.float64],
    attributes: Mapping[str, Any],
    solution: NDArray[np.float64] | None,
    digests: InputDigests,
) -> Verdict:
    """Judge a reconstruction: its values, and whether it belongs to these inputs and solution."""
    again = "run reconstruct_model_cube_single again"
    bad = int((~np.isfinite(cube)).sum())
    if bad:
        return Verdict(
            "failed", f"{name} holds {bad} NaN or infinite values: delete it and {again}."
        )
    if attributes.get(schema.ATTR_DIGEST) != digests.models:
        return Verdict(
            "failed", f"{name} was made from other inputs than those now in the file: {again}."
        )
    if solution is not None and attributes.get(schema.ATTR_X_DIGEST) != digest_array(solution):
        return Verdict(
            "warning",
            f"{name} shows other weights than {schema.X_GLOBAL.path}: {again} unless that was on "
            "purpose.",
        )
    return Verdict("ok", f"{name} is finite and of these inputs.")


def check_checkpoints(latest: Checkpoint | None, best: Checkpoint | None, fit: str) -> Verdict:
    """Judge the checkpoints of a tracked fit; ``fit`` is the digest of the inputs of a fit."""
    if latest is None:
        return Verdict("skipped", "No checkpoint yet.")
    again = "the next fit needs warm_start='zeros'"
    for name, found in ((schema.X_LATEST.path, latest), (schema.X_BEST.path, best)):
        if found is None:
            continue
        if not np.isfinite(found.x).all():
            return Verdict("failed", f"{name} holds NaN or infinite weights: {again}.")
        if found.run.get("digest") != fit:
            return Verdict("warning", f"{name} was made from other inputs than these: {again}.")
    how = "finished" if latest.finished else "unfinished: the same call completes it"
    return Verdict("ok", f"Complete, of these inputs; the fit is {how}.")
