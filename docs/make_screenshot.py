"""Make docs/dashboard.png, the dashboard of the demo's fit in headless Chromium.

``PYTHONPATH=. python docs/make_screenshot.py`` in the clone, with the extra ``test`` installed and
Chromium and its driver there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.dashboard.browser import Browser, Dashboard

from cubefit.demo import run_demo

PICTURE = Path(__file__).parent / "dashboard.png"

with tempfile.TemporaryDirectory() as folder:
    report = run_demo(Path(folder), "small", verbose=False)
    with Dashboard(report.fit.h5_path) as served, Browser() as browser:
        browser.open(served.url)
        browser.until(lambda: browser.drawn("spectrum")["model"], "the spectrum is drawn")
        below = browser.run("return document.documentElement.scrollHeight - window.innerHeight")
        size = browser.driver.get_window_size()
        browser.driver.set_window_size(size["width"], size["height"] + max(below, 0))
        browser.driver.save_screenshot(str(PICTURE))
