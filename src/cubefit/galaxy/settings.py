"""The settings of a galaxy's fit, as its TOML file has them: typed, explained, checked at once."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from cubefit.config import require_smoothness
from cubefit.errors import ConfigError

Pair: TypeAlias = tuple[float, float]
BinEdges: TypeAlias = Annotated[int, Meta(ge=1)] | tuple[float, ...]
Positive: TypeAlias = Annotated[float, Meta(gt=0)]
Degree: TypeAlias = Annotated[int, Meta(ge=0, le=50)]


class GalaxyTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The galaxy, and where its fit goes."""

    out: Annotated[str, Meta(description="Folder of all that is made.", examples=["galaxy"])]
    redshift: Annotated[
        float,
        Meta(gt=-0.1, lt=10, description="z of the galaxy's centre, v/c of the observed lines."),
    ] = 0.0
    name: Annotated[str, Meta(description="For titles and headers.")] = ""


class CubeTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The IFU cube, and how its spectra are prepared."""

    path: Annotated[str, Meta(description="The cube.", examples=["cube.fits"])]
    format: Annotated[
        str,
        Meta(description="auto, muse, califa, manga, e3d, ngist-bins, ngist-all or plain."),
    ] = "auto"
    medium: Annotated[
        Literal["air", "vacuum"] | None,
        Meta(
            description="Of its wavelengths; default what the format says, if it does.",
            examples=["vacuum"],
        ),
    ] = None
    pixel_scale: Annotated[
        Positive | None,
        Meta(
            description="Arcsec per pixel of the image; default what the header says.",
            examples=[0.2],
        ),
    ] = None
    wave_range: Annotated[
        Pair | None,
        Meta(
            description="Rest-frame Angstrom to fit; default all that there is.",
            examples=[[4750.0, 7000.0]],
        ),
    ] = None
    centre: Annotated[
        Pair,
        Meta(description="Galaxy's centre in arcsec from the image's, along columns and rows."),
    ] = (0.0, 0.0)
    velscale_kms: Annotated[
        Positive | None,
        Meta(
            description="Width of a fitted pixel; default the widest of the cube's.",
            examples=[60.0],
        ),
    ] = None
    lsf: Annotated[
        float | str | None,
        Meta(
            description="Instrument's FWHM: Angstrom, 'muse', or a file of wavelengths and FWHM; "
            "default what the cube says, else no smoothing.",
            examples=["muse"],
        ),
    ] = None
    covariance: Annotated[
        float,
        Meta(ge=0, description="Noise of N summed pixels is (1 + covariance log10 N) larger."),
    ] = 0.0
    min_share: Annotated[
        float,
        Meta(gt=0, le=1, description="Light that good pixels of a bin must hold at a wavelength."),
    ] = 0.75
    min_sn: Annotated[
        float, Meta(ge=0, description="Pixels below this signal to noise are left out.")
    ] = 0.0
    radius: Annotated[
        Positive | None,
        Meta(
            description="Pixels beyond this many arcsec are left out; default none.",
            examples=[30.0],
        ),
    ] = None
    masks: Annotated[
        tuple[str, ...],
        Meta(description="Named line lists to mask: emission, sky, telluric, muse-laser."),
    ] = ("emission", "sky")
    mask_lines: Annotated[
        tuple[Pair, ...],
        Meta(description="Further lines: rest-frame Angstrom in the cube's medium, +-km/s."),
    ] = ()
    mask_width_kms: Annotated[
        float, Meta(gt=0, description="Half width of the mask of a named line.")
    ] = 400.0
    continuum_degree: Annotated[
        Degree | None,
        Meta(
            description="Flatten data and templates by polynomials; default not.",
            examples=[10],
        ),
    ] = None


class BinsTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pixels of the cube are summed; by default those of the orbit library."""

    path: Annotated[
        str | None,
        Meta(
            description="Bins: nGIST, vorbin, PowerBin, bins.dat, FITS; default the orbits'.",
            examples=["bins.fits"],
        ),
    ] = None
    format: Annotated[str, Meta(description="auto, or what read_bins knows.")] = "auto"
    tolerance: Annotated[
        Positive | None,
        Meta(
            description="Arcsec between positions of one pixel; default half a pixel.",
            examples=[0.1],
        ),
    ] = None


class OrbitsTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The orbit library."""

    path: Annotated[
        str, Meta(description="npz file, or model folder of DYNAMITE.", examples=["orbits.npz"])
    ]
    format: Annotated[str, Meta(description="auto, npz, dynamite or agama.")] = "auto"
    options: Annotated[
        dict[str, Any],
        Meta(description="Further arguments of read_orbits, such as kinematics = 0."),
    ] = {}
    mapping: Annotated[
        str | None,
        Meta(
            description="Bundle orbits: file with the component of each, from 0, -1 leaves it out; "
            "default not.",
            examples=["mapping.txt"],
        ),
    ] = None
    radius: Annotated[
        BinEdges | None,
        Meta(
            description="Bundle orbits by radius: number of bins, or edges; default not.",
            examples=[8],
        ),
    ] = None
    circularity: Annotated[
        BinEdges | None,
        Meta(
            description="And by circularity; both or neither; default not.",
            examples=[[-1.0, -0.2, 0.2, 0.7, 1.0]],
        ),
    ] = None
    radius_name: Annotated[
        str, Meta(description="Property of the orbits that holds the radius.")
    ] = "Rmean_kpc"
    circularity_name: Annotated[
        str, Meta(description="Property of the orbits that holds the circularity.")
    ] = "lambdaz"
    velocity_step: Annotated[
        Positive | None,
        Meta(
            description="Rebin LOSVDs to bins of this many km/s; default theirs.", examples=[25.0]
        ),
    ] = None


class SSPTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stellar populations."""

    path: Annotated[
        str, Meta(description="npz of pPXF, folder of MILES files, or npz.", examples=["emiles"])
    ]
    format: Annotated[str, Meta(description="auto, or what read_ssp knows.")] = "auto"
    medium: Annotated[
        Literal["air", "vacuum"] | None,
        Meta(
            description="Of its wavelengths; default what the format says, if it does.",
            examples=["vacuum"],
        ),
    ] = None
    normalization: Annotated[
        Literal["light", "mass"],
        Meta(description="Weights are light (each template of mean 1), or mass formed."),
    ] = "light"
    ages: Annotated[
        Pair | None,
        Meta(description="Youngest and oldest in use, Gyr; default all.", examples=[[0.1, 14.0]]),
    ] = None
    metals: Annotated[
        Pair | None,
        Meta(description="Lowest and highest [M/H] in use; default all.", examples=[[-1.5, 0.5]]),
    ] = None
    alphas: Annotated[
        Pair | None,
        Meta(
            description="Lowest and highest [alpha/Fe] in use; default all.", examples=[[0.0, 0.4]]
        ),
    ] = None
    oversampling: Annotated[
        int, Meta(ge=1, le=20, description="Template pixels per observed one.")
    ] = 2
    resolution: Annotated[
        Literal["match", "as given"],
        Meta(description="Smooth to the instrument's, or leave as it is."),
    ] = "match"


class FitTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fit; see cubefit fit."""

    method: Annotated[
        Literal["exact", "kaczmarz"], Meta(description="Certified optimum, or sweeps.")
    ] = "exact"
    normalization: Annotated[
        Literal["losvd", "unit"],
        Meta(description="Amplitudes of the LOSVDs count, or spectra are each normalised."),
    ] = "losvd"
    orbit_weights: Annotated[
        bool, Meta(description="Hold the components to the ratios of the dynamical model.")
    ] = True
    ratio_weight: Annotated[
        float, Meta(ge=0, description="1 / relative scatter allowed to those ratios.")
    ] = 300.0
    regularization: Annotated[
        float | Literal["auto"], Meta(description="Smoothness of the populations, or 'auto'.")
    ] = 0.1
    gap_tolerance: Annotated[
        float, Meta(gt=0, lt=1, description="Relative duality gap to stop at.")
    ] = 1e-6
    epochs: Annotated[int, Meta(ge=1, description="Of Kaczmarz sweeps.")] = 5
    build: Annotated[
        bool, Meta(description="Write the HyperCube to disk; the fit does not need it.")
    ] = False
    max_memory_gb: Annotated[
        Positive | None, Meta(description="Default half of the machine's.", examples=[8.0])
    ] = None


class ProductsTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is made of the fit."""

    model_cube: Annotated[bool, Meta(description="Model on the grid of the input cube.")] = True
    pictures: Annotated[tuple[str, ...], Meta(description="Kinds of cubefit plot.")] = (
        "maps",
        "age-metallicity",
        "spectra",
        "residual-map",
        "residual-spectrum",
    )


class GalaxySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a galaxy's fit: one table of the TOML file each."""

    galaxy: GalaxyTable
    cube: CubeTable
    orbits: OrbitsTable
    ssp: SSPTable
    bins: BinsTable = BinsTable()
    fit: FitTable = FitTable()
    products: ProductsTable = ProductsTable()


LEAST_ANGSTROM: Final = 100.0
"""Wavelengths below are no optical ones in Angstrom, but in nanometres or microns."""

Table: TypeAlias = type[Struct]
TABLES: Final[dict[str, Table]] = {
    "galaxy": GalaxyTable,
    "cube": CubeTable,
    "bins": BinsTable,
    "orbits": OrbitsTable,
    "ssp": SSPTable,
    "fit": FitTable,
    "products": ProductsTable,
}


def read_settings(path: str | Path) -> GalaxySettings:
    """Return the settings of a TOML file; paths in it count from its folder.

    Parameters
    ----------
    path : str or Path
        As `cubefit.galaxy.settings_template` explains it.

    Returns
    -------
    GalaxySettings
        With absolute paths.

    Raises
    ------
    ConfigError
        If the file is missing or no TOML, or a key is unknown, mistyped, missing, or out of its
        range; the message names it, and the nearest valid one.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(
            f"{path} is no file: give a file of settings; `cubefit init` writes one to begin with."
        )
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}): get read permission."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML ({error}): mend that place.") from error
    return settings_of(given, path)


def settings_of(given: Mapping[str, Any], path: Path) -> GalaxySettings:
    """Return settings given as tables of keys; ``path`` is where they stand."""
    require_known_keys(given, path)
    require_finite(given, path)
    try:
        found = msgspec.convert(dict(given), GalaxySettings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_in_words(str(error))}") from error
    require_consistent(found, path)
    return with_absolute_paths(found, path.resolve().parent)


def require_consistent(settings: GalaxySettings, path: Path) -> None:
    """Raise ConfigError at settings that contradict one another."""
    cube, orbits, ssp, fit = settings.cube, settings.orbits, settings.ssp, settings.fit
    if not isinstance(fit.regularization, str):
        require_smoothness(fit.regularization)
    if isinstance(cube.lsf, float) and cube.lsf <= 0:
        raise ConfigError(f"{path}: cube.lsf = {cube.lsf}: give a FWHM above 0.")
    pairs = {"cube.wave_range": cube.wave_range}
    pairs |= {f"ssp.{key}": getattr(ssp, key) for key in ("ages", "metals", "alphas")}
    for name, pair in pairs.items():
        if pair is not None and not pair[0] <= pair[1]:
            raise ConfigError(f"{path}: {name} = {list(pair)}: give the lower first.")
    if cube.wave_range is not None and cube.wave_range[0] < LEAST_ANGSTROM:
        raise ConfigError(
            f"{path}: cube.wave_range = {list(cube.wave_range)}: give Angstrom, from "
            f"{LEAST_ANGSTROM:g} on."
        )
    require_options(orbits, path)
    for key in ("radius", "circularity"):
        bins = getattr(orbits, key)
        if isinstance(bins, tuple) and (len(bins) < 2 or list(bins) != sorted(set(bins))):
            raise ConfigError(f"{path}: orbits.{key} = {list(bins)}: give two or more, rising.")
    if orbits.mapping is not None and orbits.radius is not None:
        raise ConfigError(f"{path}: orbits.mapping and orbits.radius both bundle: give one.")
    if (orbits.radius is None) != (orbits.circularity is None):
        raise ConfigError(
            f"{path}: orbits.radius and orbits.circularity go together: give both, 1 for what is "
            "not to be divided."
        )


def require_options(orbits: OrbitsTable, path: Path) -> None:
    """Raise ConfigError at further arguments of `read_orbits` that are keys, or of a wrong type."""
    for key, value in orbits.options.items():
        if key in {"path", "format", "bundle"}:
            raise ConfigError(
                f"{path}: orbits.options.{key} is none: the keys of [orbits] say it, leave it out."
            )
        if key in {"config", "weights"} and not isinstance(value, str):
            raise ConfigError(f"{path}: orbits.options.{key} = {value}: give a path in quotes.")


def as_tables(settings: GalaxySettings) -> dict[str, dict[str, Any]]:
    """Return settings as plain tables of keys."""
    plain: dict[str, dict[str, Any]] = msgspec.to_builtins(settings)
    return plain


def require_known_keys(given: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigError at the first unknown table or key, and name the nearest valid one."""
    for name, table in given.items():
        if name not in TABLES:
            raise ConfigError(f"{path}: there is no table [{name}]; {_nearest(name, TABLES)}.")
        if not isinstance(table, Mapping):
            raise ConfigError(f"{path}: {name} is a table: write [{name}] and its keys below.")
        known = TABLES[name].__struct_fields__
        for key in table:
            if key not in known:
                raise ConfigError(f"{path}: [{name}] has no key {key!r}; {_nearest(key, known)}.")


def require_finite(given: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigError at nan and inf, which TOML has words for."""
    for where, value in _leaves(given, ""):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{path}: {where} = {value}: give a finite number.")


def _leaves(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from _leaves(inner, f"{where}[{n}]")
    else:
        yield where, value


def _nearest(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean {found[0]!r}?" if found else f"choose one of {', '.join(known)}"


def _in_words(problem: str) -> str:
    """Return a message of msgspec as one of ours: the place first, as TOML has it."""
    told, _, place = problem.partition(" - at `$.")
    missing = re.fullmatch(r"Object missing required field `(\w+)`", told)
    where = place.rstrip("`")
    if missing:
        name = missing.group(1)
        if not where:
            return f"the table [{name}] is missing: add it; `cubefit init` writes all of them."
        return f"[{where}] lacks {name}: give it; `cubefit init` explains every key."
    return f"{where}: {told[0].lower()}{told[1:]}; `cubefit init` explains every key."


def with_absolute_paths(settings: GalaxySettings, folder: Path) -> GalaxySettings:
    """Return settings whose paths count from a folder as absolute ones."""

    def absolute(given: str) -> str:
        if not given.strip() or "\0" in given:
            raise ConfigError(f"{given!r} in the settings in {folder} is no path: name one.")
        try:
            return str((folder / Path(given).expanduser()).absolute())
        except RuntimeError as error:
            raise ConfigError(
                f"{given!r} in the settings in {folder}: there is no such user, write the folder "
                "out."
            ) from error

    cube, bins = settings.cube, settings.bins
    replace = msgspec.structs.replace
    lsf = absolute(cube.lsf) if isinstance(cube.lsf, str) and cube.lsf != "muse" else cube.lsf
    options = dict(settings.orbits.options)
    for key in ("config", "weights"):
        if isinstance(options.get(key), str):
            options[key] = absolute(options[key])
    return replace(
        settings,
        galaxy=replace(settings.galaxy, out=absolute(settings.galaxy.out)),
        cube=replace(cube, path=absolute(cube.path), lsf=lsf),
        bins=bins if bins.path is None else replace(bins, path=absolute(bins.path)),
        orbits=replace(
            settings.orbits,
            path=absolute(settings.orbits.path),
            mapping=None if settings.orbits.mapping is None else absolute(settings.orbits.mapping),
            options=options,
        ),
        ssp=replace(settings.ssp, path=absolute(settings.ssp.path)),
    )
