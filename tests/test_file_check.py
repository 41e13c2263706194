"""Every kind of check: what passes, what fails, and what is left out because of that."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cubefit.errors import (
    ConfigError,
    DependencyError,
    LockedError,
    MissingDataError,
    StoreError,
)
from cubefit.file_check import check_file, contents, forget_damaged
from cubefit.file_check.models import sample_places, tolerance
from cubefit.hypercube_builder import build_hypercube
from cubefit.io.orbits import BUNDLED_SIZES, bundled_orbits
from cubefit.pipeline_runner import PipelineRunner
from cubefit.reconstruction import reconstruct_model_cube_single
from cubefit.store import compress, verify
from cubefit.store.compress import compress_hypercube
from cubefit.store.digests import digest_of_models
from cubefit.store.handle import open_h5
from cubefit.store.lock import writer_lock
from cubefit.store.tiles import TileGrid, read_status, tile_checksum

MODELS, DONE = "/HyperCube/models", "/HyperCube/_done"
CODECS = ("gzip", "lzf", "bitshuffle-lz4")
TILES = [tuple(int(i) for i in t) for t in np.ndindex(3, 3, 3)]


def check(path, **options):
    return check_file(path, verbose=False, **options)


def states(report):
    return {f.name: f.state for f in report.findings}


def finding(report, name):
    return next(f for f in report.findings if f.name == name)


def changed(path, change):
    """Change a file as another program would, and check it."""
    with h5py.File(path, "r+") as file:
        change(file)
    return check(path)


def put(name, values):
    """Return a change that replaces a dataset and keeps its attributes."""

    def change(file):
        attributes = dict(file[name].attrs) if name in file else {}
        if name in file:
            del file[name]
        file[name] = values
        file[name].attrs.update(attributes)

    return change


def edit(name, *place, value):
    def change(file):
        file[name][place] = value

    return change


def chunks_of(path):
    """Return where the chunks of the models lie: byte, size, and offsets along the axes."""
    chunks = []
    with h5py.File(path) as file:
        file[MODELS].id.chunk_iter(
            lambda info: chunks.append((info.byte_offset, info.size, info.chunk_offset))
        )
    return chunks


def flip(path, place, bit=0):
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << bit)]))


def damage(path, index, random):
    """Flip one bit of a random value of a tile of a file with an uncompressed cube."""
    with open_h5(path, "reader") as file:
        grid = read_status(file).grid
    inside = [int(random.integers(part.start, part.stop)) for part in grid.slices(index)]
    start = [i * t for i, t in zip(index, grid.tile[:3], strict=True)]
    within = (*(n - s for n, s in zip(inside, start, strict=True)), random.integers(grid.shape[3]))
    (place,) = (p for p, _, offset in chunks_of(path) if list(offset[:3]) == start)
    flip(
        path,
        place + 4 * int(np.ravel_multi_index(within, grid.tile)) + int(random.integers(4)),
        int(random.integers(8)),
    )


@pytest.fixture
def whole(make_problem, tmp_path):
    """A file with everything in it, and nothing to complain of."""
    rng = np.random.default_rng(3)
    problem = make_problem(
        mask=np.arange(40) > 1,
        noise=np.full((7, 40), 0.1),
        voxel_mask=rng.random((7, 40)) < 0.9,
        xpix=np.arange(9.0),
        ypix=np.arange(9.0),
        binnum=np.arange(9) % 7,
    )
    narrow = problem.losvd * np.exp(-0.5 * (problem.vel_pix[:, None] / 100.0) ** 2)
    path = problem.populate(tmp_path / "cube.h5", losvd=narrow)
    build_hypercube(path, S_chunk=3, C_chunk=2, P_chunk=5, verbose=False)
    x, _ = PipelineRunner(path).solve_all(epochs=2, verbose=False)
    reconstruct_model_cube_single(path, x, verbose=False)
    return path


def test_a_clean_file_passes_every_check(whole):
    before = whole.read_bytes()
    report = check(whole)
    assert report.passed
    assert report.path == whole
    assert report.damaged_tiles == ()
    assert set(states(report).values()) == {"ok"}, report.findings
    assert whole.read_bytes() == before
    assert list(states(report)) == [
        *("schema", "grids", "losvd", "templates", "contrast", "edges", "truncation", "data"),
        *("light", "image", "rebin", "hypercube", "solution", "checkpoints", "model cube"),
        *("models", "tiles"),
    ]


def test_a_file_that_is_only_populated_passes(populated):
    report = check(str(populated))
    assert report.passed
    skipped = {*("image", "hypercube", "solution", "checkpoints", "model cube", "models", "tiles")}
    assert {n for n, s in states(report).items() if s == "skipped"} == skipped
    assert finding(report, "tiles").detail == "No HyperCube yet: run build_hypercube."


def test_without_rebin_products(populated):
    def drop(file):
        for name in ("/R_T", "/RebinMatrix", "/TemplatesFFT", "/TemplatesFFT_R"):
            del file[name]

    assert states(changed(populated, drop))["rebin"] == "skipped"


def test_a_missing_foreign_or_cut_file_is_refused(built, tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        check(tmp_path / "none.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["/LOSVD"] = np.ones(3)
    with pytest.raises(StoreError, match="not a populated CubeFit file"):
        check(tmp_path / "foreign.h5")
    with built.open("r+b") as stream:
        stream.truncate(built.stat().st_size // 2)
    with pytest.raises(StoreError, match="is cut short: it has"):
        check(built)


def test_an_unreadable_table_of_contents_is_refused(built, monkeypatch):
    def refuse(_file):
        raise RuntimeError("Unable to synchronously check link existence")

    monkeypatch.setattr(verify, "survey_of", refuse)
    with pytest.raises(StoreError, match="contents cannot be read"):
        check(built)


@pytest.mark.parametrize("options", [{"n_models": -1}, {"n_models": 1.5}, {"seed": -1}])
def test_wrong_settings_are_refused(built, options):
    with pytest.raises(ConfigError):
        check(built, **options)


# Layout


def set_attribute(name, key, value):
    def change(file):
        (file if name == "/" else file[name]).attrs[key] = value

    return change


def drop_attribute(name, key):
    def change(file):
        del (file if name == "/" else file[name]).attrs[key]

    return change


def drop(name):
    def change(file):
        del file[name]

    return change


def as_group(name):
    def change(file):
        del file[name]
        file.create_group(name)

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (put("/LOSVD", np.ones((7, 9, 5), np.int32)), "/LOSVD has dtype int32 instead of float32"),
        (put("/LOSVD", np.ones((7, 9), np.float32)), "/LOSVD has 2 axes instead of 3 (S V C)"),
        (put("/DataCube", np.ones((6, 40))), "has shape (6, 40) where (S L) is (7, 40)"),
        (put("/Noise", np.ones(39)), "/Noise has shape (39,) where (L) is (40,)"),
        (put("/Mask", np.ones(40, np.uint8)), "/Mask has dtype uint8 instead of bool"),
        (put("/ObsPix", np.linspace(8.5, 8.6, 39)), "where (S L) is (7, 39)"),
        (put("/TemplatesFFT", np.ones((12, 9), np.complex64)), "where (P T//2+1) is"),
        (put("/X_global", np.ones(59)), "/X_global has shape (59,) where (C*P) is (60,)"),
        (as_group("/RebinMatrix"), "/RebinMatrix is no dataset"),
        (drop(DONE), "/HyperCube/_done is missing: build anew"),
        (put(DONE, np.ones((3, 3, 3), np.int8)), "_done has dtype int8 instead of uint8"),
        (put(DONE, np.ones((3, 3, 2), np.uint8)), "where (Sgrid Cgrid Pgrid) is (3, 3, 3)"),
        (put(MODELS, np.ones((7, 5, 12, 40))), "has dtype float64 instead of float32"),
        (drop_attribute(MODELS, "inputs_digest"), "lacks the attributes inputs_digest"),
        (set_attribute(MODELS, "tile_shape", "[3, 2]"), "which fits no tiles"),
        (set_attribute(MODELS, "tile_shape", "[3, 2, 5, 39]"), "which fits no tiles"),
        (set_attribute(MODELS, "tile_shape", "nonsense"), "which fits no tiles"),
        (set_attribute(MODELS, "normalization", "area"), "unknown normalization='area'"),
        (drop_attribute("/", "dims"), "attribute dims is missing"),
        (set_attribute("/", "dims", json.dumps({"nSpat": 8})), "attribute dims says"),
        (set_attribute("/", "template_meta_json", "[]"), "tells no shape"),
        (set_attribute("/", "template_meta_json", '{"shape": [2, 5]}'), "there are 12 templates"),
        (set_attribute("/", "cubefit_format", 0), "formats count from 1"),
    ],
)
def test_layout_faults_are_named(built, change, told):
    report = changed(built, change)
    assert not report.passed
    assert finding(report, "schema").state == "failed"
    assert told in finding(report, "schema").detail


def test_noise_of_one_row_fits_the_format(make_problem, tmp_path):
    path = make_problem(noise=np.full(40, 0.1)).populate(tmp_path / "cube.h5")
    assert states(check(path))["schema"] == "ok"
    assert states(check(path))["data"] == "ok"


def test_what_stands_on_a_faulty_dataset_is_skipped_and_the_rest_is_not(built):
    report = changed(built, put("/LOSVD", np.ones((7, 9), np.float32)))
    found = states(report)
    for name in ("losvd", "edges", "truncation", "light", "hypercube", "models"):
        assert found[name] == "skipped", name
    assert "first mend /LOSVD" in finding(report, "losvd").detail
    assert 'first mend check "losvd"' in finding(report, "truncation").detail
    for name in ("grids", "templates", "contrast", "data", "tiles"):
        assert found[name] == "ok", name


def test_a_faulty_hypercube_is_not_looked_at(built):
    found = states(changed(built, drop(DONE)))
    assert {found[name] for name in ("hypercube", "models", "tiles")} == {"skipped"}


# Inputs


@pytest.mark.parametrize(
    ("change", "name", "told"),
    [
        (edit("/ObsPix", 3, value=8.9), "grids", "/ObsPix is not uniform"),
        (put("/ObsPix", np.linspace(5000, 5100, 40)), "grids", "looks like Angstrom"),
        (put("/VelPix", np.linspace(-4e5, 4e5, 9)), "grids", "which looks like m/s"),
        (edit("/LOSVD", 2, 3, 1, value=np.nan), "losvd", "not finite, first at (s, v, c) = (2, 3"),
        (edit("/LOSVD", 2, 3, 1, value=-0.1), "losvd", "losvd is negative"),
        (edit("/LOSVD", ..., value=0.0), "losvd", "no light at all"),
        (edit("/Templates", 4, 7, value=np.inf), "templates", "[4] hold NaN or infinite"),
        (edit("/Templates", 4, value=0.0), "templates", "[4] are zero everywhere"),
        (edit("/Templates", 4, value=0.7), "contrast", "1 of 12 templates are flat or zero"),
        (edit("/Templates", 4, slice(70, -70), value=0.0), "contrast", "(p = 4)"),
        (edit("/DataCube", 1, 2, value=np.nan), "data", "/DataCube is not finite in 1 unmasked"),
        (put("/Noise", np.zeros((7, 40))), "data", "/Noise is not a positive number"),
        (put("/Mask", np.zeros(40, bool)), "data", "leave no voxel"),
        (edit("/LOSVD", 3, value=0.0), "light", "1 of 7 spaxels have data in use but no light"),
        (put("/BinNum", np.full(9, 7, np.int32)), "image", "must lie in 0 to 6"),
        (put("/VelPix", np.linspace(-9000, 9000, 9)), "edges", "The templates end"),
    ],
)
def test_impossible_inputs_fail(populated, change, name, told):
    report = changed(populated, change)
    assert finding(report, name).state == "failed"
    assert told in finding(report, name).detail
    assert not report.passed


def test_template_masses_are_judged_where_there_are_some(problem, populated):
    problem.populate(populated, template_masses=np.ones(12))
    assert finding(check(populated), "template masses").state == "ok"
    wrong = finding(changed(populated, edit("/TemplateMass", 3, value=0.0)), "template masses")
    assert (wrong.state, "first 0 at (3,)" in wrong.detail) == ("failed", True)


def test_unused_voxels_may_hold_anything(whole):
    def spoil(file):
        unused = ~(file["/VoxelMask"][()] & file["/Mask"][()])
        file["/DataCube"][...] = np.where(unused, np.nan, file["/DataCube"][()])

    assert states(changed(whole, spoil))["data"] == "ok"


def test_an_unlit_spaxel_without_data_in_use_is_fine(make_problem, tmp_path):
    voxels = np.ones((7, 40), bool)
    voxels[3] = False
    problem = make_problem(voxel_mask=voxels)
    losvd = problem.losvd.copy()
    losvd[3] = 0.0
    assert states(check(problem.populate(tmp_path / "cube.h5", losvd=losvd)))["light"] == "ok"


def test_components_without_light_are_warned_of(populated):
    report = changed(populated, edit("/LOSVD", ..., slice(1, 3), value=0.0))
    assert report.passed
    assert finding(report, "losvd").state == "warning"
    told = finding(report, "losvd").detail
    assert "2 of 5 components have no light in any spaxel (1, 2)" in told


# Velocity grids


@pytest.mark.parametrize("size", BUNDLED_SIZES)
def test_real_orbits_pass_and_cut_ones_are_warned_of(size):
    orbits = bundled_orbits(size)
    assert contents.check_truncation(orbits.losvd).state == "ok"
    for limit_kms in (400, 300, 200):
        kept = orbits.losvd[:, np.abs(orbits.vel) <= limit_kms]
        assert contents.check_truncation(kept).state == "warning"


@pytest.mark.parametrize("n_bins", [15, 41, 201])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_width_of_the_bins_does_not_matter(n_bins, side):
    velocity = np.linspace(-400.0, 400.0, n_bins)

    def gaussian(mean):
        return np.exp(-0.5 * ((velocity - side * mean) / 100.0) ** 2)[None, :, None]

    assert contents.check_truncation(gaussian(90.0)).state == "ok"
    assert contents.check_truncation(gaussian(110.0)).state == "warning"


def test_truncation_names_the_worst(populated):
    def shift(file):
        file["/LOSVD"][...] = 0.0
        file["/LOSVD"][:, 4] = 1.0
        file["/LOSVD"][:, 8, 2] = 0.5

    report = changed(populated, shift)
    assert finding(report, "truncation").state == "warning"
    assert report.passed
    told = finding(report, "truncation").detail
    assert "1 of 5 components (worst 2: 0.5 of its peak and 33.3% of its light in one bin)" in told
    assert "7 of 7 spaxels" in told


# Products


@pytest.mark.parametrize(
    ("change", "name", "state", "told"),
    [
        (edit("/Templates", 1, 90, value=3.0), "rebin", "failed", "of other templates or grids"),
        (edit("/Templates", 1, 90, value=3.0), "hypercube", "failed", "was built from other"),
        (edit("/Templates", 1, 90, value=3.0), "solution", "failed", "made from other inputs"),
        (edit("/Templates", 1, 90, value=3.0), "model cube", "failed", "made from other inputs"),
        (edit("/DataCube", 1, 9, value=3.0), "solution", "failed", "made from other inputs"),
        (edit("/DataCube", 1, 9, value=3.0), "hypercube", "ok", "Built from these inputs"),
        (edit("/R_T", 1, 1, value=np.nan), "rebin", "failed", "/R_T holds NaN"),
        (drop("/R_T"), "rebin", "failed", "/R_T is missing"),
        (
            edit("/Fit/x_latest", 7, value=2.5),
            *("checkpoints", "failed", "A checkpoint of the fit is damaged (its checksum is"),
        ),
        (
            edit("/DataCube", 1, 9, value=3.0),
            *("checkpoints", "warning", "/Fit/x_latest was made from other inputs than these"),
        ),
        (edit("/X_global", 7, value=np.inf), "solution", "failed", "holds 1 NaN or infinite"),
        (edit("/X_global", 7, value=-2.0), "solution", "warning", "1 negative weights (least -2)"),
        (edit("/X_global", 7, value=2.5), "model cube", "warning", "other weights than /X_global"),
        (edit("/ModelCube", 2, 3, value=np.nan), "model cube", "failed", "holds 1 NaN"),
        (drop("/X_global"), "model cube", "ok", "finite"),
        (
            set_attribute("/X_global", "normalization", "unit"),
            *("solution", "warning", "fitted with normalization='unit'"),
        ),
        (put("/ModelCube", np.ones((7, 39))), "model cube", "failed", "has shape (7, 39)"),
    ],
)
def test_products_are_judged(whole, change, name, state, told):
    report = changed(whole, change)
    assert finding(report, name).state == state, report.findings
    assert told in finding(report, name).detail


def test_reconstructions_of_other_names_are_judged_too(whole, problem):
    reconstruct_model_cube_single(whole, 2 * problem.x_true, array_name="Twice", verbose=False)
    assert states(check(whole))["model cube /Twice"] == "ok"
    report = changed(whole, edit("/Twice", 0, 0, value=np.nan))
    assert states(report)["model cube /Twice"] == "failed"
    assert states(report)["model cube"] == "ok"


# Tiles


def test_a_flipped_bit_is_found_in_every_tile(built, built_once):
    random = np.random.default_rng(20)
    for index in TILES:
        shutil.copy(built_once, built)
        damage(built, index, random)
        report = check(built, n_models=0)
        assert report.damaged_tiles == (index,)
        assert states(report)["tiles"] == "failed"
        assert f"1 of 27 done tiles are not what was written, tiles (s, c, p) = {index}" in (
            finding(report, "tiles").detail
        )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    tiles=st.sets(st.sampled_from(TILES), max_size=8),
    seed=st.integers(0, 2**32 - 1),
    piece=st.integers(1, 2000),
)
def test_forgetting_and_building_restores_every_byte(
    built, built_once, monkeypatch, tiles, seed, piece
):
    shutil.copy(built_once, built)
    random = np.random.default_rng(seed)
    with monkeypatch.context() as patch:
        patch.setattr(verify, "PIECE_BYTES", piece)
        for index in tiles:
            damage(built, index, random)
        assert check(built, n_models=0).damaged_tiles == tuple(sorted(tiles))
        assert forget_damaged(built, verbose=False) == len(tiles)
    with open_h5(built, "reader") as file:
        assert set(zip(*np.nonzero(~read_status(file).done), strict=True)) == tiles
    assert build_hypercube(built, verbose=False).tiles_built == len(tiles)
    assert built.read_bytes() == built_once.read_bytes()
    assert forget_damaged(built, verbose=False) == 0


def test_only_the_named_tiles_are_looked_at(built, caplog):
    random = np.random.default_rng(0)
    damage(built, (0, 0, 0), random)
    damage(built, (2, 2, 2), random)
    with caplog.at_level(logging.INFO, "cubefit"):
        assert forget_damaged(built, [(1, 1, 1), (2, 2, 2)]) == 1
    assert "1 tiles" in caplog.text
    assert check(built, n_models=0).damaged_tiles == ((0, 0, 0),)


def test_a_half_built_cube_is_judged_by_its_done_tiles(built):
    with h5py.File(built, "r+") as file:
        file[DONE][1, 2] = 0
    damage(built, (1, 2, 0), np.random.default_rng(0))
    report = check(built)
    assert report.passed
    assert "The 24 done tiles are what was written, 3 are not" in finding(report, "tiles").detail
    damage(built, (1, 1, 0), np.random.default_rng(1))
    assert check(built).damaged_tiles == ((1, 1, 0),)


def test_a_cube_without_a_done_tile(built):
    report = changed(built, edit(DONE, ..., value=0))
    assert report.passed
    assert states(report)["models"] == "skipped"
    assert "The 0 done tiles" in finding(report, "tiles").detail


def test_quick_reads_no_tile(built):
    damage(built, (0, 0, 0), np.random.default_rng(0))
    report = check(built, quick=True, n_models=0)
    assert report.passed
    assert states(report)["tiles"] == states(report)["models"] == "skipped"


def test_a_disk_that_does_not_give_a_piece_back(built, monkeypatch):
    real = verify.read_part

    def failing(models, part):
        return None if part[0].start == 3 and part[2].stop == 12 else real(models, part)

    monkeypatch.setattr(verify, "read_part", failing)
    assert check(built, n_models=0).damaged_tiles == ((1, 0, 2), (1, 1, 2), (1, 2, 2))


@pytest.mark.parametrize("slab_bytes", [1, 20_000, 2**28])
@pytest.mark.parametrize("codec", CODECS)
def test_compressed_cubes_are_judged_too(built, codec, slab_bytes, monkeypatch):
    compress_hypercube(built, codec=codec)
    monkeypatch.setattr(compress, "SLAB_BYTES", slab_bytes)
    assert check(built).passed
    place, size, _ = chunks_of(built)[4]
    flip(built, place + size // 2)
    report = check(built, n_models=0)
    assert report.damaged_tiles
    assert {index[0] for index in report.damaged_tiles} == {1}
    assert "overwrite=True" in finding(report, "tiles").detail


def test_chunks_that_cannot_be_decompressed_fail_in_the_models_too(built):
    compress_hypercube(built, codec="gzip")
    for place, size, _ in chunks_of(built):
        flip(built, place + size // 2)
    report = check(built)
    assert states(report)["models"] == states(report)["tiles"] == "failed"
    assert len(report.damaged_tiles) == 27


def test_a_missing_filter_is_no_fault_of_the_file(built, monkeypatch):
    compress_hypercube(built, codec="bitshuffle-lz4")
    monkeypatch.setattr(compress.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DependencyError, match="hdf5plugin"):
        check(built)


def test_forgetting_is_refused_where_it_cannot_work(built, populated):
    with pytest.raises(MissingDataError, match="no HyperCube"):
        forget_damaged(populated)
    with writer_lock(built, "build"), pytest.raises(LockedError, match=r"\(build\)"):
        forget_damaged(built)
    compress_hypercube(built)
    before = built.read_bytes()
    with pytest.raises(StoreError, match=r"compressed.*overwrite=True"):
        forget_damaged(built)
    assert built.read_bytes() == before


def test_the_scan_says_how_far_it_is(built):
    with verify.surveying(built) as survey:
        status, counted = read_status(survey.file), []
        assert verify.TileScan(survey.file, status, counted.append).damaged(TILES) == []
    assert sum(counted) == 4 * 7 * 5 * 12 * 40


# Models


@pytest.mark.parametrize("normalization", ["losvd", "unit"])
@pytest.mark.parametrize("bits", [None, 16, 8, 4])
def test_models_agree_within_what_storage_explains(populated, normalization, bits):
    build_hypercube(populated, S_chunk=3, normalization=normalization, verbose=False)
    if bits:
        compress_hypercube(populated, keep_bits=bits)
    report = check(populated, n_models=300)
    assert finding(report, "models").state == "ok", report.findings


def test_models_of_other_inputs_with_a_forged_digest_are_found(built, problem):
    def forge(file):
        file["/Templates"][...] *= np.linspace(0.9995, 1.0, problem.tem_pix.size, dtype="f4")
        digest = digest_of_models(file)
        file[MODELS].attrs["inputs_digest"] = digest

    report = changed(built, forge)
    assert states(report)["hypercube"] == states(report)["tiles"] == "ok"
    assert finding(report, "models").state == "failed"
    assert "60 of 60 models are not what the inputs give" in finding(report, "models").detail


def test_one_wrong_tile_with_a_matching_checksum_is_found(built):
    tile = slice(3, 6), slice(2, 4), slice(4, 8)
    with h5py.File(built, "r+") as file:
        file[MODELS][tile] = 1.001 * file[MODELS][tile]
        file["/HyperCube/_crc32"][1, 1, 1] = tile_checksum(file[MODELS][tile])
    report = check(built, n_models=27)
    assert states(report)["tiles"] == "ok"
    told = finding(report, "models").detail
    assert "1 of 27 models are not what the inputs give" in told
    assert "is off by 1.0e-03 of its largest value" in told


def test_nan_in_a_stored_model_is_found(built):
    report = changed(built, edit(MODELS, ..., 7, value=np.nan))
    assert states(report)["models"] == "failed"
    assert "off by inf" in finding(report, "models").detail


def test_faint_and_dark_pairs_agree(make_problem, tmp_path):
    problem = make_problem()
    faint = problem.losvd * np.array([1.0, 1e-12, 1e-25, 1e-33, 0.0])
    path = replace(problem).populate(tmp_path / "cube.h5", losvd=faint)
    build_hypercube(path, verbose=False)
    assert states(check(path, n_models=420))["models"] == "ok"


def test_the_sample_is_reproducible_and_spread_over_the_tiles():
    grid = TileGrid.of((7, 5, 12, 40), 3, 2, 5)
    done = np.ones(grid.counts, bool)
    done[0, 1] = False
    places = sample_places(grid, done, 64, 1)
    assert places == sample_places(grid, done, 64, 1) != sample_places(grid, done, 64, 2)
    hit = {tuple(n // t for n, t in zip(place, grid.tile, strict=False)) for place in places}
    assert hit == set(zip(*np.nonzero(done), strict=True))
    assert sample_places(grid, done, 0, 1) == []


def test_the_tolerance_grows_with_the_bins_and_the_bits_that_were_dropped():
    assert tolerance(9, 23) == 1e-5
    assert 1e-5 < tolerance(201, 23) < 3e-5
    assert tolerance(9, 12) == pytest.approx(1e-5 + 2.0**-12)


# Parts


@given(
    shape=st.tuples(*[st.integers(1, 9)] * 4),
    chunk=st.tuples(*[st.integers(1, 9)] * 3),
    piece=st.integers(1, 3000),
)
def test_pieces_make_up_a_tile_in_c_order(shape, chunk, piece):
    grid = TileGrid.of(shape, *chunk)
    numbers = np.arange(np.prod(shape)).reshape(shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "PIECE_BYTES", piece)
        for index in np.ndindex(grid.counts):
            parts = list(verify.pieces_of(grid, index))
            joined = np.concatenate([numbers[part].ravel() for part in parts])
            np.testing.assert_array_equal(joined, numbers[grid.slices(index)].ravel())
            row = 4 * numbers[parts[0]][0, 0].size
            assert all(4 * numbers[part].size <= max(piece, row) for part in parts)
