"""A HyperCube built by workers is that of one process, to the bit, whoever went on with it."""

import collections
import os
import re
import shutil
import signal
import threading
import time

import h5py
import numpy as np
import pytest
from tests.faults import victims
from tests.faults.readers import watching
from tests.faults.uninterrupted import expect

from cubefit.distributed import building
from cubefit.distributed.building import Light, light_of
from cubefit.distributed.connection import connected
from cubefit.errors import ClusterError, ConfigError, LockedError, StaleError, StoreError
from cubefit.hypercube_builder import build_hypercube
from cubefit.store import blocks
from cubefit.store.handle import reading
from cubefit.store.lock import lock_path, writer_lock
from cubefit.store.shards import shards_folder
from cubefit.store.tiles import forget_tiles, read_status
from cubefit.tile_maker import missing_tiles

TILES = {"S_chunk": 3, "C_chunk": 2, "P_chunk": 5, "verbose": False}


def contents(path):
    """Return the HyperCube as plain HDF5 reads it."""
    with h5py.File(path) as file:
        return {name: file["HyperCube"][name][()].tobytes() for name in file["HyperCube"]}


def status_of(path):
    with reading(path) as file:
        return read_status(file)


def forget(path, tiles):
    forget_tiles(path, status_of(path), tiles)


@pytest.mark.parametrize(
    "changes", [{}, {"normalization": "unit"}, {"S_chunk": 1}, {"S_chunk": 7, "P_chunk": 12}]
)
def test_it_is_the_cube_of_one_process(client, populated, tmp_path, changes):
    alone = shutil.copy(populated, tmp_path / "alone.h5")
    one = build_hypercube(alone, **(TILES | changes))
    many = build_hypercube(populated, **(TILES | changes), client=client)
    assert (one.tiles_built, one.n_bytes) == (many.tiles_built, many.n_bytes)
    assert contents(alone) == contents(populated)
    assert not lock_path(populated).exists()


def test_what_counts_as_zero_goes_by_all_spaxels(client, problem, tmp_path):
    """Where one shard holds bright pairs and another only faint ones, and other velocities."""
    losvd = problem.losvd.copy()
    losvd[3:] *= 1e-29
    losvd[:3, :4] = 0.0
    alone = problem.populate(tmp_path / "alone.h5", losvd=losvd)
    together = problem.populate(tmp_path / "together.h5", losvd=losvd)
    build_hypercube(alone, **TILES)
    build_hypercube(together, **TILES, client=client)
    assert contents(alone) == contents(together)


def test_light_is_that_of_every_piece(populated, monkeypatch, problem):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1)
    found = light_of((2, 6), str(populated), "losvd")
    assert isinstance(found, Light)
    losvd = problem.losvd[2:6].astype(np.float32)
    assert found.largest == losvd.max()
    np.testing.assert_array_equal(found.used, losvd.any(axis=(0, 2)))


def test_any_number_of_processes_goes_on(client, populated, built):
    expected = contents(built)
    build_hypercube(populated, **TILES, client=client)
    shards = status_of(populated).shards
    forget(populated, [(0, 1, 1), (2, 2, 2)])
    assert build_hypercube(populated, **TILES).tiles_built == 2
    forget(populated, [(0, 1, 1), (1, 2, 0), (1, 0, 0)])
    assert build_hypercube(populated, **TILES, client=client).tiles_built == 3
    assert contents(populated) == expected
    assert status_of(populated).shards == shards
    assert build_hypercube(populated, **TILES, client=client).tiles_built == 0


def test_a_missing_shard_is_built_anew(client, populated, built, caplog):
    build_hypercube(populated, **TILES, client=client)
    status_of(populated).shards[1].path.unlink()
    assert build_hypercube(populated, **TILES, client=client).tiles_built == 9
    assert contents(populated) == contents(built)
    assert "is missing: move the folder" in caplog.text


def test_a_shard_is_done_in_many_turns(client, populated, built, monkeypatch):
    monkeypatch.setattr(building, "TURN_S", 0.0)
    build_hypercube(populated, **TILES, client=client)
    assert contents(populated) == contents(built)


def test_one_file_is_written_by_one_process(client, built):
    assert build_hypercube(built, **TILES, client=client).tiles_built == 0
    forget(built, [(0, 0, 0)])
    with pytest.raises(StoreError, match=r"begun in one file.*without a cluster, or pass overw"):
        build_hypercube(built, **TILES, client=client)
    assert build_hypercube(built, **TILES, client=client, overwrite=True).tiles_built == 27
    assert status_of(built).shards


def test_a_cube_of_other_inputs_is_refused(client, populated, problem):
    build_hypercube(populated, **TILES, client=client)
    with pytest.raises(StaleError, match="normalization"):
        build_hypercube(populated, **TILES, client=client, normalization="unit")


def test_a_client_is_needed_that_is_one(populated):
    with pytest.raises(ConfigError, match=r"give a distributed\.Client"):
        build_hypercube(populated, **TILES, client="tcp://here:8786")
    assert status_of(populated) is None


def test_compressed_in_the_end(client, populated, built):
    build_hypercube(populated, **TILES, client=client, compression="lzf")
    assert status_of(populated).compression == "lzf"
    assert contents(populated) == contents(built)


def test_a_shard_in_other_hands_is_waited_for(client, populated, built):
    build_hypercube(populated, **TILES, client=client)
    forget(populated, [(0, 0, 0), (1, 0, 0)])
    with writer_lock(status_of(populated).shards[0].path, "another build"):
        ended = threading.Event()

        def build():
            build_hypercube(populated, **TILES, client=client)
            ended.set()

        work = threading.Thread(target=build)
        work.start()
        while len(missing_tiles(status_of(populated).done)) > 1:
            time.sleep(0.02)
        assert not ended.is_set()
    work.join()
    assert contents(populated) == contents(built)


def test_a_shard_that_stays_in_other_hands_is_named(client, populated, monkeypatch):
    monkeypatch.setattr(building, "LOCK_WAIT_S", 0.2)
    monkeypatch.setattr(building, "LOCK_PAUSE_S", 0.05)
    build_hypercube(populated, **TILES, client=client)
    forget(populated, [(0, 0, 0)])
    shard = status_of(populated).shards[0].path
    told = f"{re.escape(str(shard))} is being written by process {os.getpid()} .*another build"
    with (
        writer_lock(shard, "another build"),
        pytest.raises(LockedError, match=told),
    ):
        build_hypercube(populated, **TILES, client=client)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_between_turns(client, populated, built, monkeypatch, number):
    monkeypatch.setattr(building, "TURN_S", 0.0)
    collect, left = building.Crew.collect, [4]

    def collecting(crew):
        n_bytes = collect(crew)
        left[0] -= bool(n_bytes)
        if n_bytes and not left[0]:
            os.kill(os.getpid(), number)
        return n_bytes

    with monkeypatch.context() as patch:
        patch.setattr(building.Crew, "collect", collecting)
        with pytest.raises((KeyboardInterrupt, SystemExit), match=r"of 27 tiles .* are done"):
            build_hypercube(populated, **TILES, client=client)
    done = int(status_of(populated).done.sum())
    assert 0 < done < 27
    # Nobody works on unseen.
    assert not [p for p in shards_folder(populated).iterdir() if p.suffix == ".lock"]
    assert build_hypercube(populated, **TILES).tiles_built == 27 - done
    assert contents(populated) == contents(built)


def test_an_error_of_a_worker_reaches_the_caller(client, populated):
    build_hypercube(populated, **TILES, client=client)
    forget(populated, [(0, 0, 0)])
    lock_path(status_of(populated).shards[0].path).mkdir()
    with pytest.raises(StoreError, match="rename the folder that stands in the place"):
        build_hypercube(populated, **TILES, client=client)


def test_readers_of_every_kind_see_whole_tiles_meanwhile(client, tmp_path):
    expected = expect(tmp_path / "expected")
    path = shutil.copy(expected.populated, tmp_path / "cube.h5")
    counts = collections.Counter()
    client.run(victims.slow_down, 0.05)
    try:
        with watching(tmp_path / "cube.h5", expected, counts, amended=False):
            build_hypercube(path, **victims.TILES, verbose=False, client=client)
    finally:
        client.run(victims.at_full_speed)
    assert counts["looks"] > 10
    assert contents(path) == contents(expected.built)


def test_a_lost_scheduler_ends_it_clearly(populated, built, monkeypatch):
    monkeypatch.setattr(building, "TURN_S", 0.0)
    collect = building.Crew.collect
    with connected(n_workers=1, threads=1) as client:

        def collecting(crew):
            n_bytes = collect(crew)
            if n_bytes:
                client.cluster.close()
            return n_bytes

        monkeypatch.setattr(building.Crew, "collect", collecting)
        with pytest.raises(ClusterError, match=r"scheduler at .* is lost: start it again"):
            build_hypercube(populated, **TILES, client=client)
    assert not lock_path(populated).exists()
    build_hypercube(populated, **TILES)
    assert contents(populated) == contents(built)
