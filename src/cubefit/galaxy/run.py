"""From the settings of a galaxy to fitted products: every step once, as long as nothing changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from cubefit.errors import StoreError
from cubefit.galaxy import orbits as orbit_step
from cubefit.galaxy import populations as template_step
from cubefit.galaxy.checks import check_inputs_of, misfit_findings
from cubefit.galaxy.fit import decisive_for_fit, populate, solve
from cubefit.galaxy.merging import require_merging
from cubefit.galaxy.paths import require_apart, require_there, with_names_of_paths
from cubefit.galaxy.products import make_products
from cubefit.galaxy.record import DoneStep, Record, kept_warnings, sole_run
from cubefit.galaxy.settings import GalaxySettings
from cubefit.galaxy.settings_file import as_tables, read_settings
from cubefit.galaxy.spectra import Prepared, prepare_spectra
from cubefit.io.bins import bin_files
from cubefit.io.npz import open_npz, write_npz
from cubefit.io.orbits import OrbitLibrary, orbit_files, read_orbits
from cubefit.io.ssp import ssp_files
from cubefit.observation import Observation
from cubefit.progress import visible_log
from cubefit.store.handle import reading
from cubefit.store.load import input_stamp
from cubefit.store.results import solution_stamp

logger = logging.getLogger(__name__)

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
Made: TypeAlias = tuple[list[Path], Mapping[str, Any]]
"""Files that a step made, and what is to be known of it later."""
Work: TypeAlias = Callable[[], Made]

VERSION: Final = 1
"""Of what the steps do: a record of another version counts as nothing done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GalaxyReport:
    """What a run made."""

    h5_path: Path
    """The file of the fit."""
    products: list[Path]
    stats: dict[str, Any]
    """What the fit came to, see `PipelineRunner.solve_all`."""
    noise_chi2: float
    """Chi2 per voxel that noise alone leaves of a perfect model: neighbours share it."""
    findings: list[str]
    """What the steps and the checks of the inputs complain of, in words."""
    steps_done: list[str]
    """Steps that this run had to do; the others were done before."""


class GalaxyRun:
    """The steps of one galaxy, see `run_galaxy`."""

    def __init__(self, settings: GalaxySettings, *, threads: int | None, verbose: bool) -> None:
        self.settings = settings
        self.tables = as_tables(settings)
        self.decisive = as_tables(with_names_of_paths(settings))
        self.folder = Path(settings.galaxy.out)
        self.threads, self.verbose = threads, verbose
        self.h5_path = self.folder / "cube.h5"
        self.steps_done: list[str] = []
        self.told: Mapping[str, Any] = {}
        self.templates_told: Mapping[str, Any] = {}
        self.findings: list[str] = []
        self.record = Record(self.folder)

    def run(self, *, check_only: bool) -> GalaxyReport:
        """Do what is not done yet, or that part of it that comes before the fit."""
        orbits = self._orbits()
        spectra = self._spectra(orbits)
        in_own_bins = orbits
        if "merged" in spectra:
            orbits = orbits.with_merged_bins(spectra["merged"])
        templates = self._templates(orbits, spectra)
        self._checks(in_own_bins, orbits, spectra, templates)
        stats = {} if check_only else self._fit(orbits, spectra, templates)
        noise_chi2 = float(self.told["noise_chi2"] or "nan")
        self._complain(misfit_findings(stats.get("chi2_per_voxel", 0.0), noise_chi2))
        return GalaxyReport(
            h5_path=self.h5_path,
            products=[] if check_only else self._products(),
            stats=stats,
            noise_chi2=noise_chi2,
            findings=self.findings,
            steps_done=self.steps_done,
        )

    def _complain(self, messages: Iterable[str], *, was_shown: bool = False) -> None:
        """Take complaints down for the report, and show them where the log is shown."""
        for message in messages:
            self.findings.append(message)
            if self.verbose and not was_shown:
                logger.warning("Check: %s", message)

    def _once(
        self,
        step: str,
        inputs: Iterable[Path],
        settings: Mapping[str, Any],
        work: Work,
        is_there: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> DoneStep:
        """Do a step, unless it was done with the same inputs and settings and is still there."""
        digest = self.record.digest_of_all(inputs, {"version": VERSION, **settings})
        found = self.record.done(step, digest)
        if found is not None and (is_there is None or is_there(found.told)):
            logger.info("%s: done before.", step)
            self._complain(found.warned)
            return found
        logger.info("%s: begins.", step)
        with kept_warnings() as warned:
            made, told = work()
        self._complain(warned, was_shown=True)
        self.record.finish(step, digest, made, told, warned)
        self.steps_done.append(step)
        done = self.record.done(step, digest)
        if done is None:
            raise StoreError(f"What the step {step} made has changed already: run it again.")
        return done

    def _orbits(self) -> OrbitLibrary:
        path = self.folder / "orbits.npz"
        table = self.settings.orbits

        def work() -> Made:
            library = orbit_step.orbit_library(table)
            return [write_npz(path, orbit_step.as_arrays(library))], {}

        inputs = orbit_files(table.path, table.format, **table.options)
        if table.mapping is not None:
            inputs.append(Path(table.mapping))
        self._once("orbits", inputs, {"orbits": self.decisive["orbits"]}, work)
        return read_orbits(path)

    def _spectra(self, orbits: OrbitLibrary) -> Arrays:
        path, settings = self.folder / "spectra.npz", self.settings

        def work() -> Made:
            found = prepare_spectra(
                settings.cube,
                settings.bins,
                orbits,
                redshift=settings.galaxy.redshift,
            )
            told = {
                "observation": msgspec.to_builtins(found.observation),
                "noise_chi2": found.noise_chi2,
                "pixel_angstrom": found.pixel_angstrom,
            }
            return [write_npz(path, spectrum_arrays(found))], told

        beside = [] if settings.bins.path is None else bin_files(settings.bins.path)
        if settings.cube.spatial_mask is not None:
            beside.append(Path(settings.cube.spatial_mask))
        inputs = [Path(settings.cube.path), *beside, self.folder / "orbits.npz"]
        cube = {key: value for key, value in self.decisive["cube"].items() if key != "lsf"}
        wanted = {
            "cube": cube,
            "bins": self.decisive["bins"],
            "redshift": settings.galaxy.redshift,
        }
        self.told = self._once("spectra", inputs, wanted, work).told
        return read_arrays(path)

    def _templates(self, orbits: OrbitLibrary, spectra: Arrays) -> Arrays:
        path, settings = self.folder / "templates.npz", self.settings

        def work() -> Made:
            grid = template_step.prepare_templates(
                settings.ssp,
                spectra["obs_pix"],
                np.asarray(spectra["mask"].any(axis=0)),
                orbits,
                medium=str(self.told["observation"]["medium"]),
                line_spread=template_step.line_spread_of(
                    settings.cube,
                    spectra["fwhm_wave"],
                    spectra["fwhm"],
                    pixel=self.told["pixel_angstrom"],
                ),
                redshift=settings.galaxy.redshift,
                continuum_degree=settings.cube.continuum_degree,
            )
            for name, words in grid.rows():
                logger.info("templates: %s: %s", name, words)
            findings = template_step.findings_of(grid, settings.ssp)
            made = write_npz(path, template_step.as_arrays(grid))
            return [made], {"rows": dict(grid.rows()), "findings": findings}

        lsf = settings.cube.lsf
        files = [Path(lsf)] if isinstance(lsf, str) and lsf != "muse" else []
        inputs = [
            *ssp_files(settings.ssp.path),
            *files,
            self.folder / "orbits.npz",
            self.folder / "spectra.npz",
        ]
        wanted = {
            "ssp": self.decisive["ssp"],
            "lsf": self.decisive["cube"]["lsf"],
            "redshift": settings.galaxy.redshift,
            "continuum_degree": settings.cube.continuum_degree,
            "medium": self.told["observation"]["medium"],
        }
        self.templates_told = self._once("templates", inputs, wanted, work).told
        return read_arrays(path)

    def _checks(
        self, in_own_bins: OrbitLibrary, orbits: OrbitLibrary, spectra: Arrays, templates: Arrays
    ) -> None:
        def work() -> Made:
            findings, passed = check_inputs_of(
                orbits,
                spectra,
                templates,
                self.settings,
                in_own_bins=in_own_bins,
                pixel_angstrom=self.told["pixel_angstrom"],
            )
            return [], {"findings": findings, "passed": passed}

        wanted = {"normalization": self.settings.fit.normalization}
        told = self._once("checks", self._npz(), wanted, work).told
        for message in told["passed"]:
            logger.info("Check: %s", message)
        self._complain([*self.templates_told["findings"], *told["findings"]])

    def _npz(self) -> list[Path]:
        return [self.folder / f"{name}.npz" for name in ("orbits", "spectra", "templates")]

    def _observation(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the file is told of the galaxy, as plain tables."""
        return {
            **self.told["observation"],
            "noise_chi2": self.told["noise_chi2"],
            "name": self.settings.galaxy.name,
            "settings": {**tables, "templates": self.templates_told["rows"]},
        }

    def _fit(self, orbits: OrbitLibrary, spectra: Arrays, templates: Arrays) -> dict[str, Any]:
        populate(
            self.h5_path,
            spectra=spectra,
            templates=templates,
            orbits=orbits,
            observation=msgspec.convert(self._observation(self.tables), Observation),
            is_ours=inputs_of(self.h5_path) == self.record.told("populate").get("inputs"),
        )
        told = {"inputs": inputs_of(self.h5_path)}
        self.record.finish("populate", self.record.digest_of_all(self._npz(), {}), [], told)

        def work() -> Made:
            stats = solve(
                self.h5_path, self.settings.fit, threads=self.threads, verbose=self.verbose
            )
            return [], {"stats": stats, "solution": solution_stamp(self.h5_path)}

        def is_there(told: Mapping[str, Any]) -> bool:
            return bool(told["solution"] == solution_stamp(self.h5_path))

        wanted = {"fit": decisive_for_fit(self.settings.fit)}
        stats: dict[str, Any] = self._once("fit", self._npz(), wanted, work, is_there).told["stats"]
        return stats

    def _products(self) -> list[Path]:
        folder = self.folder / "products"

        def work() -> Made:
            earlier = self.record.made_by("products")
            made = make_products(self.h5_path, folder, self.settings.products)
            for path in set(earlier) - set(made):
                logger.info("products: %s is of an earlier run, and removed.", path)
                path.unlink()
            return made, {}

        wanted = {
            "products": self.tables["products"],
            "solution": solution_stamp(self.h5_path),
            "observation": self._observation(self.decisive),
        }
        self._once("products", self._npz(), wanted, work)
        return self.record.made_by("products")


def inputs_of(path: Path) -> str:
    """Return the stamp of the inputs in a file, empty where there is no such file."""
    if not path.exists():
        return ""
    with reading(path) as file:
        return input_stamp(file)


def spectrum_arrays(found: Prepared) -> Arrays:
    """Return spectra as arrays by name, without those that there are none of, such as noise."""
    names = ("flux", "noise", "mask", "obs_pix", "x", "y", "binnum", "light", "fwhm_wave", "fwhm")
    arrays = {name: getattr(found, name) for name in (*names, "merged", "own_binnum")}
    return {name: array for name, array in arrays.items() if array is not None}


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return all arrays of an npz file."""
    with open_npz(path) as stored:
        return {key: stored[key] for key in stored.files}


def run_galaxy(
    settings: GalaxySettings | str | Path,
    *,
    check_only: bool = False,
    threads: int | None = None,
    verbose: bool = True,
) -> GalaxyReport:
    """Take a galaxy from its cube, orbit library and SSPs to fitted products.

    Steps: orbits, spectra, templates, checks, fit, products. Each leaves what it made in the
    folder ``galaxy.out``, and is skipped as long as its inputs (their contents) and settings are
    what they were. A run that was stopped goes on where it was.

    Parameters
    ----------
    settings : GalaxySettings, str or Path
        As `read_settings` returns them, or their TOML file.
    check_only : bool
        End after the checks, before the fit; `GalaxyReport.stats` and ``products`` are empty then.
    threads : int, optional
        Compute threads; default all usable cores.
    verbose : bool
        Tell progress, and findings as they come up; they are in the report in any case.

    Returns
    -------
    GalaxyReport

    Raises
    ------
    LockedError
        If another run fills the same folder now.
    DependencyError
        If ``bins.target_sn`` is set and PowerBin is not installed.
    CubeFitError
        If settings or inputs are wrong; steps finished until then are kept.
    """
    if not isinstance(settings, GalaxySettings):
        settings = read_settings(settings)
    require_apart(settings)
    require_there(settings)
    folder = Path(settings.galaxy.out)
    if settings.bins.target_sn is not None:
        require_merging(settings.fit, is_done=(folder / "spectra.npz").exists())
    folder.mkdir(parents=True, exist_ok=True)
    with sole_run(folder), visible_log(verbose):
        return GalaxyRun(settings, threads=threads, verbose=verbose).run(check_only=check_only)
