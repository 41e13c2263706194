"""The one table of every dataset in a CubeFit file, and the names of its attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FORMAT_VERSION: Final = 1
"""Version of the layout below; files of a later version are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One dataset: where it is, what its axes mean, and who writes it."""

    path: str
    axes: tuple[str, ...]
    dtype: str
    unit: str
    writer: str
    required: bool = False
    """Whether a populated file must hold it."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def labels(self, ndim: int | None = None) -> dict[str, str]:
        """Return the attributes that every dataset gets; of its last ``ndim`` axes if fewer."""
        axes = self.axes if ndim is None else self.axes[-ndim:]
        return {ATTR_AXES: " ".join(axes), ATTR_UNIT: self.unit}


def _entry(
    path: str, axes: str, dtype: str, unit: str, writer: str, *, required: bool = False
) -> Entry:
    split = tuple(axes.split())
    return Entry(path=path, axes=split, dtype=dtype, unit=unit, writer=writer, required=required)


DATA_CUBE: Final = _entry("/DataCube", "S L", "float64", "flux density", "populate", required=True)
TEMPLATES: Final = _entry("/Templates", "P T", "float32", "flux density", "populate", required=True)
LOSVD: Final = _entry("/LOSVD", "S V C", "float32", "light share", "populate", required=True)
TEM_PIX: Final = _entry("/TemPix", "T", "float64", "ln(Angstrom)", "populate", required=True)
OBS_PIX: Final = _entry("/ObsPix", "L", "float64", "ln(Angstrom)", "populate", required=True)
VEL_PIX: Final = _entry("/VelPix", "V", "float64", "km/s", "populate", required=True)
MASK: Final = _entry("/Mask", "L", "bool", "True = use", "populate")
NOISE: Final = _entry("/Noise", "S L", "float64", "flux density", "populate")
VOXEL_MASK: Final = _entry("/VoxelMask", "S L", "bool", "True = use", "populate")
X_PIX: Final = _entry("/XPix", "nPix", "float64", "as given", "populate")
Y_PIX: Final = _entry("/YPix", "nPix", "float64", "as given", "populate")
BIN_NUM: Final = _entry("/BinNum", "nPix", "int32", "spaxel number", "populate")
TEMPLATE_MASS: Final = _entry("/TemplateMass", "P", "float64", "mass per template unit", "populate")
ORBIT_WEIGHTS: Final = _entry("/OrbitWeights", "C", "float64", "any", "populate")
PROPERTY_NAMES: Final = _entry("/ComponentProperties/names", "property", "S64", "UTF-8", "populate")
PROPERTY_VALUES: Final = _entry(
    "/ComponentProperties/values", "property C", "float64", "as named", "populate"
)

R_T: Final = _entry("/R_T", "T L", "float32", "share", "ensure_rebin_and_resample")
REBIN_MATRIX: Final = _entry("/RebinMatrix", "L T", "float32", "share", "ensure_rebin_and_resample")
TEMPLATES_FFT: Final = _entry(
    "/TemplatesFFT", "P T//2+1", "complex64", "flux density", "ensure_rebin_and_resample"
)
TEMPLATES_FFT_R: Final = _entry(
    "/TemplatesFFT_R", "P T//2+1", "complex64", "flux density", "ensure_rebin_and_resample"
)

MODELS: Final = _entry("/HyperCube/models", "S C P L", "float32", "flux density", "build")
DONE: Final = _entry("/HyperCube/_done", "Sgrid Cgrid Pgrid", "uint8", "1 = done", "build")
CHECKSUMS: Final = _entry(
    "/HyperCube/_crc32", "Sgrid Cgrid Pgrid", "uint32", "CRC-32 of a tile's float32 values", "build"
)

X_GLOBAL: Final = _entry("/X_global", "C*P", "float64", "template units", "solve_all")
X_ORBIT_WEIGHTS: Final = _entry("/X_orbit_weights", "C", "float64", "any", "solve_all")
MODEL_CUBE: Final = _entry("/ModelCube", "S L", "float64", "flux density", "reconstruct")

X_LATEST: Final = _entry("/Fit/x_latest", "C*P", "float64", "template units", "tracker")
X_BEST: Final = _entry("/Fit/x_best", "C*P", "float64", "template units", "tracker")
X_RING: Final = _entry("/Fit/x_ring", "R C*P", "float64", "template units", "tracker")
X_RING_ROW: Final = _entry("/Fit/x_ring_row", "R", "int64", "row of metrics, -1 = none", "tracker")
X_VIS_RING: Final = _entry("/Fit/x_vis_ring", "R C*P", "float32", "template units", "tracker")
X_VIS_RING_ROW: Final = _entry(
    "/Fit/x_vis_ring_row", "R", "int64", "row of metrics, -1 = none", "tracker"
)
SAMPLE_SPAXELS: Final = _entry("/Fit/sample/spaxels", "Ns", "int32", "spaxel number", "tracker")
SAMPLE_PIXELS: Final = _entry("/Fit/sample/val_pixels", "Kval", "int32", "pixel number", "tracker")

FIT_ORBIT_WEIGHTS: Final = _entry("/Fit/orbit_weights", "C", "float64", "any", "tracker")

SAMPLE_GROUP: Final = "/Fit/sample"
METRICS_GROUP: Final = "/Fit/metrics"
METRICS: Final = {
    name: _entry(f"{METRICS_GROUP}/{name}", "row", dtype, unit, "tracker")
    for name, dtype, unit in (
        ("epoch", "int64", "epochs finished"),
        ("time_sec", "float64", "s"),
        ("train_rmse_ewma", "float64", "sigma"),
        ("val_rmse", "float64", "sigma"),
        ("delta_x_rel", "float64", "share"),
        ("nnz", "float64", "weights above zero"),
        ("l1_norm", "float64", "template units"),
        ("l2_norm", "float64", "template units"),
        ("mass_err_L1", "float64", "share"),
        ("mass_err_Linf", "float64", "share"),
        ("chi2", "float64", "chi2"),
        ("objective", "float64", "chi2 / 2 and priors"),
        ("gap_rel", "float64", "share of the objective"),
    )
}
"""One column each; a row is one moment of a fit."""
N_METRICS: Final = _entry(f"{METRICS_GROUP}/n", "", "int64", "rows written", "tracker")

CHECKPOINTS_GROUP: Final = "/Fit/checkpoints"
N_SLOTS: Final = 3
"""The latest checkpoint, the best, and the one being written."""
CHECKPOINT_X: Final = tuple(
    _entry(f"{CHECKPOINTS_GROUP}/{k}/x", "C*P", "float64", "template units", "tracker")
    for k in range(N_SLOTS)
)
CHECKPOINT_RECORD: Final = tuple(
    _entry(f"{CHECKPOINTS_GROUP}/{k}/record", "", "S4096", "JSON", "tracker")
    for k in range(N_SLOTS)
)
LATEST_LINK: Final = f"{CHECKPOINTS_GROUP}/latest"
BEST_LINK: Final = f"{CHECKPOINTS_GROUP}/best"
"""Soft links to the slots that ``/Fit/x_latest`` and ``/Fit/x_best`` lead to."""

TABLE: Final = (
    DATA_CUBE, TEMPLATES, LOSVD, TEM_PIX, OBS_PIX, VEL_PIX, MASK, NOISE, VOXEL_MASK,
    X_PIX, Y_PIX, BIN_NUM, TEMPLATE_MASS, ORBIT_WEIGHTS, PROPERTY_NAMES, PROPERTY_VALUES,
    R_T, REBIN_MATRIX, TEMPLATES_FFT, TEMPLATES_FFT_R, MODELS, DONE, CHECKSUMS,
    X_GLOBAL, X_ORBIT_WEIGHTS, MODEL_CUBE, X_LATEST, X_BEST, X_RING, X_RING_ROW, X_VIS_RING,
    X_VIS_RING_ROW,
    SAMPLE_SPAXELS, SAMPLE_PIXELS, FIT_ORBIT_WEIGHTS, *METRICS.values(), N_METRICS,
    *CHECKPOINT_X, *CHECKPOINT_RECORD,
)  # fmt: skip
"""Every dataset of the format."""

HYPERCUBE_GROUP: Final = "/HyperCube"
FIT_GROUP: Final = "/Fit"

MODEL_INPUTS: Final = (LOSVD, TEMPLATES, TEM_PIX, OBS_PIX, VEL_PIX)
"""What the models are made of: their digest tells whether a HyperCube is current."""
DATA_INPUTS: Final = (DATA_CUBE, NOISE, MASK, VOXEL_MASK)
"""What a fit sees besides the models."""
LARGE_INPUTS: Final = (LOSVD, DATA_CUBE, NOISE, VOXEL_MASK)
"""Inputs that grow with the number of spaxels: who adds results to a file does not touch them."""
READ_BESIDE: Final = (TEMPLATE_MASS, ORBIT_WEIGHTS, PROPERTY_NAMES, PROPERTY_VALUES)
"""Inputs that only results are read with: they change without touching anything made before."""
REBIN_PRODUCTS: Final = (TEMPLATES_FFT, TEMPLATES_FFT_R, R_T, REBIN_MATRIX)
"""What ``ensure_rebin_and_resample`` adds."""

ATTR_FORMAT: Final = "cubefit_format"
ATTR_VERSION: Final = "cubefit_version"
ATTR_DIMS: Final = "dims"
ATTR_TEMPLATE_META: Final = "template_meta_json"
ATTR_OBSERVATION: Final = "observation_json"
"""What stands behind the arrays, see `cubefit.observation`."""
ATTR_GUARD_PREFIX: Final = "guard."
ATTR_GUARD: Final = "guard_info_json"
ATTR_DIGEST: Final = "inputs_digest"
"""Of what a product was made from; of the file itself, of all that it was populated with."""
ATTR_RUN: Final = "run_json"
ATTR_WRITTEN: Final = "written_unix"
ATTR_NORMALIZATION: Final = "normalization"
ATTR_TILE_SHAPE: Final = "tile_shape"
ATTR_FIRST_SPAXEL: Final = "first_spaxel"
"""Of the models in a shard file: the place of their first spaxel in the HyperCube."""
ATTR_X_DIGEST: Final = "x_digest"
ATTR_COMPRESSION: Final = "compression"
ATTR_MANTISSA_BITS: Final = "mantissa_bits"
ATTR_AXES: Final = "axes"
ATTR_UNIT: Final = "unit"
