import h5py
import numpy as np
import pytest

from cubefit.errors import ConfigError, GridError, InputError, MissingDataError, StoreError
from cubefit.hdf5_manager import H5Manager
from cubefit.hypercube_builder import build_hypercube


def populate_only(problem, path, **changes):
    arrays = {"losvd": problem.losvd, "templates": problem.templates, "datacube": problem.datacube}
    problem.manager(path).populate_from_arrays(**(arrays | changes))
    return path


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        (np.linspace(4800, 5300, 40), "looks like Angstrom"),
        (np.linspace(3.68, 3.72, 40), "looks like log10"),
        (np.log(np.linspace(4800, 5300, 40)), "not uniform"),
        ([8.5], "2 or more"),
        ([8.5, np.nan, 8.7], "NaN"),
        ([8.7, 8.6, 8.5], "does not increase"),
    ],
)
@pytest.mark.parametrize("name", ["tem_pix", "obs_pix"])
def test_wavelength_grids_are_checked_at_once(tmp_path, grid, told, name):
    with pytest.raises(GridError, match=f"{name}.*{told}"):
        H5Manager(tmp_path / "cube.h5", **{name: grid})
    assert list(tmp_path.iterdir()) == []


def test_velocity_grid_is_checked_at_once(tmp_path):
    with pytest.raises(GridError, match=r"/VelPix.*not uniform in km/s"):
        H5Manager(tmp_path / "cube.h5").set_velocity_grid([0.0, 10.0, 30.0])


def test_missing_grids_are_named(problem, tmp_path):
    arrays = {"losvd": problem.losvd, "templates": problem.templates, "datacube": problem.datacube}
    manager = H5Manager(tmp_path / "cube.h5", tem_pix=problem.tem_pix, obs_pix=problem.obs_pix)
    with pytest.raises(GridError, match=r"set_velocity_grid\(vbins\) first"):
        manager.populate_from_arrays(**arrays)
    with pytest.raises(GridError, match="needs both grids"):
        H5Manager(tmp_path / "cube.h5").populate_from_arrays(**arrays)
    assert list(tmp_path.iterdir()) == []


def test_either_orientation_of_the_data_is_stored_the_same(problem, tmp_path):
    for name, cube in {"sl": problem.datacube, "ls": problem.datacube.T}.items():
        populate_only(problem, tmp_path / name, datacube=cube)
    assert (tmp_path / "sl").read_bytes() == (tmp_path / "ls").read_bytes()


def test_square_data_need_the_order_by_name(make_problem, tmp_path):
    square = make_problem(S=10, L=10)
    with pytest.raises(InputError, match="datacube_order='SL' or 'LS'"):
        populate_only(square, tmp_path / "cube.h5")
    for order, cube in {"SL": square.datacube, "LS": square.datacube.T}.items():
        path = populate_only(square, tmp_path / order, datacube=cube, datacube_order=order)
        with h5py.File(path) as file:
            np.testing.assert_array_equal(file["/DataCube"], square.datacube)


def test_a_thin_guard_warns_with_both_margins(problem, tmp_path):
    with pytest.warns(UserWarning, match=r"reach 79.0 px \(blue\) and 80.0 px \(red\).*=100"):
        populate_only(problem, tmp_path / "cube.h5", safety_pad_px=100)
    with h5py.File(tmp_path / "cube.h5") as file:
        assert file.attrs["guard.safety_pad_px"] == 100


def test_templates_too_short_for_the_losvds_are_refused(problem, tmp_path):
    short = slice(78, None)
    manager = H5Manager(tmp_path / "c.h5", problem.tem_pix[short], problem.obs_pix)
    manager.set_velocity_grid(problem.vel_pix)
    with pytest.raises(GridError, match=r"Templates cover .* A, but /ObsPix plus the LOSVD"):
        manager.populate_from_arrays(problem.losvd, problem.datacube, problem.templates[short])
    assert list(tmp_path.iterdir()) == []


def test_edges_are_diagnosed_on_both_sides(populated):
    edges = H5Manager.diagnose_rebin_edges(populated)
    assert edges
    assert "Safe=True" in str(edges)
    assert edges.blue_margin_px == pytest.approx(79.0, abs=0.01)
    assert edges.red_margin_px == pytest.approx(80.0, abs=0.01)
    # Velocity bins of 100 km/s out to +-450 km/s, template pixels of 40 km/s.
    assert edges.blue_support_px == pytest.approx(450 / 40, rel=0.01)
    assert "km/s" in str(edges)


def test_products_that_are_missing_are_named_with_the_mend(problem, tmp_path):
    path = populate_only(problem, tmp_path / "cube.h5")
    told = (
        r"Missing /TemplatesFFT; call populate_from_arrays first, then "
        r"ensure_rebin_and_resample\(\)"
    )
    with pytest.raises(MissingDataError, match=told):
        build_hypercube(path, verbose=False)
    with pytest.raises(MissingDataError, match=told):
        H5Manager.live_prefit_snapshot_from_models(path, tmp_path / "a.png")
    with h5py.File(problem.populate(tmp_path / "cube.h5"), "r+") as file:
        del file["/R_T"]
    with pytest.raises(MissingDataError, match=r"Missing /R_T;.*ensure_rebin_and_resample\(\)"):
        build_hypercube(path, verbose=False)
    assert not (tmp_path / "a.png").exists()


def test_ensure_before_populate(tmp_path):
    with pytest.raises(StoreError, match="does not exist: populate it first"):
        H5Manager(tmp_path / "cube.h5").ensure_rebin_and_resample()


def test_guard_attributes_are_numbers(populated):
    before = populated.read_bytes()
    with pytest.raises(ConfigError, match=r"\['info'\] is no number"):
        H5Manager._write_guard_attrs(populated, {"info": {"a": 1}, "b": 2})
    assert populated.read_bytes() == before


def test_done_status(populated, built, capsys, tmp_path):
    H5Manager.print_hypercube_done_status(built)
    said = capsys.readouterr().out
    assert "models (7, 5, 12, 40) chunks (3, 2, 4, 40)" in said
    assert "tiles done: 27 / 27" in said
    with h5py.File(built, "r+") as file:
        file["/HyperCube/_done"][0, 1, 2] = 0
    H5Manager.print_hypercube_done_status(built)
    assert "tiles done: 26 / 27" in capsys.readouterr().out


def test_done_status_without_a_cube(populated, capsys):
    H5Manager.print_hypercube_done_status(str(populated))
    assert "no HyperCube yet: run build_hypercube" in capsys.readouterr().out


@pytest.mark.parametrize("state", ["populated", "built", "half"])
def test_snapshot_of_every_state(state, populated, built_once, tmp_path):
    path = populated
    if state != "populated":
        path.write_bytes(built_once.read_bytes())
    if state == "half":
        with h5py.File(path, "r+") as file:
            file["/HyperCube/_done"][:2] = 0
    before = path.read_bytes()
    out = H5Manager.live_prefit_snapshot_from_models(path, tmp_path / f"{state}.png")
    assert out.read_bytes().startswith(b"\x89PNG")
    assert path.read_bytes() == before


def test_compression_in_place_tells_both_sizes(built):
    before, after = H5Manager.compress_hypercube_inplace(str(built), verbose=False)
    assert before == 4 * 27 * 3 * 2 * 4 * 40
    assert 0 < after < before
    with h5py.File(built) as file:
        assert file["/HyperCube/models"].compression == "gzip"
        assert file["/HyperCube/models"].compression_opts == 2
        assert file["/HyperCube/models"].shuffle


def test_compression_needs_a_cube(populated):
    with pytest.raises(MissingDataError, match="no finished HyperCube to compress"):
        H5Manager.compress_hypercube_inplace(populated, verbose=False)
