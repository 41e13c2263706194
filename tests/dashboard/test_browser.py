"""The page in a real browser, during a real fit that is killed and begun again."""

import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from tests.dashboard.browser import MISSING, Browser, Dashboard

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

LONG_FIT = """
import sys
from cubefit import PipelineRunner, TrackerConfig
always = TrackerConfig(metrics_interval_sec=0.2, val_interval_sec=1.0, ckpt_interval_sec=0.5)
PipelineRunner(sys.argv[1]).solve_all(
    epochs=10**6, orbit_weights="stored", tracker=always, blas_threads=1, verbose=False
)
"""


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture
def fits(galaxy_file):
    """Start fits of hours; none of them outlives the test."""
    running = []

    def start():
        running.append(subprocess.Popen([sys.executable, "-c", LONG_FIT, str(galaxy_file)]))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_a_fit_is_followed_through_its_death_and_its_second_life(browser, fits, galaxy_file):
    with Dashboard(galaxy_file) as served:
        browser.open(served.url)
        assert "nothing is fitted yet" in browser.text()
        first = fits()
        browser.until(lambda: "Fitting: epoch" in browser.text(), "a fit is seen")
        rows = browser.until(
            lambda: len(browser.drawn("curve_train_rmse_ewma")["x"]), "there are points of a curve"
        )
        browser.until(
            lambda: len(browser.drawn("curve_train_rmse_ewma")["x"]) > rows + 1, "the curves grow"
        )
        before = browser.drawn("spectrum")
        browser.click_in("map", 0.5, 2.0)  # column 1, row 4: spaxel 8
        title = browser.until(
            lambda: browser.model("spectrum", ".title.text").startswith("Spaxel 8:"),
            "the click picks spaxel 8",
        )
        assert title
        after = browser.until(
            lambda: (d := browser.drawn("spectrum"))["data"] != before["data"] and d,
            "the spectrum changes",
        )
        assert np.isfinite(after["model"]).all()
        first.send_signal(signal.SIGKILL)
        first.wait()
        browser.until(lambda: "A fit was stopped after epoch" in browser.text(), "it was killed")
        fits()
        browser.until(lambda: "Fitting: epoch" in browser.text(), "it is fitted again")
        assert browser.errors() == []


def test_two_windows_see_the_same_fit_and_pick_for_themselves(browser, galaxy_file):
    with Dashboard(galaxy_file) as served, Browser() as other:
        for window in (browser, other):
            window.open(served.url)
        other.click_in("map", 0.0, 0.0)
        other.until(
            lambda: other.model("spectrum", ".title.text").startswith("Spaxel 0:"), "it is picked"
        )
        assert not browser.model("spectrum", ".title.text").startswith("Spaxel 0:")
        assert browser.errors() + other.errors() == []


def test_a_component_is_picked_from_the_list(browser, galaxy_file):
    subprocess.run(
        [sys.executable, "-m", "cubefit", "fit", str(galaxy_file), "--quiet"], check=True
    )
    with Dashboard(galaxy_file) as served:
        browser.open(served.url)
        whole = browser.model("populations", ".title.text")
        script = "Bokeh.documents[0].get_model_by_name('component').value = '2'"
        browser.run(script)
        browser.until(
            lambda: browser.model("populations", ".title.text") != whole, "the plane changes"
        )
        assert "of all" in browser.model("populations", ".title.text")
        assert browser.errors() == []
