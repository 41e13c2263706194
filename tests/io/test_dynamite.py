import bz2
import logging
import tracemalloc

import numpy as np
import pytest
from scipy.io import FortranFile
from tests.io.dynamite_model import (
    FIRST,
    N_BOXES,
    N_TUBES,
    SECOND,
    Set,
    in_order,
    packed,
    write_classes,
    write_grid_header,
    write_model,
    write_orbits,
)

from cubefit.errors import ConfigError, InputError
from cubefit.io import read_orbits
from cubefit.io.dynamite import KinematicSet, model_files, read_dynamite
from cubefit.prepare.bundles import BundleBins

N_ORBITS = 2 * N_TUBES + N_BOXES


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path)


@pytest.mark.parametrize("one_file", [False, True])
@pytest.mark.parametrize(("chosen", "kinematic"), [(0, FIRST), (1, SECOND), ("wide", SECOND)])
def test_what_is_written_is_read(tmp_path, one_file, chosen, kinematic):
    model = write_model(tmp_path, one_file=one_file)
    place = 0 if kinematic is FIRST else 1
    orbits = read_orbits(model.ml, config=model.config, kinematics=chosen)
    np.testing.assert_array_equal(orbits.losvd, in_order(model.tubes[place], model.boxes[place]))
    np.testing.assert_array_equal(orbits.weights, model.weights)
    np.testing.assert_array_equal(orbits.binnum, model.bins[place])
    assert (orbits.losvd.dtype, orbits.binnum.dtype) == (np.float32, np.int32)
    edges = np.arange(kinematic.hist_bins + 1) * kinematic.hist_width / kinematic.hist_bins
    centres = 0.5 * (edges[1:] + edges[:-1]) - 0.5 * kinematic.hist_width
    np.testing.assert_allclose(orbits.vel, centres, atol=1e-9)


def test_pixels_run_fastest_in_x(model):
    orbits = read_dynamite(model.ml, model.config)
    np.testing.assert_allclose(orbits.x[:7], [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, -2.5])
    np.testing.assert_allclose(orbits.y[[0, 5, 6, 23]], [-1.0, -1.0, 0.0, 2.0])


def test_tubes_run_both_ways(model):
    orbits = read_dynamite(model.ml, model.config)
    for tube in range(N_TUBES):
        forth, back = orbits.losvd[..., 2 * tube], orbits.losvd[..., 2 * tube + 1]
        np.testing.assert_array_equal(forth, back[:, ::-1])
    np.testing.assert_array_equal(orbits.vel, -orbits.vel[::-1])


def test_bars_have_tubes_one_way(tmp_path):
    model = write_model(tmp_path, bar=True)
    orbits = read_dynamite(model.ml, model.config)
    np.testing.assert_array_equal(
        orbits.losvd, in_order(model.tubes[0], model.boxes[0], flip=False)
    )
    spin = orbits.properties["lambdaz"]
    assert spin.shape == (N_TUBES + N_BOXES,)
    with pytest.raises(InputError, match="weights holds 7 values"):
        read_dynamite(model.ml, model.config, flip_tubes=True)


def test_ends_are_kept_on_demand(model):
    orbits = read_dynamite(model.ml, model.config, zero_ends=False)
    expected = in_order(model.tubes[0], model.boxes[0], zero_ends=False)
    np.testing.assert_array_equal(orbits.losvd, expected)
    assert expected[:, [0, -1]].any()


def test_much_light_in_the_ends_is_told(model, caplog):
    with caplog.at_level(logging.WARNING):
        read_dynamite(model.ml, model.config)
    assert "of the light lies in the first and last velocity bins" in caplog.text


@pytest.mark.parametrize(
    ("ml_name", "ratio", "scale"),
    [("ml05.00", 5.0, 1.0), ("ml05.00", 5.0037, 1.0), ("ml20.00", 5.0, 2.0), ("ml7", 7.4, 1.0)],
)
def test_velocities_scale_with_the_mass_to_light_ratio(tmp_path, ml_name, ratio, scale):
    model = write_model(tmp_path, ml_name=ml_name, ratio=ratio)
    orbits = read_dynamite(model.ml, model.config)
    np.testing.assert_allclose(orbits.vel, scale * 100.0 * np.arange(-5, 6))
    np.testing.assert_array_equal(orbits.losvd, in_order(model.tubes[0], model.boxes[0]))
    given = read_dynamite(model.ml, model.config, velocity_scale=1.5)
    np.testing.assert_allclose(given.vel, 150.0 * np.arange(-5, 6))


@pytest.mark.parametrize("n_dithers", [1, 2])
def test_properties_are_those_of_dynamite(tmp_path, n_dithers):
    model = write_model(tmp_path, n_dithers=n_dithers, ratio=1.25)
    found = read_dynamite(model.ml, model.config).properties
    tubes, boxes = model.classes
    numbers = np.concatenate([np.repeat(tubes, 2, axis=0), boxes])
    sign = np.array([1.0, -1.0] * N_TUBES + [1.0] * N_BOXES)
    speed = np.sqrt(numbers[..., 4])
    np.testing.assert_allclose(
        found["Rmean_kpc"], numbers[..., 3].mean(axis=1) / 3.0856775814913673e16
    )
    for axis, name in enumerate(["lambdax", "lambday", "lambdaz"]):
        spin = (numbers[..., axis] / (numbers[..., 3] * speed)).mean(axis=1)
        np.testing.assert_allclose(found[name], sign * spin, rtol=1e-9)
    np.testing.assert_allclose(found["Vrms_kms"], 2.0 * speed.mean(axis=1))


def test_orbits_at_rest_have_no_spin(model):
    numbers = model.classes[0].copy()
    numbers[0, :, :3] = numbers[0, :, 4] = 0.0
    (model.library / "datfil" / "orblib.dat_orbclass.out").write_text(
        " ".join(f"{value:.15e}" for value in numbers.ravel())
    )
    assert read_dynamite(model.ml, model.config).properties["lambdaz"][0] == 0.0


def test_without_orbit_classes_there_are_no_properties(model):
    (model.library / "datfil" / "orblibbox.dat_orbclass.out").unlink()
    assert read_dynamite(model.ml, model.config).properties == {}
    with pytest.raises(InputError, match="no property Rmean_kpc and no lambdaz, only none"):
        read_dynamite(model.ml, model.config, bundle=BundleBins(radius=2, circularity=2))


@pytest.mark.parametrize(
    "bundle", [BundleBins(radius=2, circularity=(-1.0, 0.0, 1.0)), np.arange(N_ORBITS) // 2 - 1]
)
def test_bundling_while_reading_is_bundling_afterwards(model, bundle):
    streamed = read_orbits(model.ml, "dynamite", config=model.config, bundle=bundle)
    whole = read_dynamite(model.ml, model.config).in_bundles(bundle)
    np.testing.assert_allclose(streamed.losvd, whole.losvd, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(streamed.weights, whole.weights)
    for name, values in whole.properties.items():
        np.testing.assert_allclose(streamed.properties[name], values)


def test_the_whole_library_is_never_in_memory(tmp_path):
    sky = Set("kinset1", 20, 201, 4020.0)
    model = write_model(tmp_path, [sky], n_tubes=150, n_boxes=150)
    whole = 450 * sky.n_bins * sky.hist_bins * 8
    tracemalloc.start()
    try:
        read_dynamite(model.ml, model.config, bundle=np.arange(450) // 150)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.3 * whole


def test_the_library_alone_takes_its_one_solution(model):
    orbits = read_dynamite(model.library, model.config)
    np.testing.assert_array_equal(orbits.weights, model.weights)
    other = model.library / "ml06.00"
    other.mkdir()
    (other / "orbit_weights.ecsv").write_bytes((model.ml / "orbit_weights.ecsv").read_bytes())
    with pytest.raises(InputError, match=r"several mass-to-light ratios \(ml05.00, ml06.00\)"):
        read_dynamite(model.library, model.config)


def test_weights_may_be_given(model, tmp_path):
    weights = np.arange(1.0, N_ORBITS + 1)
    (model.ml / "orbit_weights.ecsv").unlink()
    file = tmp_path / "weights.txt"
    file.write_text(" ".join(map(str, weights)))
    for given in (weights, file, str(file)):
        orbits = read_dynamite(model.ml, model.config, weights=given)
        np.testing.assert_array_equal(orbits.weights, weights)
    with pytest.raises(InputError, match=r"has no orbit_weights.ecsv"):
        read_dynamite(model.library, model.config)


def test_sets_may_be_given_instead_of_the_configuration(model):
    sets = [
        KinematicSet(name="one", hist_width=1100.0, hist_bins=11),
        KinematicSet(
            name="two",
            hist_width=4200.0,
            hist_bins=21,
            aperture_file=SECOND.files[0],
            bin_file=SECOND.files[1],
        ),
    ]
    orbits = read_dynamite(model.ml, sets=sets, kinematics="two")
    np.testing.assert_array_equal(orbits.losvd, in_order(model.tubes[1], model.boxes[1]))
    for options in ({}, {"sets": sets, "config": model.config}):
        with pytest.raises(ConfigError, match="give one of the two"):
            read_dynamite(model.ml, **options)
    with pytest.raises(ConfigError, match=r"sets = \[1\]: give a list of KinematicSet"):
        read_dynamite(model.ml, sets=[1])


def test_the_library_knows_the_bins_of_its_first_set(tmp_path):
    default = {"hist_width": "default", "hist_bins": "default", "hist_center": "default"}
    model = write_model(tmp_path, [Set("a", 5, 11, 1100.0, settings=default)])
    np.testing.assert_allclose(read_dynamite(model.ml, model.config).vel, 100.0 * np.arange(-5, 6))


def test_the_bins_of_other_sets_must_be_told(tmp_path):
    other = Set("b", 2, 21, 4200.0, SECOND.files, settings={"hist_bins": "default"})
    model = write_model(tmp_path, [FIRST, other])
    with pytest.raises(ConfigError, match="b has no hist_bins"):
        read_dynamite(model.ml, model.config)


def test_histograms_are_centred_on_zero_whatever_the_configuration_says(tmp_path):
    shifted = Set("a", 5, 11, 1100.0, settings={"hist_center": "50.0"})
    model = write_model(tmp_path, [shifted])
    assert read_dynamite(model.ml, model.config).vel[5] == 0.0


def test_the_files_of_a_model_are_all_that_it_is_read_from(tmp_path):
    model = write_model(tmp_path, [FIRST])
    listed = model_files(model.ml, model.config)
    assert all(file.is_file() for file in listed)
    names = {file.name for file in listed}
    assert {"orbit_weights.ecsv", "orblib_losvd_hist.dat.bz2", "orblibbox_qgrid.dat.bz2"} <= names
    assert {*FIRST.files, model.config.name} <= names


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"hist_bins": "13"}, InputError, "has 11 velocity bins of 100 km/s .* has 13"),
        ({"hist_bins": "12"}, ConfigError, "hist_bins=12 must be odd"),
        ({"hist_width": "1200.0"}, InputError, "kinset1 has 11 of 109.091"),
        ({"hist_width": "wide"}, InputError, "no numbers"),
        ({"hist_width": -1.0}, ConfigError, "hist_width=-1.0"),
        ({"binfile": "bins_wide.dat"}, InputError, "holds 7 apertures, but .* have 4"),
        ({"binfile": "absent.dat"}, InputError, "absent.dat is in none of"),
    ],
)
def test_a_wrong_configuration_is_refused(model, change, error, message):
    text = model.config.read_text()
    for key, value in change.items():
        lines = text.splitlines()
        at = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
        lines[at] = f"{lines[at].partition(':')[0]}: {value!r}"
        text = "\n".join(lines)
    model.config.write_text(text)
    with pytest.raises(error, match=message):
        read_dynamite(model.ml, model.config)


def test_sets_in_another_order_are_refused(tmp_path):
    first, second = Set("a", 4, 21, 2100.0), Set("b", 3, 11, 1100.0, files=("x.dat", "y.dat"))
    model = write_model(tmp_path, [first, second])
    swapped = [
        KinematicSet(name="b", aperture_file="x.dat", bin_file="y.dat", hist_bins=21),
        KinematicSet(name="a", hist_bins=11, hist_width=1100.0),
    ]
    with pytest.raises(InputError, match="beyond the 11 bins"):
        read_dynamite(model.ml, sets=swapped)


@pytest.mark.parametrize("kinematics", ["absent", 2, -1])
def test_unknown_sets_are_refused(model, kinematics):
    with pytest.raises(ConfigError, match="the model has the sets kinset1, wide"):
        read_dynamite(model.ml, model.config, kinematics=kinematics)


def histogram_file(model):
    return model.library / "datfil" / "orblib_losvd_hist.dat.bz2"


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_truncated_files_are_refused(model, kept):
    path = histogram_file(model)
    packed = path.read_bytes()
    plain = bz2.decompress(packed)
    path.write_bytes(bz2.compress(plain[: int(kept * len(plain))]))
    with pytest.raises(InputError, match=r"truncated|begins with"):
        read_dynamite(model.ml, model.config)
    path.write_bytes(packed[: int(kept * len(packed))])
    with pytest.raises(InputError, match=r"cannot be unpacked as bz2|truncated"):
        read_dynamite(model.ml, model.config)


def test_other_files_are_refused(model):
    path = histogram_file(model)
    for content, message in (
        (b"plain text", "cannot be unpacked"),
        (bz2.compress(b"no Fortran records in here"), "truncated"),
        (bz2.compress(b"\xff\xff\xff\xff" * 8), "a record of -1 bytes"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_dynamite(model.ml, model.config)
    path.unlink()
    with pytest.raises(InputError, match="is missing"):
        read_dynamite(model.ml, model.config)


def test_files_mixed_up_are_refused(model):
    datfil = model.library / "datfil"
    grid = datfil / "orblib_qgrid.dat.bz2"
    kept = grid.read_bytes()
    grid.write_bytes(histogram_file(model).read_bytes())
    with pytest.raises(InputError, match="five integers are due"):
        read_dynamite(model.ml, model.config)
    grid.write_bytes((datfil / "orblibbox_qgrid.dat.bz2").read_bytes())
    with pytest.raises(InputError, match="weights holds 11 values"):
        read_dynamite(model.ml, model.config)
    (datfil / "orblib.dat_orbclass.out").unlink()
    with pytest.raises(InputError, match="goes on after its 3 orbits"):
        read_dynamite(model.ml, model.config, weights=np.ones(9))
    grid.write_bytes(kept)
    histogram_file(model).write_bytes(kept)
    with pytest.raises(InputError, match="begins with a record of 20 bytes"):
        read_dynamite(model.ml, model.config)


def test_libraries_without_orbits_are_refused(model):
    path = model.library / "datfil" / "orblibbox_qgrid.dat.bz2"
    with packed(path.with_suffix("")) as file:
        write_grid_header(file, 0, 1)
    with pytest.raises(InputError, match="says 0 orbits of 1 dithers"):
        read_dynamite(model.ml, model.config)


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_impossible_light_is_refused(tmp_path, value):
    model = write_model(tmp_path, [FIRST])
    tubes = model.tubes[0].copy()
    tubes[2, 1, 3:8] = [0.1, value, 0.1, 0.1, 0.1]
    write_orbits(model.library / "datfil", "orblib", [FIRST], [tubes])
    with pytest.raises(InputError, match="orbit 2 has negative, NaN or infinite"):
        read_dynamite(model.ml, model.config)


def test_records_of_another_size_are_refused(tmp_path):
    model = write_model(tmp_path, [FIRST])
    plain = tmp_path / "hist.dat"
    with FortranFile(plain, "w") as file:
        file.write_record(np.int32(5), np.int32(5), np.float64(100.0))
        file.write_record(np.array([-1, 1], np.int32))
        file.write_record(np.ones(4))
    histogram_file(model).write_bytes(bz2.compress(plain.read_bytes() + bytes(200)))
    with pytest.raises(InputError, match="another record where 3 numbers are due"):
        read_dynamite(model.ml, model.config)


def test_orbit_classes_of_another_library_are_refused(model):
    datfil = model.library / "datfil"
    write_classes(datfil, "orblib", N_TUBES + 1, 1, 1)
    with pytest.raises(InputError, match="5 x 1 dithers x 4 orbits are due"):
        read_dynamite(model.ml, model.config)
    (datfil / "orblib.dat_orbclass.out").write_text("1.0 *** 2.0")
    with pytest.raises(InputError, match="holds no numbers"):
        read_dynamite(model.ml, model.config)
    numbers = -np.ones(5 * N_TUBES)
    (datfil / "orblib.dat_orbclass.out").write_text(" ".join(map(str, numbers)))
    with pytest.raises(InputError, match="negative radii"):
        read_dynamite(model.ml, model.config)


def test_damaged_weights_are_refused(model):
    path = model.ml / "orbit_weights.ecsv"
    for content in ("weights\n1.0\n", "", "# %ECSV 1.0\n# ---\n# datatype: 3\nw\n1\n"):
        path.write_text(content)
        with pytest.raises(InputError, match=r"orbit_weights.ecsv"):
            read_dynamite(model.ml, model.config)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("aperture.dat", "1 2\n3 4\n5\n6", "holds 6 numbers"),
        ("aperture.dat", "1 2\n3 4\n5\n6 -4", "corner, extent"),
        (
            "aperture.dat",
            "-3 -1.5\n6 4\n37.5\n5 4\n",
            "announces 24 pixels and holds 24, but .* 5 x 4",
        ),
        ("aperture.dat", "-3 -1.5\n6 4\n37.5\n6.4 3.75\n", "corner, extent"),
        ("aperture.dat", "a b", "holds no plain numbers"),
        ("bins.dat", "24\n1 2 3", "announces 24 pixels and holds 3"),
        ("bins.dat", "24\n" + "1 3 " * 12, "names 2 bins from 1 to 3"),
        ("bins.dat", "24\n" + "0 " * 24, "names 0 bins"),
        ("bins.dat", "24\n" + "-1 1 " * 12, "names 1 bins from -1"),
    ],
)
def test_damaged_skies_are_refused(model, file, content, message):
    (model.library / "infil" / file).write_text(content)
    with pytest.raises(InputError, match=message):
        read_dynamite(model.ml, model.config)


def test_the_sky_may_be_in_the_input_folder(model, tmp_path):
    (tmp_path / "input").mkdir()
    for file in FIRST.files:
        (model.library / "infil" / file).rename(tmp_path / "input" / file)
    np.testing.assert_array_equal(read_dynamite(model.ml, model.config).binnum, model.bins[0])


def test_folders_without_a_model_are_refused(tmp_path):
    with pytest.raises(InputError, match="has a folder datfil"):
        read_orbits(tmp_path, config=tmp_path / "absent.yaml")


@pytest.mark.parametrize("text", ["", "2\n1 1 1 1\n1 1 1 1\n40\n1 1 1\nfive\n", "0\n40\n1 1 1\n-2"])
def test_unknown_mass_to_light_ratios_are_refused(model, text):
    (model.library / "infil" / "parameters_pot.in").write_text(text)
    with pytest.raises(InputError, match="give velocity_scale"):
        read_dynamite(model.ml, model.config)
    read_dynamite(model.ml, model.config, velocity_scale=1.0)


def test_solutions_with_other_names_need_the_scale(model):
    model.ml.rename(model.library / "best")
    with pytest.raises(InputError, match="not named after a mass-to-light ratio"):
        read_dynamite(model.library / "best", model.config)
    with pytest.raises(ConfigError, match="must be positive"):
        read_dynamite(model.library / "best", model.config, velocity_scale=-1.0)
