"""A result as files for other programs."""

from __future__ import annotations

import pytest
from astropy.io import fits

from cubefit.errors import InputError, MissingDataError
from cubefit.pipeline_runner import PipelineRunner
from cubefit.results.export import export_result


@pytest.fixture
def fitted(populated):
    PipelineRunner(populated).solve_all(method="exact", verbose=False)
    return populated


def test_all_files_carry_the_name_of_the_source(fitted, tmp_path):
    written = export_result(fitted, tmp_path / "deep" / "out")
    assert [p.name for p in written] == [
        "cube-results.fits", "cube-components.ecsv", "cube-spaxels.ecsv"
    ]  # fmt: skip
    with fits.open(written[0]) as hdus:
        assert {"WEIGHTS", "COMPONENTS", "SPAXELS"} <= {hdu.name for hdu in hdus}


@pytest.mark.parametrize("name", ["cube-results.fits", "cube-components.ecsv", "cube-spaxels.ecsv"])
def test_nothing_is_written_where_one_file_is_in_the_way(fitted, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(InputError, match=rf"{name} exists: give another folder"):
        export_result(fitted, out)
    assert [p.name for p in out.iterdir()] == [name]
    assert len(export_result(fitted, out, overwrite=True)) == 3
    assert not (out / name).read_bytes().startswith(b"mine")


def test_no_folder_is_made_where_there_is_nothing_to_tell(populated, tmp_path):
    with pytest.raises(MissingDataError, match="Missing /X_global"):
        export_result(populated, tmp_path / "out")
    assert not (tmp_path / "out").exists()
