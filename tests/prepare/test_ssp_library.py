from dataclasses import replace

import numpy as np
import pytest

from cubefit.errors import ConfigError, GridError, InputError
from cubefit.prepare.ssp_library import SSPLibrary


@pytest.fixture
def library():
    wave = 4000.0 + np.cumsum(np.linspace(1.0, 2.0, 200))
    rng = np.random.default_rng(3)
    return SSPLibrary(
        templates=rng.random((200, 2, 3, 1)),
        wave=wave,
        metals=np.array([-0.4, 0.22]),
        ages=np.array([1.0, 5.0119, 12.5893]),
        alphas=np.zeros(1),
        masses=rng.random((2, 3, 1)),
        fwhm=np.linspace(2.0, 3.0, 200),
        medium="air",
        source="a library",
    )


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"templates": np.ones((2, 3, 1, 200))}, InputError, "order the axes"),
        ({"metals": np.array([0.2, -0.4])}, InputError, "metals must be a strictly increasing"),
        ({"ages": np.array([1.0, np.nan, 3.0])}, InputError, "ages must be"),
        ({"ages": np.array([0.0, 0.7, 1.1])}, InputError, "in Gyr"),
        ({"ages": np.array([60.0, 100.0, 1e4])}, InputError, "not Myr"),
        ({"wave": np.linspace(400.0, 700.0, 200)}, InputError, "not nm"),
        ({"masses": np.ones((3, 2, 1))}, InputError, "masses has shape"),
        ({"masses": np.full((2, 3, 1), -1.0)}, InputError, "negative, NaN"),
        ({"templates": np.full((200, 2, 3, 1), np.nan)}, InputError, "from 4001"),
        ({"fwhm": 0.0}, InputError, "fwhm is zero"),
        ({"fwhm": np.ones(3)}, InputError, "fwhm has shape"),
        ({"medium": "water"}, ConfigError, "'air' or 'vacuum'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(library, changes, error, message):
    with pytest.raises(error, match=message):
        replace(library, **changes)


def test_a_library_does_not_change(library):
    with pytest.raises(AttributeError):
        library.medium = "vacuum"


def test_edges_lie_between_the_centres(library):
    edges = library.wave_edges
    assert edges.shape == (201,)
    np.testing.assert_allclose(edges[1:-1], 0.5 * (library.wave[1:] + library.wave[:-1]))
    assert 0.5 * (edges[0] + edges[1]) == pytest.approx(library.wave[0])


def test_trimmed_covers_the_range_with_its_guard(library):
    part = library.trimmed((4100.0, 4150.0), guard_px=2)
    edges = part.wave_edges
    assert edges[2] <= 4100.0 < edges[3]
    assert edges[-4] < 4150.0 <= edges[-3]
    start = int(np.searchsorted(library.wave, part.wave[0]))
    kept = slice(start, start + part.wave.size)
    np.testing.assert_array_equal(part.templates, library.templates[kept])
    np.testing.assert_array_equal(part.fwhm, library.fwhm[kept])
    assert replace(library, fwhm=2.5).trimmed((4100.0, 4150.0)).fwhm == 2.5


def test_a_guard_ends_where_the_pixels_do(library):
    whole = library.trimmed((library.wave[0], library.wave[-1]), guard_px=500)
    np.testing.assert_array_equal(whole.wave, library.wave)


def test_ranges_that_are_not_covered_are_refused(library):
    with pytest.raises(GridError, match="a library covers 4000"):
        library.trimmed((3990.0, 4100.0))
    with pytest.raises(GridError, match="lower first"):
        library.trimmed((4100.0, 4050.0))


def test_cut_keeps_the_populations_in_the_ranges(library):
    part = library.cut(ages=(1.0, 5.0119), metals=(0.0, 1.0))
    assert part.ages.tolist() == [1.0, 5.0119]
    assert part.metals.tolist() == [0.22]
    np.testing.assert_array_equal(part.templates, library.templates[:, 1:, :2])
    np.testing.assert_array_equal(part.masses, library.masses[1:, :2])
    assert library.cut().ages.tolist() == library.ages.tolist()


def test_a_cut_that_leaves_nothing_is_refused(library):
    with pytest.raises(InputError, match="none of the ages"):
        library.cut(ages=(2.0, 3.0))
