"""Shares on a cluster are one share: the same sums, the same fit, the same bits."""

import sys

import h5py
import numpy as np
import pytest

from cubefit.distributed.digests import WorkerDigests
from cubefit.distributed.session import added
from cubefit.distributed.shares import DaskShares, read_shares
from cubefit.errors import ConfigError, DependencyError, InputError
from cubefit.hypercube_builder import build_hypercube
from cubefit.inverse.compressed import CompressedModel
from cubefit.inverse.misfit import Misfit
from cubefit.inverse.operators import Members
from cubefit.inverse.seeds import jacobi_seed
from cubefit.inverse.shares import one_share
from cubefit.inverse.variations import strengths
from cubefit.many_fits import fit_variations
from cubefit.model_choice import matrix_free
from cubefit.pipeline_runner import PipelineRunner
from cubefit.store.digests import digest_inputs
from cubefit.store.handle import reading
from cubefit.store.load import read_dims, read_observed


def here(path, normalization="losvd"):
    """Return the misfit of a file in this process."""
    with reading(path) as file:
        observed = read_observed(file)
    return Misfit(one_share(matrix_free(path, normalization, np.float64), observed))


def there(session, n_shares, normalization="losvd"):
    """Return the misfit of a file on the workers."""
    with reading(session.cluster.path) as file:
        dims = read_dims(file)
    return Misfit(read_shares(session, dims, normalization, n_shares))


@pytest.mark.parametrize("normalization", ["losvd", "unit"])
@pytest.mark.parametrize("n_shares", [1, 2, 5, 12])
def test_every_sum_is_that_of_one_share(session, file_to_fit, n_shares, normalization):
    one, many = here(file_to_fit, normalization), there(session, n_shares, normalization)
    rng = np.random.default_rng(n_shares)
    x = rng.random(one.shape[1:3])
    every = Members.where(rng.random(x.shape) < 0.7)
    first = Members(every.components[:3], every.populations[:3])
    assert (many.shape, many.n_voxels, many.has_noise) == (one.shape, one.n_voxels, True)
    assert many.sizes() == one.sizes()
    assert len(many.shares) == n_shares
    for name in ("light_of_data", "chi2_of_zero", "square_of_data"):
        assert getattr(many, name) == pytest.approx(getattr(one, name), rel=1e-12)
    for ask in (
        lambda m: m.at(x)[0],
        lambda m: m.at(x)[1],
        lambda m: m.curvature(x),
        lambda m: m.lever(),
        lambda m: m.gram(first, every, 1e4),
        lambda m: m.scaled_to_data(x),
        lambda m: jacobi_seed(m, n_spaxels=4, n_pixels=9),
        lambda m: CompressedModel.of(m.shares, template_tolerance=0.0).times(x),
    ):
        expected = ask(one)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(ask(many), expected, rtol=1e-9, atol=1e-9 * scale)


@pytest.mark.parametrize("settings", [{}, {"regularization": 0.3}], ids=["sparse", "smooth"])
def test_a_fit_is_that_of_one_machine_and_repeats_to_the_last_bit(client, file_to_fit, settings):
    runner = PipelineRunner(file_to_fit)
    fit = {"method": "exact", "orbit_weights": np.arange(1.0, 6.0), "warm_start": "zeros"}
    fit |= {"verbose": False, **settings}
    _, alone = runner.solve_all(**fit)
    x, stats = runner.solve_all(**fit, client=client, n_shares=3)
    again, _ = runner.solve_all(**fit, client=client, n_shares=3)
    np.testing.assert_array_equal(x, again)
    assert stats["converged"]
    assert stats["operator"] == "distributed"
    assert abs(stats["objective"] - alone["objective"]) <= max(stats["gap_abs"], alone["gap_abs"])
    assert stats["n_voxels"] == alone["n_voxels"]


def test_it_goes_on_from_a_fit_of_one_machine(client, file_to_fit):
    runner = PipelineRunner(file_to_fit)
    _, first = runner.solve_all(method="exact", verbose=False)
    _, then = runner.solve_all(method="exact", verbose=False, client=client)
    assert then["warm_start"] == "/X_global"
    assert then["rounds"] == 0
    assert then["objective"] == pytest.approx(first["objective"], rel=1e-9)


def test_the_digests_of_the_workers_are_those_of_the_file(session, monkeypatch):
    monkeypatch.setattr("cubefit.store.blocks.BLOCK_BYTES", 512)
    with reading(session.cluster.path) as file:
        assert digest_inputs(file, WorkerDigests(session)) == digest_inputs(file)


def test_the_seed_of_the_jacobi_kind_is_that_of_one_machine(client, file_to_fit):
    fit = {"method": "exact", "warm_start": "jacobi", "verbose": False, "max_rounds": 1}
    runner = PipelineRunner(file_to_fit)
    x, stats = runner.solve_all(**fit, client=client)
    assert stats["warm_start"] == "jacobi"
    assert stats["objective"] == pytest.approx(runner.solve_all(**fit)[1]["objective"], rel=1e-9)
    assert x.any()


@pytest.mark.parametrize("count", range(1, 20))
def test_sums_are_added_in_order(count):
    terms = [(float(i), np.full(3, 10.0**-i)) for i in range(count)]
    number, array = added(terms)
    assert isinstance(number, float)
    assert number == sum(range(count))
    expected = terms[0][1].copy()
    for _, term in terms[1:]:
        expected += term
    np.testing.assert_array_equal(array, expected)


def test_what_a_cluster_cannot_do_is_refused_before_any_work(client, file_to_fit):
    runner = PipelineRunner(file_to_fit)
    for wrong, words in (
        ({"method": "kaczmarz", "client": client}, "one spaxel after the other"),
        ({"method": "exact", "operator": "stored", "client": client}, "matrix-free"),
        ({"method": "exact", "n_shares": 2}, "pass client="),
        ({"method": "exact", "n_shares": 0, "client": client}, "n_shares=0"),
        ({"method": "exact", "client": "tcp://here"}, "give a distributed.Client"),
    ):
        with pytest.raises(ConfigError, match=words):
            runner.solve_all(**wrong, verbose=False)


def test_a_bad_voxel_is_named_by_its_number_in_the_cube(client, make_problem, tmp_path):
    path = make_problem(S=12, L=60).populate(tmp_path / "bad.h5")
    with h5py.File(path, "r+") as file:
        file["/DataCube"][9, 4] = np.nan
    with pytest.raises(InputError, match="first at spaxel 9, pixel 4"):
        PipelineRunner(path).solve_all(method="exact", client=client, n_shares=3, verbose=False)


def as_it_is(held, x):
    return (held * x,)


def test_a_round_moves_no_more_than_four_copies_of_x_for_each_worker(session):
    shares = DaskShares(session, session.submit_each(float, range(4)))
    x = np.random.default_rng(1).random(100_000)
    shares.total(as_it_is, x)
    before = session.moved_bytes()
    for _ in range(3):
        np.testing.assert_allclose(shares.total(as_it_is, x)[0], 6.0 * x)
    copies = (session.moved_bytes() - before) / 3 / x.nbytes / 2
    assert 1.0 < copies <= 4.0


def test_without_dask_every_way_in_names_the_extra(populated, client, monkeypatch):
    for name in ("cluster", "session"):
        monkeypatch.setitem(sys.modules, f"cubefit.distributed.{name}", None)
    for work in (
        lambda: PipelineRunner(populated).solve_all(method="exact", client=client, verbose=False),
        lambda: build_hypercube(populated, client=client, verbose=False),
        lambda: list(fit_variations(fitted(populated), strengths([0.1]), client=client)),
    ):
        with pytest.raises(DependencyError, match=r'pip install "cubefit\[distributed\]"'):
            work()


def fitted(path):
    PipelineRunner(path).solve_all(method="exact", verbose=False)
    return path
