"""Settings of the documentation. The build needs no network, and makes pictures and notebooks."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from cubefit import __version__

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import make_commands  # noqa: E402 - found by the line above
import make_gallery  # noqa: E402
import run_notebooks  # noqa: E402

project = "CubeFit"
author = "The CubeFit developers"
project_copyright = author
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "_generated/*.md"]

html_theme = "furo"
html_title = f"CubeFit {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["page.css"]

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc states types with shapes and units
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_param = False  # the words of a type are no names to link
napoleon_use_rtype = False

# run_notebooks executes them, here or in the test before.
nb_execution_mode = "off"
myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]


def make_parts(_app: Any) -> None:
    """Make what the pages include, before any page is read."""
    logging.getLogger("cubefit").setLevel(logging.WARNING)
    generated = DOCS / "_generated"
    make_commands.write_page(generated / "commands.md")
    make_gallery.write_page(generated / "pictures.md")
    run_notebooks.bring_up_to_date(generated / "examples")


def setup(app: Any) -> None:
    """Connect the makers."""
    app.connect("builder-inited", make_parts)
