import subprocess
import sys

import pytest
from matplotlib.figure import Figure
from PIL import Image

from cubefit.errors import InputError
from cubefit.report import require_figure_path, save_figure

STARTS = {".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF-", ".svg": b"<?xml"}


@pytest.fixture
def figure():
    figure = Figure(figsize=(3.0, 2.0))
    figure.subplots().plot([0.0, 1.0], [0.0, 1.0])
    return figure


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ".PNG"])
def test_figure_is_written_whole(figure, tmp_path, suffix):
    path = save_figure(figure, tmp_path / f"fit{suffix}")
    assert path == tmp_path / f"fit{suffix}"
    assert path.read_bytes().startswith(STARTS[suffix.lower()])
    assert list(tmp_path.iterdir()) == [path]


def test_png_opens_and_replaces_what_was_there(figure, tmp_path):
    path = tmp_path / "fit.png"
    path.write_bytes(b"old")
    save_figure(figure, path)
    with Image.open(path) as image:
        image.load()
        assert image.size == (600, 400)


@pytest.mark.parametrize("name", ["fit.jpeg", "fit", "png"])
def test_other_formats_are_refused(figure, tmp_path, name):
    with pytest.raises(InputError, match=r"\.png, \.pdf, \.svg"):
        save_figure(figure, tmp_path / name)


def test_missing_folder_is_refused(figure, tmp_path):
    with pytest.raises(InputError, match=r"create the folder .*plots first"):
        save_figure(figure, tmp_path / "plots" / "fit.png")


def test_failure_keeps_the_old_file_and_leaves_no_scrap(figure, tmp_path, monkeypatch):
    path = tmp_path / "fit.png"
    path.write_bytes(b"old")

    def half_a_file(self, target, **_):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", half_a_file)
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_drawing_needs_no_pyplot():
    check = "import sys, cubefit.report; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_path_is_refused_before_anything_is_drawn(tmp_path):
    require_figure_path(tmp_path / "fit.pdf")
    with pytest.raises(InputError, match=r"\.png, \.pdf, \.svg"):
        require_figure_path(tmp_path / "fit.gif")
    with pytest.raises(InputError, match="create the folder"):
        require_figure_path(tmp_path / "none" / "fit.pdf")
