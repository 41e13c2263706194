"""FITS and ECSV files of plain arrays, read back by astropy."""

import errno
import math
import os

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.table import Table as AstropyTable
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cubefit.errors import InputError, StoreError
from cubefit.io import result_files
from cubefit.io.result_files import (
    FitsImage,
    LinearAxis,
    Table,
    TableColumn,
    write_ecsv,
    write_fits,
)

numbers = st.floats(allow_subnormal=False, width=64)
names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20)


@st.composite
def tables(draw):
    n = draw(st.integers(1, 6))
    columns = draw(st.lists(names, min_size=1, max_size=4, unique_by=str.lower))
    return Table(
        "COMPONENTS",
        tuple(
            TableColumn(
                name,
                np.array(draw(st.lists(numbers, min_size=n, max_size=n)))
                if draw(st.booleans())
                else np.arange(n, dtype=np.int32),
                draw(st.sampled_from(["", "dex", "Gyr", "arcsec", "template units"])),
                "what it is",
            )
            for name in columns
        ),
    )


def names_in(folder):
    return sorted(p.name for p in folder.iterdir())


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables(), image=st.lists(numbers, min_size=6, max_size=6))
def test_fits_round_trip(tmp_path, table, image):
    values = np.array(image).reshape(3, 2)
    path = write_fits(
        tmp_path / "a.fits",
        {"METHOD": ("kaczmarz", "how")},
        [FitsImage("LIGHT", values), table],
        overwrite=True,
    )
    with fits.open(path) as file:
        file.verify("exception")
        assert file[0].header["METHOD"] == "kaczmarz"
        np.testing.assert_array_equal(file["LIGHT"].data, values)
    # QTable would complain of units that are none to FITS.
    read = QTable.read(path, hdu="COMPONENTS")
    for column in table.columns:
        np.testing.assert_array_equal(np.asarray(read[column.name]), column.values)
        unit = read[column.name].unit
        assert str(unit or "") == (column.unit if column.unit in ("Gyr", "arcsec") else "")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables(), chi2=st.floats(allow_nan=False), text=st.text(max_size=20))
def test_ecsv_round_trip(tmp_path, table, chi2, text):
    meta = {"chi2": chi2, "n": 7, "source": text}
    path = write_ecsv(tmp_path / "a.ecsv", table, meta, overwrite=True)
    read = AstropyTable.read(path)
    assert read.colnames == [column.name for column in table.columns]
    assert read.meta["chi2"] == chi2
    assert read.meta["source"] == text
    for column in table.columns:
        np.testing.assert_array_equal(read[column.name], column.values)
        known = column.unit != "template units"
        assert str(read[column.name].unit or "") == (column.unit if known else "")
        expected = "what it is" if known else "what it is [template units]"
        assert read[column.name].description == expected


def test_units_that_fits_does_not_know_stand_in_the_comment(tmp_path):
    table = Table("T", (TableColumn("age", np.ones(2), "dex", "log10(age / Gyr)"),))
    path = write_fits(tmp_path / "a.fits", {}, [table], overwrite=False)
    header = fits.getheader(path, "T")
    assert header["TCOMM1"] == "log10(age / Gyr) [dex]"
    assert "TUNIT1" not in header


def test_linear_axes(tmp_path):
    axes = (LinearAxis("y", -2.0, 0.5, "arcsec"), LinearAxis("x", 10.0, 0.2, "arcsec"))
    image = FitsImage("LIGHT", np.zeros((3, 5)), "Gyr", "light", axes)
    path = write_fits(tmp_path / "a.fits", {}, [image], overwrite=False)
    header = fits.getheader(path, "LIGHT")
    assert header["BUNIT"] == "Gyr"
    wcs = WCS(header)
    np.testing.assert_allclose(wcs.wcs_pix2world([[0, 0], [4, 2]], 0), [[10, -2], [10.8, -1]])
    assert [str(u) for u in wcs.wcs.cunit] == ["arcsec", "arcsec"]


def test_axes_without_coordinates_have_their_name(tmp_path):
    image = FitsImage("W", np.zeros((3, 5)), axes=(LinearAxis("component"), LinearAxis("age")))
    path = write_fits(tmp_path / "a.fits", {}, [image], overwrite=False)
    header = fits.getheader(path, "W")
    assert (header["AXIS1"], header["AXIS2"]) == ("age", "component")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("plain", "plain"),
        ("/data/NGC 4365's, Müller\n", "/data/NGC 4365's, M\\xfcller\\n"),
        ("x" * 300, "x" * 300),
        ("back\\slash", "back\\slash"),
        (math.nan, None),
        (math.inf, None),
        (1.5e-300, 1.5e-300),
        (7, 7),
        (True, True),
    ],
)
def test_headers_take_any_value(tmp_path, value, read):
    path = write_fits(tmp_path / "a.fits", {"FACT": (value, "a comment")}, [], overwrite=False)
    found = fits.getheader(path)["FACT"]
    assert found == read or (read is None and isinstance(found, fits.card.Undefined))


def test_a_gzipped_file(tmp_path):
    path = write_fits(tmp_path / "a.fits.gz", {}, [FitsImage("I", np.eye(3))], overwrite=False)
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    np.testing.assert_array_equal(fits.getdata(path, "I"), np.eye(3))


def write(kind, path, overwrite=False):
    table = Table("T", (TableColumn("a", np.ones(2)),))
    if kind == "fits":
        return write_fits(path, {}, [table], overwrite=overwrite)
    return write_ecsv(path, table, {}, overwrite=overwrite)


@pytest.mark.parametrize("kind", ["fits", "ecsv"])
def test_an_existing_file_is_replaced_only_on_purpose(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    path.write_text("my thesis")
    with pytest.raises(InputError, match=rf"a\.{kind} exists: .*overwrite=True"):
        write(kind, path)
    assert path.read_text() == "my thesis"
    write(kind, path, overwrite=True)
    assert names_in(tmp_path) == [f"a.{kind}"]
    assert len(AstropyTable.read(path)) == 2


@pytest.mark.parametrize("kind", ["fits", "ecsv"])
def test_names_and_folders_in_the_way(tmp_path, kind):
    (tmp_path / f"b.{kind}").mkdir()
    for path, told in (
        (tmp_path / "a.txt", "end its name in"),
        (tmp_path / "nowhere" / f"a.{kind}", "create the folder"),
        (tmp_path / f"b.{kind}", "a folder has that name"),
    ):
        with pytest.raises(InputError, match=told):
            write(kind, path, overwrite=True)
    assert names_in(tmp_path) == [f"b.{kind}"]


@pytest.mark.parametrize("kind", ["fits", "ecsv"])
@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_leaves_the_old_file_or_none(tmp_path, monkeypatch, kind, existing):
    path = tmp_path / f"a.{kind}"
    if existing:
        path.write_text("old")

    def full(_fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(result_files.os, "fsync", full)
    with pytest.raises(StoreError, match=r"cannot be written \(No space left.*make space"):
        write(kind, path, overwrite=True)
    assert names_in(tmp_path) == ([path.name] if existing else [])
    assert not existing or path.read_text() == "old"


def test_links_and_permissions_stay(tmp_path):
    target, link = tmp_path / "target.ecsv", tmp_path / "link.ecsv"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write("ecsv", link, overwrite=True)
    assert link.is_symlink()
    assert len(AstropyTable.read(target)) == 2
    assert target.stat().st_mode & 0o777 == 0o640
