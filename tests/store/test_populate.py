import json

import h5py
import numpy as np
import pytest

from cubefit.errors import StoreError
from cubefit.hypercube_builder import build_hypercube
from cubefit.pipeline_runner import PipelineRunner
from cubefit.reconstruction import reconstruct_model_cube_single
from cubefit.results import FitResult
from cubefit.store import files, populate
from cubefit.store.digests import digest_of_fit


class InjectedError(Exception):
    pass


def names(path):
    return sorted(p.name for p in path.parent.iterdir())


@pytest.mark.parametrize(
    ("place", "name", "call"),
    [
        (h5py.File, "create_dataset", 1),
        (h5py.File, "create_dataset", 4),
        (populate, "write_guard", 1),
        (files, "sync_file", 1),
    ],
)
@pytest.mark.parametrize("existing", [False, True])
def test_a_failure_leaves_no_file_or_the_old_one(
    problem, tmp_path, monkeypatch, place, name, call, existing
):
    path = tmp_path / "cube.h5"
    if existing:
        problem.populate(path)
    before = path.read_bytes() if existing else None
    original, count = getattr(place, name), [0]

    def failing(*args, **kwargs):
        count[0] += 1
        if count[0] == call:
            raise InjectedError
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, failing)
        with pytest.raises(InjectedError):
            problem.populate(path, datacube=problem.datacube + 1.0)
    assert names(path) == (["cube.h5"] if existing else [])
    assert before == (path.read_bytes() if existing else None)
    problem.populate(path)
    assert names(path) == ["cube.h5"]


def test_wrong_input_writes_nothing(problem, tmp_path):
    with pytest.raises(ValueError, match="negative"):
        problem.populate(tmp_path / "cube.h5", losvd=-problem.losvd)
    assert list(tmp_path.iterdir()) == []


def test_same_inputs_again_keep_everything(problem, built):
    PipelineRunner(built).solve_all(verbose=False)
    before = built.read_bytes()
    problem.populate(built)
    problem.populate(built, datacube=problem.datacube.T)
    with pytest.warns(UserWarning, match="safety_pad_px=99"):
        problem.populate(built, safety_pad_px=99, overwrite=True)
    assert built.read_bytes() == before


def test_new_inputs_replace_old_ones_that_nothing_was_made_from(problem, populated):
    problem.populate(populated, datacube=2 * problem.datacube)
    with h5py.File(populated) as file:
        np.testing.assert_array_equal(file["/DataCube"], 2 * problem.datacube)
        assert "/R_T" in file


@pytest.mark.parametrize("product", ["/HyperCube", "/X_global", "/ModelCube", "/Mine"])
def test_new_inputs_are_refused_where_they_would_drop_products(problem, populated, product):
    if product == "/HyperCube":
        build_hypercube(populated, verbose=False)
    elif product == "/X_global":
        PipelineRunner(populated).solve_all(verbose=False)
    else:
        reconstruct_model_cube_single(populated, problem.x_true, product[1:], verbose=False)
    before = populated.read_bytes()
    with pytest.raises(StoreError, match=rf"{product}, made from other.*overwrite=True"):
        problem.populate(populated, datacube=2 * problem.datacube)
    assert populated.read_bytes() == before
    problem.populate(populated, datacube=2 * problem.datacube, overwrite=True)
    with h5py.File(populated) as file:
        assert product not in file


@pytest.mark.parametrize(
    "change",
    [
        {"mask": np.ones(40, bool)},
        {"noise": np.ones(40)},
        {"template_axes": {"Z": [0, 1], "age": [1, 2, 3], "alpha": [0, 1]}},
        {"binnum": [0]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_further_input_counts_as_other_inputs(problem, built, change):
    with pytest.raises(StoreError, match="overwrite=True"):
        problem.populate(built, **change)


@pytest.mark.parametrize("kind", ["text", "foreign", "folder"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_other_files_are_never_overwritten(problem, tmp_path, kind, overwrite):
    path = tmp_path / "cube.h5"
    if kind == "text":
        path.write_text("my thesis")
    elif kind == "folder":
        path.mkdir()
    else:
        with h5py.File(path, "w") as file:
            file["thesis"] = 1.0
    with pytest.raises(StoreError, match=r"cube.h5 is (no HDF5 file|not a populated CubeFit file)"):
        problem.populate(path, overwrite=overwrite)
    assert names(path) == ["cube.h5"]
    if kind == "text":
        assert path.read_text() == "my thesis"


def test_a_missing_folder_is_named(problem, tmp_path):
    with pytest.raises(StoreError, match="nowhere is no folder: create it"):
        problem.populate(tmp_path / "nowhere" / "cube.h5")


def test_a_full_disk_is_refused_before_anything_is_written(problem, tmp_path, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _folder: Disk(free=10))
    with pytest.raises(StoreError, match=r"Populating .* needs 0.00 GB"):
        problem.populate(tmp_path / "cube.h5")
    assert list(tmp_path.iterdir()) == []


class Disk:
    def __init__(self, free):
        self.free = free


def test_one_noise_spectrum_is_stored_as_such(problem, tmp_path):
    path = problem.populate(tmp_path / "cube.h5", noise=np.full(40, 0.1))
    with h5py.File(path) as file:
        assert file["/Noise"].shape == (40,)
        assert file["/Noise"].attrs["axes"] == "L"


def test_rebin_products_are_made_once_and_completed(problem, populated):
    before = populated.read_bytes()
    problem.manager(populated).ensure_rebin_and_resample()
    assert populated.read_bytes() == before
    with h5py.File(populated) as file:
        rebin, transform = file["/R_T"][()], file["/TemplatesFFT"][()]
    for lost in ("/R_T", "/TemplatesFFT", "/TemplatesFFT_R"):
        with h5py.File(populated, "r+") as file:
            del file[lost]
        problem.manager(populated).ensure_rebin_and_resample()
        with h5py.File(populated) as file:
            np.testing.assert_array_equal(file["/R_T"], rebin)
            np.testing.assert_array_equal(file["/TemplatesFFT_R"], transform)


def test_guard_attributes_are_scalars_and_json(problem, populated):
    problem.manager(populated)._write_guard_attrs(
        populated, {"Kguard_px": np.int64(7), "mine": np.float32(0.5), "safe": np.True_}
    )
    with h5py.File(populated) as file:
        info = json.loads(file.attrs["guard_info_json"])
        assert (info["Kguard_px"], info["mine"], info["safe"]) == (7, 0.5, True)
        assert file.attrs["guard.mine"] == 0.5
        assert "safety_pad_px" in info


def state_of(path):
    """What was made from the inputs, and where in the file the HyperCube is."""
    with h5py.File(path) as file:
        models = file["/HyperCube/models"]
        offsets = [
            models.id.get_chunk_info(i).byte_offset for i in range(models.id.get_num_chunks())
        ]
        return models[()].tobytes(), offsets, file["/X_global"][()].tobytes(), digest_of_fit(file)


def masses_in(path):
    with h5py.File(path) as file:
        return file["/TemplateMass"][()] if "/TemplateMass" in file else None


def test_new_template_masses_leave_everything_made_before(problem, built):
    PipelineRunner(built).solve_all(verbose=False)
    before = state_of(built)
    for factor in (1.0, 2.0):
        masses = factor * np.arange(1.0, 13.0).reshape(2, 3, 2)
        problem.populate(built, template_masses=masses)
        np.testing.assert_array_equal(masses_in(built), masses.ravel())
        assert state_of(built) == before
    with h5py.File(built) as file:
        assert file["/TemplateMass"].attrs["unit"] == "mass per template unit"
        assert file["/TemplateMass"].attrs["axes"] == "P"
    whole = built.read_bytes()
    problem.populate(built, template_masses=masses.ravel())
    assert built.read_bytes() == whole
    problem.populate(built)
    assert masses_in(built) is None
    assert state_of(built) == before


def test_what_is_known_of_components_changes_beside_everything_made_before(problem, built):
    PipelineRunner(built).solve_all(verbose=False)
    before = state_of(built)
    problem.populate(built, orbit_weights=np.arange(5.0), component_properties={"r": range(5)})
    with h5py.File(built) as file:
        np.testing.assert_array_equal(file["/OrbitWeights"], np.arange(5.0))
    result = FitResult.from_file(built)
    np.testing.assert_array_equal(result.component_properties["r"], np.arange(5.0))
    np.testing.assert_array_equal(result.orbit_weights, np.arange(5.0))
    assert state_of(built) == before
    whole = built.read_bytes()
    problem.populate(built, orbit_weights=np.arange(5.0), component_properties={"r": range(5)})
    assert built.read_bytes() == whole
    problem.populate(built)
    result = FitResult.from_file(built)
    assert result.orbit_weights is None
    assert result.component_properties == {}
    # What is left of the group is no product of a fit.
    again = problem.populate(built.with_name("fresh.h5"), component_properties={"r": range(5)})
    problem.populate(again, losvd=2 * problem.losvd)


def test_wrong_template_masses_leave_the_file_alone(problem, built):
    before = built.read_bytes()
    with pytest.raises(ValueError, match="template_masses"):
        problem.populate(built, template_masses=np.zeros(12))
    assert built.read_bytes() == before
