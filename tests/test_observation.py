"""What stands behind the arrays of a file travels with it."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from cubefit import FitResult, H5Manager, Observation
from cubefit.errors import InputError, StoreError
from cubefit.observation import ImagePlane, WaveAxis

SEEN = Observation(
    name="NGC 1",
    flux_unit="erg / (s cm2 Angstrom)",
    pixel_unit="arcsec",
    image=ImagePlane(shape=(3, 4), x=(-1.5, 1.0), y=(-1.0, 1.0), wcs="WCSAXES = 2"),
    wave=WaveAxis(first=8.5, step=1e-4, size=100, kind="ln", medium="vacuum"),
    redshift=0.01,
    medium="air",
    settings={"cube": {"path": "cube.fits", "centre": [0.0, 1.0]}},
)


def test_it_is_the_same_after_a_way_through_text():
    assert Observation.from_json(SEEN.to_json()) == SEEN
    assert Observation.from_json(Observation().to_json()) == Observation()


def test_edges_lie_half_a_step_beside_the_centres():
    linear = WaveAxis(first=5000.0, step=1.25, size=4, kind="linear", medium="air")
    assert linear.edges.tolist() == [4999.375, 5000.625, 5001.875, 5003.125, 5004.375]
    assert np.log(SEEN.wave.edges[[0, -1]]) == pytest.approx([8.49995, 8.50995])


@pytest.mark.parametrize("text", ["", "[]", '{"redshift": "fast"}', '{"unknown": 1}'])
def test_other_text_is_refused(text):
    with pytest.raises(InputError, match="not what CubeFit writes"):
        Observation.from_json(text)


def test_what_no_attribute_holds_is_refused():
    with pytest.raises(InputError, match="leave out what is large in its settings"):
        Observation(settings={"a": "x" * 70_000}).to_json()


@pytest.fixture
def populate(problem, tmp_path):
    def populate(observation, **more):
        manager = H5Manager(tmp_path / "a.h5", tem_pix=problem.tem_pix, obs_pix=problem.obs_pix)
        manager.set_velocity_grid(problem.vel_pix)
        manager.populate_from_arrays(
            losvd=problem.losvd,
            datacube=problem.datacube,
            templates=problem.templates,
            observation=observation,
            **more,
        )
        return tmp_path / "a.h5"

    return populate


def pixels(problem):
    n = problem.losvd.shape[0]
    return {"xpix": np.arange(n) - 1.5, "ypix": np.zeros(n), "binnum": np.arange(n)}


def result_of(path, problem):
    n_weights = problem.losvd.shape[2] * problem.templates[0].size
    return FitResult.from_file(path, np.ones(n_weights))


def test_it_changes_without_undoing_what_the_file_holds(populate, problem):
    path = populate(SEEN, **pixels(problem))
    with h5py.File(path, "r+") as file:
        file["mine"] = [1.0]
    other = Observation(name="NGC 2", image=SEEN.image)
    populate(other, **pixels(problem))
    assert result_of(path, problem).observation == other
    populate(None, **pixels(problem))
    assert result_of(path, problem).observation == Observation()
    with h5py.File(path) as file:
        assert "mine" in file


def test_images_are_those_of_the_whole_plane(populate, problem):
    n = problem.losvd.shape[0]
    plane = ImagePlane(shape=(3, n + 4), x=(-3.5, 1.0), y=(-1.0, 1.0))
    path = populate(Observation(image=plane, pixel_unit="arcsec"), **pixels(problem))
    images = result_of(path, problem).images()
    spaxel = images["spaxel"].values
    assert spaxel.shape == (3, n + 4)
    assert spaxel[1, 2 : n + 2].tolist() == list(range(n))
    assert (spaxel >= 0).sum() == n


def test_pixels_beside_the_plane_are_refused(populate, problem):
    plane = ImagePlane(shape=(3, 4), x=(-1.25, 1.0), y=(-1.0, 1.0))
    path = populate(Observation(image=plane), **pixels(problem))
    with pytest.raises(InputError, match="x coordinates of the image pixels are not those"):
        result_of(path, problem).images()


def test_an_image_needs_pixels(populate):
    with pytest.raises(InputError, match="there is no xpix, ypix"):
        populate(SEEN)
    with pytest.raises(InputError, match="observation is a dict"):
        populate({"name": "NGC 1"})


def test_a_damaged_one_is_refused_with_the_file(populate, problem):
    path = populate(Observation(name="NGC 1"))
    with h5py.File(path, "r+") as file:
        file.attrs["observation_json"] = "{"
    with pytest.raises(StoreError, match=r"a\.h5: observation is not what CubeFit writes"):
        result_of(path, problem)
