import pytest
import yaml

from cubefit.errors import ConfigError, InputError
from cubefit.io.dynamite import KinematicSet, read_config

EXAMPLE = """
# An example.
---
system_attributes: {distMPc: 18.3, name: FCC047, position_angle: 97.69}
system_components:
    bh: {type: Plummer, include: True, contributes_to_potential: True}
    old:
        type: TriaxialVisibleComponent
        include: False
        kinematics: {absent: {type: GaussHermite}}
    stars:
        type: "TriaxialVisibleComponent" # class name
        include: True
        kinematics:
            MUSE:
                type: GaussHermite
                hist_width: 10000
                hist_center: 0.0
                hist_bins: 501
                datafile: kins.ecsv
                aperturefile: "aperture_MUSE.dat"
                binfile: "bins_MUSE.dat"
            stars_moving: {type: ProperMotions, hist_width: [1.0, 1.0], hist_bins: [11, 11]}
            LOSVDs: {type: BayesLOSVD}
io_settings: {input_directory: "FCC047_input/"}
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config.yaml"


def test_sets_stand_in_the_order_of_the_file(path):
    path.write_text(EXAMPLE)
    config = read_config(path)
    assert config.sets == (
        KinematicSet(
            name="MUSE",
            hist_width=10000.0,
            hist_bins=501,
            aperture_file="aperture_MUSE.dat",
            bin_file="bins_MUSE.dat",
        ),
        KinematicSet(name="LOSVDs"),
    )
    assert config.input_directory == path.parent / "FCC047_input"
    assert not config.bar


@pytest.mark.parametrize("kind", ["BarDiskComponent", "BarDiskComponentAngles"])
def test_bars_are_recognised(path, kind):
    path.write_text(EXAMPLE.replace('"TriaxialVisibleComponent"', kind))
    assert read_config(path).bar


def test_files_without_sets_are_refused(path):
    content = yaml.safe_load(EXAMPLE)
    del content["system_components"]["stars"]["kinematics"]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"0 included system_components have kinematics \(none\)"):
        read_config(path)
    path.write_text(EXAMPLE.replace("include: False", "include: True"))
    with pytest.raises(InputError, match=r"2 included .* \(old, stars\)"):
        read_config(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "cannot be read as YAML"),
        ("- 1", "the file is list"),
        ("a: 1", "system_components is NoneType"),
        ("system_components: {s: {kinematics: [1]}}", "s: kinematics is list"),
        ("system_components: {s: {kinematics: {k: 1}}}", "kinematics: k is int"),
        (
            "system_components: {s: {kinematics: {k: {hist_bins: [1]}}}}",
            r"kinematics k: .* are no numbers",
        ),
    ],
)
def test_other_files_are_refused(path, text, message):
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_config(path)


def test_missing_files_are_refused(path):
    with pytest.raises(InputError, match="cannot be read as YAML"):
        read_config(path)


@pytest.mark.parametrize("bins", [1, 10, -3])
def test_numbers_of_bins_are_odd(bins):
    with pytest.raises(ConfigError, match="must be odd"):
        KinematicSet(name="a", hist_bins=bins)
