"""Run benchmarks and print what they track: ``python -m benchmarks [operators build ...]``."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

MODULES = (
    *("operators", "build", "kaczmarz", "exact", "tracker", "dashboard", "read_cube", "galaxy"),
    "cluster",
)


def trackers(module: str) -> list[tuple[str, str]]:
    """Return the classes and methods of a benchmark module."""
    contents = vars(import_module(f"benchmarks.{module}"))
    return [
        (name, method)
        for name, kind in contents.items()
        if isinstance(kind, type) and kind.__module__ == f"benchmarks.{module}" and name[0] != "_"
        for method in dir(kind)
        if method.startswith("track_")
    ]


def run_one(module: str, name: str, method: str) -> None:
    """Run one method in this process and print its value."""
    bench = getattr(import_module(f"benchmarks.{module}"), name)()
    bench.setup()
    try:
        value = getattr(bench, method)()
    finally:
        if hasattr(bench, "teardown"):
            bench.teardown()
    print(f"{module:<10} {name:<20} {method.removeprefix('track_'):<34} {value:8.3f}", flush=True)


def main(arguments: list[str]) -> None:
    """Run every method of the named modules, each in a process of its own for clean memory."""
    if len(arguments) == 3 and arguments[1][:1].isupper():
        run_one(*arguments)
        return
    for module in arguments or MODULES:
        for name, method in trackers(module):
            command = [sys.executable, "-m", "benchmarks", module, name, method]
            subprocess.run(command, check=True)  # noqa: S603


main(sys.argv[1:])
