"""A small DYNAMITE model on disk, written as its Fortran code and its Python code write it."""

import bz2
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import yaml
from astropy.table import Table
from scipy.io import FortranFile

N_TUBES, N_BOXES = 4, 3


@dataclass
class Set:
    """One kinematic set: its sky and its velocity bins."""

    name: str
    n_bins: int
    hist_bins: int
    hist_width: float
    files: tuple[str, str] = ("aperture.dat", "bins.dat")
    settings: dict = field(default_factory=dict)


FIRST = Set("kinset1", 5, 11, 1100.0)
SECOND = Set("wide", 2, 21, 4200.0, files=("aperture_wide.dat", "bins_wide.dat"))


def histograms(n_orbits, kinematic, seed, *, gaps=0.3):
    """Return histograms (N, S, V), shares of light, some empty and some with empty ends."""
    random = np.random.default_rng(seed)
    values = random.random((n_orbits, kinematic.n_bins, kinematic.hist_bins))
    half = kinematic.hist_bins // 2
    reach = random.integers(0, half + 1, values.shape[:2])
    values *= np.abs(np.arange(-half, half + 1)) <= reach[..., None]
    values *= random.random(values.shape[:2])[..., None] > gaps
    return values / max(values.sum(axis=(1, 2)).max(), 1e-300)


SIZES = np.array([16, 2, 3, 4], np.int32)


def write_grid_header(file, n_orbits, n_dithers):
    """Write the number of orbits, and the spatial grid."""
    file.write_record(np.array([n_orbits, n_orbits, 1, 1, n_dithers], np.int32))
    file.write_record(SIZES)
    for size in (4, 3, 2):
        file.write_record(np.linspace(0.0, 1.0, size + 1))


def write_orbit(file, number, n_dithers):
    """Write the numbers, types and moments of an orbit."""
    file.write_record(np.array([number + 1, 1, 1, 1, 1], np.int32))
    file.write_record(np.ones(n_dithers**3, np.int32))
    file.write_record(np.full(SIZES.prod(), 0.5))


def write_histogram_header(file, sets):
    """Write the number of apertures, and the bins of the first set."""
    file.write_record(
        np.int32(sum(kinematic.n_bins for kinematic in sets)),
        np.int32(sets[0].hist_bins // 2),
        np.float64(sets[0].hist_width / sets[0].hist_bins),
    )


def write_aperture(file, losvd):
    """Write the range of lit bins, and what is in them if there are any."""
    n_bins = losvd.size
    lit = np.flatnonzero(losvd > 0)
    low, high = (lit[0], lit[-1]) if lit.size else (2 * n_bins, -2 * n_bins)
    file.write_record(np.array([low - n_bins // 2, high - n_bins // 2], np.int32))
    if lit.size:
        file.write_record(losvd[low : high + 1])


def write_apertures(file, number, per_set):
    """Write all apertures of one orbit, set after set."""
    for values in per_set:
        for losvd in values[number]:
            write_aperture(file, losvd)


@contextmanager
def packed(path):
    """Write a Fortran file, and leave it packed."""
    with FortranFile(path, "w") as file:
        yield file
    path.with_name(f"{path.name}.bz2").write_bytes(bz2.compress(path.read_bytes()))
    path.unlink()


def write_orbits(folder, root, sets, per_set, *, n_dithers=1):
    """Write the two orbit files of one kind."""
    n_orbits = per_set[0].shape[0]
    with packed(folder / f"{root}_qgrid.dat") as file:
        write_grid_header(file, n_orbits, n_dithers)
        for number in range(n_orbits):
            write_orbit(file, number, n_dithers)
    with packed(folder / f"{root}_losvd_hist.dat") as file:
        write_histogram_header(file, sets)
        for number in range(n_orbits):
            write_apertures(file, number, per_set)


def write_orbits_in_one_file(folder, root, sets, per_set, *, n_dithers=1):
    """Write the one orbit file that older versions make."""
    n_orbits = per_set[0].shape[0]
    with packed(folder / f"{root}.dat") as file:
        write_grid_header(file, n_orbits, n_dithers)
        write_histogram_header(file, sets)
        for number in range(n_orbits):
            write_orbit(file, number, n_dithers)
            write_apertures(file, number, per_set)


def write_sky(folder, kinematic, nx=6, ny=4):
    """Write the pixel grid and the bins, and return the bin of each pixel from 0."""
    bins = np.random.default_rng(kinematic.n_bins).integers(0, kinematic.n_bins + 1, nx * ny)
    bins[-kinematic.n_bins :] = np.arange(1, kinematic.n_bins + 1)
    (folder / kinematic.files[0]).write_text(
        f"#counter_rotation_boxed_aperturefile_version_2\n\t-3.0\t-1.5\n\t{nx * 1.0}\t{ny * 1.0}\n"
        f"\t37.5\n\t{nx}\t{ny}\n"
    )
    rows = [" ".join(str(b) for b in bins[i : i + 10]) for i in range(0, bins.size, 10)]
    (folder / kinematic.files[1]).write_text(
        "\n".join(["#Counterrotaton_binning_version_1", f"\t{nx * ny}", *rows]) + "\n"
    )
    return bins - 1


def write_classes(folder, root, n_orbits, n_dithers, seed):
    """Write an orbclass file, and return its numbers (N, dithers, 5)."""
    random = np.random.default_rng(seed)
    numbers = np.empty((n_orbits, n_dithers**3, 5))
    numbers[..., 3] = random.uniform(0.1, 10.0, numbers.shape[:2]) * 3.0856775814913673e16
    numbers[..., 4] = random.uniform(50.0, 300.0, numbers.shape[:2]) ** 2
    scale = numbers[..., 3] * np.sqrt(numbers[..., 4])
    numbers[..., :3] = random.uniform(-1.0, 1.0, (*numbers.shape[:2], 3)) * scale[..., None]
    words = [f"{value:.15E}" for value in numbers.ravel()]
    # Fortran breaks the lines where it likes.
    lines = [" ".join(words[i : i + 3]) for i in range(0, len(words), 3)]
    (folder / f"{root}.dat_orbclass.out").write_text("\n".join(lines) + "\n")
    return numbers


def write_potential(folder, ratio):
    """Write parameters_pot.in: Gaussians, distance, viewing angles, M/L and the rest."""
    (folder / "parameters_pot.in").write_text(
        "2\n   26819.14    0.49416    0.89541       0.00\n    2456.39    2.04299    0.75000"
        f"       0.00\n39.96\n65.1 80.2 90.0\n{ratio}\n100000.0\n0.001\n4 -0.1 2.0\n"
    )


@dataclass
class Model:
    """Where the model is, and what is in it."""

    library: object
    ml: object
    config: object
    tubes: list
    boxes: list
    bins: list
    weights: np.ndarray
    classes: tuple


def config_text(sets, component_type):
    """Return the configuration file of a model."""
    kinematics = {
        kinematic.name: {
            "weight": 1.0,
            "type": "GaussHermite",
            "datafile": "kin.ecsv",
            "aperturefile": kinematic.files[0],
            "binfile": kinematic.files[1],
            "hist_width": str(kinematic.hist_width),
            "hist_center": "0.0000",
            "hist_bins": str(kinematic.hist_bins),
            **kinematic.settings,
        }
        for kinematic in sets
    }
    return yaml.safe_dump(
        {
            "system_attributes": {"distMPc": 39.96, "name": "NGC0000", "position_angle": 97.69},
            "system_components": {
                "bh": {"type": "Plummer", "include": True, "parameters": {"m": {"value": 5.0}}},
                "stars": {
                    "type": component_type,
                    "include": True,
                    "mge_pot": "mge.ecsv",
                    "kinematics": kinematics,
                },
            },
            "io_settings": {"input_directory": "input/", "output_directory": "output/"},
        },
        sort_keys=False,
    )


def write_model(
    folder,
    sets=(FIRST, SECOND),
    *,
    bar=False,
    one_file=False,
    n_dithers=1,
    ratio=5.0,
    ml_name="ml05.00",
    n_tubes=N_TUBES,
    n_boxes=N_BOXES,
):
    """Write a whole model."""
    library = folder / "output" / "models" / "orblib_000_000"
    for part in ("datfil", "infil", ml_name):
        (library / part).mkdir(parents=True)
    datfil = library / "datfil"
    tubes = [histograms(n_tubes, kinematic, 10 + i) for i, kinematic in enumerate(sets)]
    boxes = [histograms(n_boxes, kinematic, 20 + i) for i, kinematic in enumerate(sets)]
    write = write_orbits_in_one_file if one_file else write_orbits
    for root, per_set in (("orblib", tubes), ("orblibbox", boxes)):
        write(datfil, root, sets, per_set, n_dithers=n_dithers)
    bins = [write_sky(library / "infil", kinematic) for kinematic in sets]
    classes = (
        write_classes(datfil, "orblib", n_tubes, n_dithers, 1),
        write_classes(datfil, "orblibbox", n_boxes, n_dithers, 2),
    )
    write_potential(library / "infil", ratio)
    n_orbits = n_tubes * (1 if bar else 2) + n_boxes
    weights = np.random.default_rng(3).random(n_orbits)
    weights[1] = 0.0
    Table({"weights": weights}, meta={"chi2_tot": 1.0}).write(
        library / ml_name / "orbit_weights.ecsv", format="ascii.ecsv"
    )
    kind = "BarDiskComponentAngles" if bar else "TriaxialVisibleComponent"
    config = folder / "galaxy_config.yaml"
    config.write_text(config_text(sets, kind))
    return Model(library, library / ml_name, config, tubes, boxes, bins, weights, classes)


def in_order(tubes, boxes, *, flip=True, zero_ends=True):
    """Return the histograms (S, V, N) in the order of the weights."""
    tubes, boxes = tubes.copy(), boxes.copy()
    if zero_ends:
        for part in (tubes, boxes):
            part[..., [0, -1]] = 0.0
    both = []
    for tube in tubes:
        both += [tube, tube[:, ::-1]] if flip else [tube]
    return np.stack([*both, *boxes], axis=-1).astype(np.float32)
