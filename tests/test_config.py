from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from cubefit.config import (
    BuildConfig,
    Normalization,
    SolverCfg,
    TrackerConfig,
    require_choice,
    require_positive,
)
from cubefit.errors import ConfigError


@pytest.mark.parametrize("kind", [BuildConfig, SolverCfg, TrackerConfig])
def test_defaults_are_valid_and_frozen(kind):
    settings = kind()
    name = next(iter(kind.__slots__))
    with pytest.raises(FrozenInstanceError):
        setattr(settings, name, 1)
    with pytest.raises(TypeError, match="positional"):
        kind(1)
    assert settings == kind()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": 0}, "epochs=0: must be an int of at least 1"),
        ({"epochs": 1.5}, "epochs=1.5"),
        ({"epochs": True}, "epochs=True"),
        ({"epochs": None}, "epochs=None"),
        ({"epochs": "3"}, "epochs='3'"),
        ({"pixels_per_aperture": 0}, "pixels_per_aperture=0"),
        ({"pixels_per_aperture": None}, "pixels_per_aperture=None"),
        ({"ratio_batch": -1}, "ratio_batch=-1"),
        ({"lr": 0.0}, "lr=0.0: must lie between 0 and 2"),
        ({"lr": 2.0}, "lr=2.0"),
        ({"lr": -0.1}, "lr=-0.1"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"lr": "0.5"}, "lr='0.5': give a number"),
        ({"lr": None}, "lr=None: give a number"),
        ({"lr": True}, "lr=True: give a number"),
        ({"project_nonneg": "no"}, "project_nonneg='no': give True or False"),
        ({"project_nonneg": 1}, "project_nonneg=1"),
        ({"project_nonneg": None}, "project_nonneg=None"),
        ({"row_order": "shuffled"}, "row_order='shuffled': choose one of 'random', 'sequential'"),
        ({"seed": -1}, "seed=-1: must be an int of at least 0"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"seed": None}, "seed=None"),
        ({"ratio_use": "yes"}, "ratio_use='yes': give True or False"),
        ({"ratio_prob": -0.1}, "ratio_prob=-0.1: is a chance"),
        ({"ratio_prob": 1.1}, "ratio_prob=1.1"),
        ({"ratio_prob": float("nan")}, "ratio_prob=nan"),
        ({"ratio_prob": None}, "ratio_prob=None: give a number"),
        ({"ratio_eta": 0.0}, "ratio_eta=0.0: must lie in"),
        ({"ratio_eta": 2.0}, "ratio_eta=2.0"),
        ({"ratio_eta": "auto"}, "ratio_eta='auto': give a number"),
        ({"ratio_anchor": "heaviest"}, "ratio_anchor .*='heaviest'"),
        ({"ratio_anchor": -1}, "ratio_anchor .*=-1: must be an int of at least 0"),
        ({"ratio_anchor": 1.0}, "ratio_anchor .*=1.0"),
        ({"ratio_min_weight": -1e-3}, "ratio_min_weight=-0.001: relative to the largest"),
        ({"ratio_min_weight": 1.0}, "ratio_min_weight=1.0"),
        ({"ratio_min_weight": None}, "ratio_min_weight=None: give a number"),
    ],
)
def test_bad_solver_settings_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        SolverCfg(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"lr": 1.999},
        {"lr": 1},
        {"ratio_prob": 0},
        {"ratio_prob": 1},
        {"ratio_use": False},
        {"ratio_use": True},
        {"ratio_eta": None},
        {"ratio_anchor": 0},
        {"ratio_min_weight": 0},
        {"row_order": "sequential"},
        {"seed": 0},
        {"project_nonneg": False},
    ],
)
def test_settings_at_their_limits_are_taken(settings):
    ((name, value),) = settings.items()
    assert getattr(SolverCfg(**settings), name) == value


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"S_chunk": 0}, "S_chunk=0"),
        ({"C_chunk": 2.0}, "C_chunk=2.0"),
        ({"P_chunk": None}, "P_chunk=None: must be an int"),
        ({"n_workers": 0}, "n_workers=0"),
        ({"n_workers": "all"}, "n_workers='all'"),
        ({"normalization": "area"}, "normalization='area': choose one of 'losvd', 'unit'"),
    ],
)
def test_bad_build_settings_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        BuildConfig(**settings)


def test_workers_may_be_left_to_the_machine():
    assert BuildConfig(n_workers=None).n_workers is None
    assert BuildConfig(n_workers=3).n_workers == 3


def test_numpy_numbers_become_python_numbers():
    settings = SolverCfg(
        epochs=np.int64(3),
        lr=np.float32(0.5),
        project_nonneg=np.bool_(False),
        ratio_anchor=np.argmax([1, 5, 2]),
        seed=np.uint8(7),
    )
    given_back = (settings.epochs, settings.lr, settings.project_nonneg, settings.ratio_anchor)
    assert given_back == (3, 0.5, False, 1)
    assert [type(v) for v in given_back] == [int, float, bool, int]
    assert type(settings.seed) is int
    assert type(BuildConfig(S_chunk=np.int32(5)).S_chunk) is int


def test_require_choice_names_the_choices():
    require_choice("normalization", "unit", Normalization)
    with pytest.raises(ConfigError, match="normalization=None: choose one of 'losvd', 'unit'"):
        require_choice("normalization", None, Normalization)


def test_require_positive_lets_none_pass():
    require_positive("n", None)
    require_positive("n", 1)
    for value in (0, -1, 1.0, True, "1"):
        with pytest.raises(ConfigError, match=f"n={value!r}"):
            require_positive("n", value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metrics_interval_sec": -1.0}, "metrics_interval_sec=-1.0: give seconds, 0 or more"),
        ({"metrics_interval_sec": float("nan")}, "metrics_interval_sec=nan"),
        ({"metrics_interval_sec": None}, "metrics_interval_sec=None: give a number"),
        ({"val_interval_sec": "1 h"}, "val_interval_sec='1 h': give a number"),
        ({"ckpt_interval_sec": True}, "ckpt_interval_sec=True"),
        ({"Ns": 0}, "Ns=0: must be an int of at least 1"),
        ({"Kval": 2.5}, "Kval=2.5"),
        ({"ring_size": 0}, "ring_size=0"),
        ({"diag_seed": -1}, "diag_seed=-1: must be an int of at least 0"),
    ],
)
def test_bad_tracker_settings_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        TrackerConfig(**settings)


def test_tracker_settings_at_their_limits_are_taken():
    settings = TrackerConfig(
        metrics_interval_sec=0, val_interval_sec=np.float32(0.5), ckpt_interval_sec=float("inf"),
        Ns=1, Kval=np.int64(1), ring_size=1, diag_seed=0,
    )  # fmt: skip
    assert (settings.metrics_interval_sec, settings.val_interval_sec) == (0, 0.5)
    assert type(settings.Kval) is int


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (lambda: SolverCfg(seed=2**63), "seed must be an int of at most"),
        (lambda: TrackerConfig(diag_seed=2**63), "diag_seed must be an int of at most"),
        (lambda: TrackerConfig(ring_size=10**25), "ring_size must be an int of at most"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_at_birth(settings, told):
    with pytest.raises(ConfigError, match=told):
        settings()
