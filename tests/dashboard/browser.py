"""Headless Chromium on the page, and a dashboard in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
MISSING = "" if CHROMIUM and CHROMEDRIVER else "chromium and chromedriver are not installed"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1400,1330",
)  # fmt: skip
WAIT_S = 60.0


class Dashboard:
    """``cubefit dashboard`` of a file, on a free port."""

    def __init__(self, path: Path) -> None:
        self._command = [sys.executable, "-m", "cubefit", "dashboard", str(path), "--port", "0"]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, bufsize=1)
        line = self.process.stdout.readline()
        self.url = next(word for word in line.split() if word.startswith("http"))
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.terminate()
        self.process.wait(WAIT_S)
        self.process.stdout.close()


class Browser:
    """One window."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        for flag in FLAGS:
            options.add_argument(flag)
        options.binary_location = CHROMIUM
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=CHROMEDRIVER)
        self.driver = webdriver.Chrome(options=options, service=service)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.driver.quit()

    def open(self, url: str) -> None:
        """Open the page and wait until it is drawn; errors of another one are forgotten."""
        self.driver.get("about:blank")
        self.errors()
        self.driver.get(url)
        ready = "return !!(window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle)"
        self.until(lambda: self.run(ready), "the page is drawn")

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns."""
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for something; return it."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"After {WAIT_S:.0f} s it is not so that {what}: {self.text()}")

    def model(self, name: str, then: str) -> Any:
        """Return an attribute of a model by its name."""
        return self.run(f"return Bokeh.documents[0].get_model_by_name(arguments[0]){then}", name)

    def text(self) -> str:
        """Return the words at the top."""
        return str(self.model("header", ".text"))

    def drawn(self, name: str) -> dict[str, list[Any]]:
        """Return the first lines of a figure, column by column."""
        script = (
            "const data = Bokeh.documents[0].get_model_by_name(arguments[0]).renderers"
            ".find(r => r.glyph.type == 'Line').data_source.data;"
            "return Object.fromEntries(Object.entries(data).map(([k, v]) => [k, Array.from(v)]))"
        )
        return self.run(script, name)

    def click_in(self, name: str, x: float, y: float) -> None:
        """Click at a point of a figure, in its own coordinates."""
        script = (
            "const model = Bokeh.documents[0].get_model_by_name(arguments[0]);"
            "const view = Bokeh.index.find_one(model);"
            "const box = view.canvas_view.el.getBoundingClientRect();"
            "const place = [box.left + view.frame.x_scale.compute(arguments[1]),"
            "  box.top + view.frame.y_scale.compute(arguments[2])];"
            "return place"
        )
        left, top = self.run(script, name, x, y)
        builder = ActionBuilder(self.driver)
        builder.pointer_action.move_to_location(round(left), round(top)).click()
        builder.perform()
        ActionChains(self.driver).pause(0.3).perform()  # Bokeh tells a tap from a double tap

    def errors(self) -> list[str]:
        """Return the errors in the console."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
