"""The settings of a galaxy's fit, as its TOML file has them: typed, explained, checked at once."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct

Pair: TypeAlias = tuple[float, float]
BinEdges: TypeAlias = Annotated[int, Meta(ge=1)] | tuple[float, ...]
Positive: TypeAlias = Annotated[float, Meta(gt=0)]
CubeFormat: TypeAlias = Literal[
    "auto", "muse", "califa", "manga", "e3d", "ngist", "ngist-bins", "ngist-all", "plain"
]
BinFormat: TypeAlias = Literal["auto", "ngist", "image", "npz", "text", "dynamite"]
OrbitFormat: TypeAlias = Literal["auto", "npz", "dynamite", "agama"]
SSPFormat: TypeAlias = Literal["auto", "miles", "ppxf", "npz"]
LineList: TypeAlias = Literal["emission", "sky", "telluric", "muse-laser"]
PictureKind: TypeAlias = Literal[
    "maps",
    "age-map",
    "metallicity-map",
    "alpha-map",
    "velocity-map",
    "dispersion-map",
    "light-map",
    "mass-map",
    "age-metallicity",
    "age-metallicity-components",
    "trends",
    "component-masses",
    "spectra",
    "residual-map",
    "residual-spectrum",
    "convergence",
    "prefit",
]
"""Names of `cubefit.pictures.KINDS`, which takes its time to import."""
MediumKey: TypeAlias = Annotated[
    Literal["air", "vacuum"] | None,
    Meta(
        description="Of its wavelengths; default what the format says, if it does.",
        examples=["vacuum"],
    ),
]
Degree: TypeAlias = Annotated[int, Meta(ge=0, le=50)]


class GalaxyTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The galaxy, and where its fit goes."""

    out: Annotated[str, Meta(description="Folder of all that is made.", examples=["galaxy"])]
    redshift: Annotated[
        float,
        Meta(description="z of the galaxy's centre, not km/s."),
    ] = 0.0
    name: Annotated[str, Meta(description="For titles and headers.")] = ""


class CubeTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The IFU cube, and how its spectra are prepared."""

    path: Annotated[str, Meta(description="The cube.", examples=["cube.fits"])]
    format: Annotated[
        CubeFormat,
        Meta(description="auto, muse, califa, manga, e3d, ngist, ngist-bins, ngist-all or plain."),
    ] = "auto"
    medium: MediumKey = None
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
    spatial_mask: Annotated[
        str | None,
        Meta(
            description="Pixels to use: FITS image, .npy or text of 1 (use) and 0, such as for "
            "stars in front; default all.",
            examples=["mask.fits"],
        ),
    ] = None
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
        tuple[LineList, ...],
        Meta(description="Lines to mask: emission (H beta too), sky, telluric, muse-laser."),
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
            description="Bins: nGIST, vorbin, PowerBin, bins.dat, FITS; positions in arcsec from "
            "the galaxy's centre, along columns and rows; default the orbits'.",
            examples=["bins.fits"],
        ),
    ] = None
    format: Annotated[BinFormat, Meta(description="auto, ngist, image, npz, text or dynamite.")] = (
        "auto"
    )
    zero_is_bin: Annotated[
        bool | None,
        Meta(
            description="Whether 0 in the file is a bin, or none; default what the format says.",
            examples=[False],
        ),
    ] = None
    tolerance: Annotated[
        Positive | None,
        Meta(
            description="Arcsec between positions of one pixel; default half a pixel.",
            examples=[0.1],
        ),
    ] = None
    target_sn: Annotated[
        Positive | None,
        Meta(
            description="Merge bins, in cube and orbits alike, until each has about this S/N per "
            "wavelength pixel of the cube; needs cubefit[binning]; default not.",
            examples=[100.0],
        ),
    ] = None


class OrbitsTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The orbit library."""

    path: Annotated[
        str, Meta(description="npz file, or model folder of DYNAMITE.", examples=["orbits.npz"])
    ]
    format: Annotated[OrbitFormat, Meta(description="auto, npz, dynamite or agama.")] = "auto"
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
    format: Annotated[SSPFormat, Meta(description="auto, miles, ppxf or npz.")] = "auto"
    medium: MediumKey = None
    normalization: Annotated[
        Literal["light", "mass"],
        Meta(
            description="What weights are: mass formed, or light (each template of mean 1). With "
            "fit.orbit_weights it must be what those are: dynamical models give mass."
        ),
    ] = "mass"
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
        Meta(
            description="losvd: the light of the LOSVDs counts. unit: each is scaled to sum one, "
            "for a cube whose spectra you have normalised one by one; the data stay as they are."
        ),
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
    pictures: Annotated[tuple[PictureKind, ...], Meta(description="Kinds of cubefit plot.")] = (
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
