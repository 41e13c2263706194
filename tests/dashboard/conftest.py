"""A galaxy with all that the page can show."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def galaxy_problem(make_problem):
    """12 spaxels in a rectangle of pixels, with noise, a mask, and what is known of the orbits."""
    rng = np.random.default_rng(8)
    clean = make_problem(S=12, L=60)
    sigma = 0.01 * clean.datacube.mean()
    y, x = np.divmod(np.arange(48), 8)
    return make_problem(
        S=12,
        L=60,
        datacube=clean.datacube + sigma * rng.standard_normal(clean.datacube.shape),
        noise=np.full(60, sigma),
        mask=~np.isin(np.arange(60), (20, 21, 22, 40)),
        xpix=0.5 * x,
        ypix=0.5 * y,
        binnum=(x // 2) + 4 * (y // 2),
        template_axes={"metallicity": [-1.0, 0.0], "age": [1.0, 3.0, 10.0], "alpha": [0.0, 0.4]},
        orbit_weights=np.arange(1.0, 6.0),
        component_properties={"radius [kpc]": np.geomspace(0.1, 10, 5), "circularity": np.ones(5)},
    )


@pytest.fixture
def galaxy_file(galaxy_problem, tmp_path):
    return galaxy_problem.populate(tmp_path / "cube.h5")
