"""Figures that pages state of the demo, measured again."""

from __future__ import annotations

import shutil

import pytest

from cubefit import PipelineRunner

from .pages import DOCS

PHYSICS = " ".join((DOCS / "physics.md").read_text().split())


def test_the_demo_says_what_the_page_says_it_says(demo_once):
    by_light, by_mass = demo_once.ages_by_light, demo_once.ages_by_mass
    assert "as {:.2f} Gyr where {:.2f} is true".format(*by_light) in PHYSICS
    assert "as {:.2f} where {:.2f} is true".format(*by_mass) in PHYSICS


@pytest.mark.parametrize(("normalization", "digits"), [("losvd", 3), ("unit", 0)])
def test_unit_normalization_is_for_data_that_have_it(demo_once, tmp_path, normalization, digits):
    file = shutil.copy(demo_once.fit.h5_path, tmp_path)
    _, stats = PipelineRunner(file).solve_all(
        method="exact",
        operator="matrix-free",
        normalization=normalization,
        warm_start="zeros",
        verbose=False,
    )
    told = {"losvd": "instead of {}", "unit": "becomes {}"}[normalization]
    value = round(stats["chi2_per_voxel"], digits)
    assert told.format(f"{value:g}") in PHYSICS
