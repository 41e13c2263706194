"""All checks of a file in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cubefit.config import require_whole
from cubefit.errors import StoreError
from cubefit.file_check import contents, products
from cubefit.file_check.findings import Checklist, Finding, Verdict
from cubefit.file_check.models import check_models, sample_places
from cubefit.file_check.structure import CUBE, REBUILD, axes_faults, check_structure, size_faults
from cubefit.file_check.subject import Subject
from cubefit.file_check.tiles import CHECK_AGAIN, done_tiles, judge_tiles, scan_tiles
from cubefit.interrupts import stopping_between_steps
from cubefit.progress import visible_log
from cubefit.store import schema
from cubefit.store.checkpoints import read_checkpoint
from cubefit.store.compress import MANTISSA_BITS
from cubefit.store.load import read_coverage, read_model_inputs, read_optional
from cubefit.store.tiles import CubeStatus
from cubefit.store.verify import Found, TileIndex, read_spectrum, surveying

GRIDS: Final = (schema.TEM_PIX, schema.OBS_PIX, schema.VEL_PIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What `check_file` found."""

    path: Path
    findings: tuple[Finding, ...]
    damaged_tiles: tuple[TileIndex, ...]
    """Places in the tile grid; empty if tiles were not looked at."""

    @property
    def passed(self) -> bool:
        """Whether nothing failed; warnings pass."""
        return all(finding.state != "failed" for finding in self.findings)


def run_input_checks(subject: Subject, checks: Checklist) -> None:
    """Check the values of the inputs."""
    losvd, data = schema.LOSVD, schema.DATA_INPUTS
    checks.run("grids", lambda: contents.check_grids(subject.grids), reads=GRIDS)
    checks.run("losvd", lambda: contents.check_losvd(subject.losvd), reads=[losvd])
    checks.run(
        "templates",
        lambda: contents.check_templates(subject.read(schema.TEMPLATES.path)),
        reads=[schema.TEMPLATES],
    )
    if subject.has(schema.TEMPLATE_MASS):
        checks.run(
            "template masses",
            lambda: contents.check_template_masses(subject.read(schema.TEMPLATE_MASS.path)),
            reads=[schema.TEMPLATE_MASS],
        )
    checks.run(
        "contrast",
        lambda: contents.check_contrast(subject.read(schema.TEMPLATES.path), subject.grids),
        after=["grids", "templates"],
    )
    checks.run(
        "edges",
        lambda: contents.check_edges(read_coverage(subject.file)),
        after=["grids", "losvd"],
    )
    checks.run("truncation", lambda: contents.check_truncation(subject.losvd), after=["losvd"])
    checks.run("data", lambda: contents.check_data(subject.observed), reads=data)
    checks.run(
        "light",
        lambda: contents.check_light(subject.observed, subject.losvd),
        after=["losvd", "data"],
    )
    checks.run(
        "image",
        lambda: contents.check_image(
            read_optional(subject.file, schema.X_PIX),
            read_optional(subject.file, schema.Y_PIX),
            read_optional(subject.file, schema.BIN_NUM),
            subject.sizes["S"],
        ),
        reads=[schema.X_PIX, schema.Y_PIX, schema.BIN_NUM, losvd],
    )


def run_product_checks(subject: Subject, checks: Checklist) -> None:
    """Check what was made from the inputs, tiles apart."""
    inputs = schema.MODEL_INPUTS
    checks.run(
        "rebin",
        lambda: products.check_rebin(subject.file),
        reads=[*schema.REBIN_PRODUCTS, schema.TEMPLATES, *GRIDS],
    )
    run_cube_check(
        "hypercube",
        lambda status: products.check_cube_digest(status, subject.digests),
        subject,
        checks,
        reads=[*CUBE, *inputs],
    )
    if subject.has(schema.X_GLOBAL):
        checks.run(
            "solution",
            lambda: judge_solution(subject),
            reads=[schema.X_GLOBAL, *inputs, *schema.DATA_INPUTS],
        )
    else:
        checks.note("solution", Verdict("skipped", f"No {schema.X_GLOBAL.path} yet: fit first."))
    checks.run(
        "checkpoints",
        lambda: judge_checkpoints(subject),
        reads=[*schema.CHECKPOINT_X, *schema.CHECKPOINT_RECORD, *inputs, *schema.DATA_INPUTS],
    )
    cubes = subject.reconstructions
    for path, found in cubes.items():
        name = "model cube" if path == schema.MODEL_CUBE.path else f"model cube {path}"
        checks.run(name, partial(judge_model_cube, subject, path, found), reads=inputs)
    if not cubes:
        mend = "run reconstruct_model_cube_single"
        checks.note("model cube", Verdict("skipped", f"No {schema.MODEL_CUBE.path} yet: {mend}."))


def judge_solution(subject: Subject) -> Verdict:
    """Judge the solution that the file has."""
    name = schema.X_GLOBAL.path
    attributes = subject.layout[name].attributes
    x = subject.read(name)
    return products.check_solution(name, x, attributes, subject.status, subject.digests)


def judge_checkpoints(subject: Subject) -> Verdict:
    """Judge what a tracked fit left."""
    try:
        latest, best = (read_checkpoint(subject.file, which) for which in ("latest", "best"))
    except StoreError as error:
        return Verdict("failed", str(error))
    return products.check_checkpoints(latest, best, subject.digests.fit)


def judge_model_cube(subject: Subject, path: str, found: Found) -> Verdict:
    """Judge a reconstruction that the file has under any name."""
    entry = schema.MODEL_CUBE
    fault = axes_faults(entry, found) or size_faults(entry, found, subject.sizes)
    if fault:
        return Verdict("failed", f"{path} {fault}: run reconstruct_model_cube_single again.")
    x_path = schema.X_GLOBAL.path
    comparable = path == entry.path and x_path in subject.layout and x_path not in subject.faults
    return products.check_model_cube(
        path,
        subject.read(path),
        found.attributes,
        subject.read(x_path) if comparable else None,
        subject.digests,
    )


def run_cube_check(
    name: str,
    check: Callable[[CubeStatus], Verdict],
    subject: Subject,
    checks: Checklist,
    *,
    reads: Sequence[schema.Entry] = CUBE,
    after: Sequence[str] = (),
) -> None:
    """Run a check of the HyperCube, if there is one."""
    if not any(subject.has(e) or e.path in subject.faults for e in CUBE):
        checks.note(name, Verdict("skipped", "No HyperCube yet: run build_hypercube."))
        return

    def check_status() -> Verdict:
        if subject.status is None:
            raise StoreError(f"The HyperCube cannot be read: {REBUILD}.")
        return check(subject.status)

    checks.run(name, check_status, reads=reads, after=after)


def judge_models(subject: Subject, status: CubeStatus, n_models: int, seed: int) -> Verdict:
    """Compare a sample of stored models with the inputs."""
    attributes = subject.layout[schema.MODELS.path].attributes
    return check_models(
        read_model_inputs(subject.file, status.normalization),
        sample_places(status.grid, status.done, n_models, seed),
        partial(read_spectrum, subject.file),
        int(attributes.get(schema.ATTR_MANTISSA_BITS, MANTISSA_BITS)),
    )


def check_file(
    path: str | Path,
    *,
    n_models: int = 64,
    quick: bool = False,
    seed: int = 12345,
    verbose: bool = True,
) -> CheckReport:
    """Check a file: its layout, inputs, products, and the values of its HyperCube.

    A check that makes no sense because of what an earlier one found is skipped and says so.

    Parameters
    ----------
    path : str or Path
        A populated file; nothing is changed, and others may write to it meanwhile.
    n_models : int
        Stored models to compare with the inputs.
    quick : bool
        Leave out reading every tile: at the speed of a disk that takes 10 minutes for 600 GB.
    seed : int
        Of the choice of models.
    verbose : bool
        Tell progress.

    Returns
    -------
    CheckReport

    Raises
    ------
    StoreError
        If the file is missing, foreign, cut short, or made by a newer version.
    DependencyError
        If the HyperCube is compressed with a filter whose package is not installed.
    """
    path = Path(path)
    require_whole("n_models", n_models, 0)
    require_whole("seed", seed, 0)
    damaged: tuple[TileIndex, ...] = ()
    with visible_log(verbose), surveying(path) as survey:
        with stopping_between_steps(CHECK_AGAIN, CHECK_AGAIN) as look:
            subject = Subject(survey)
            checks = Checklist(set(subject.faults), look)
            checks.note(
                "schema", check_structure(subject.attributes, subject.layout, subject.faults)
            )
            run_input_checks(subject, checks)
            run_product_checks(subject, checks)
            run_cube_check(
                "models",
                lambda status: judge_models(subject, status, n_models, seed),
                subject,
                checks,
                after=["templates", "edges", "hypercube"],
            )

        def check_tiles(status: CubeStatus) -> Verdict:
            nonlocal damaged
            if quick:
                return Verdict(
                    "skipped", "Tiles were not read: check again without quick (--quick)."
                )
            damaged = scan_tiles(subject.file, status, done_tiles(status), verbose=verbose)
            return judge_tiles(status, damaged)

        run_cube_check("tiles", check_tiles, subject, checks)
    return CheckReport(path=path, findings=tuple(checks.findings), damaged_tiles=damaged)
