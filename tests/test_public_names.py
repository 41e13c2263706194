"""What ``import cubefit`` gives."""

from __future__ import annotations

import sys
from subprocess import run

import pytest

import cubefit
from cubefit.distributed.connection import connected
from cubefit.errors import DependencyError


@pytest.mark.parametrize("name", cubefit.__all__)
def test_public_names_resolve(name):
    assert getattr(cubefit, name) is not None
    assert name in dir(cubefit)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = cubefit.nonsense


def test_names_of_extras_resolve_or_name_their_extra(monkeypatch):
    assert "connected" in dir(cubefit)
    assert cubefit.connected is connected
    monkeypatch.setitem(sys.modules, "cubefit.distributed.connection", None)
    with pytest.raises(DependencyError, match=r'pip install "cubefit\[distributed\]"'):
        _ = cubefit.connected


def test_import_is_light():
    code = "import cubefit, sys; print(*[m for m in sys.modules if '.' not in m])"
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "h5py", "matplotlib", "astropy", "scipy"} & set(done.stdout.split())
