"""``cubefit init`` and ``cubefit run``."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.galaxy.mock import Sight, settings_text, write_mock

from cubefit.galaxy import read_settings, settings_template


def test_init_writes_what_run_reads(cubefit, tmp_path):
    path = tmp_path / "galaxy.toml"
    result = cubefit("init", path)
    assert result.exit_code == 0
    assert path.read_text() == settings_template()
    assert read_settings(path).galaxy.out == str(tmp_path / "galaxy")
    assert f"cubefit run {path}" in " ".join(result.output.split())


def test_init_replaces_nothing_unless_told(cubefit, tmp_path):
    path = tmp_path / "galaxy.toml"
    path.write_text("mine")
    result = cubefit("init", path)
    assert result.exit_code == 1
    assert "exists: give another name, or --overwrite" in " ".join(result.stderr.split())
    assert path.read_text() == "mine"
    assert cubefit("init", path, "--overwrite").exit_code == 0
    assert path.read_text() == settings_template()


def test_run_says_what_it_did(cubefit, tmp_path):
    sight = Sight(wave=(4900.0, 5250.0), ages=(2.0, 12.0))
    write_mock(tmp_path, sight)
    path = tmp_path / "galaxy.toml"
    path.write_text(settings_text(sight, more="[products]\npictures = []"))
    first = cubefit("run", path, "--quiet", "--json")
    assert first.exit_code == 0, first.stderr
    told = json.loads(first.output)
    assert told["steps_done"] == ["orbits", "spectra", "templates", "checks", "fit", "products"]
    assert told["fit"]["gap_rel"] < 1e-6
    assert told["fit"]["chi2_per_voxel"] / told["noise_chi2"] < 1.1
    again = cubefit("run", path, "--quiet")
    assert "none, all were done before" in " ".join(again.output.split())
    assert str(tmp_path / "out" / "products" / "cube-results.fits") in again.output


def test_run_refuses_wrong_settings_before_anything_is_made(cubefit, tmp_path):
    path = tmp_path / "galaxy.toml"
    path.write_text(settings_text(Sight(), more="[fit]\nmethode = 'exact'"))
    result = cubefit("run", path)
    assert result.exit_code == 1
    assert "[fit] has no key 'methode'; did you mean 'method'?" in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


def test_checks_that_complain_have_their_exit_code(cubefit, tmp_path):
    sight = Sight(wave=(4900.0, 5250.0), ages=(2.0, 12.0))
    write_mock(tmp_path, sight)
    path = tmp_path / "galaxy.toml"
    text = settings_text(sight)
    path.write_text(text)
    result = cubefit("run", "--check", path, "--quiet")
    assert result.exit_code == 0
    assert "Checked, nothing found" in " ".join(result.output.split())
    path.write_text(text.replace("redshift = 0.01", "redshift = 0.0105"))
    result = cubefit("run", "--check", path, "--quiet")
    assert result.exit_code == 3
    assert "Check: Lines shift" in " ".join(result.output.split())


def test_each_finding_is_printed_once_where_progress_is_not_wanted(tmp_path):
    """In a process of its own: where tests run, logs go elsewhere."""
    sight = Sight(wave=(4900.0, 5250.0), ages=(2.0, 12.0))
    write_mock(tmp_path, sight)
    path = tmp_path / "galaxy.toml"
    text = settings_text(sight).replace("redshift = 0.01", "redshift = 0.0105")
    path.write_text(text.replace('lsf = "muse"', 'lsf = "muse"\nradius = 8.0'))
    for _ in range(2):
        command = [sys.executable, "-m", "cubefit", "run", "--check", path, "--quiet"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 3
        assert result.stdout.count("bins are left out") == 1
        assert result.stdout.count("If the redshift is wrong") == 1
        assert result.stderr == ""
