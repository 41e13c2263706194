"""The parser of HDF5's old-style groups, against what HDF5 itself says."""

import os
from contextlib import contextmanager

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubefit.errors import StoreError
from cubefit.store.soft_links import soft_link_place


@contextmanager
def descriptor(path, flags=os.O_RDONLY):
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def header_of(path, group="/g"):
    with h5py.File(path, "r") as file:
        return h5py.h5o.get_info(file[group].id).addr


def read_links(path, names, group="/g"):
    """Return the targets of soft links, read where the parser says that they are."""
    header = header_of(path, group)
    targets = {}
    with descriptor(path) as fd:
        for name in names:
            place = soft_link_place(fd, header, name)
            targets[name] = os.pread(fd, 200, place).split(b"\0")[0].decode()
    return targets


def write_links(path, links, group="g"):
    with h5py.File(path, "w", libver="earliest") as file:
        made = file.create_group(group)
        for name, target in links.items():
            made[name] = h5py.SoftLink(target)


def numbered(count):
    return {f"link{n}": f"/some/target/{n * 7}" for n in range(count)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "links.h5"


@pytest.mark.parametrize("count", [1, 8, 9, 100, 3000])
def test_every_link_of_a_group_is_found(path, count):
    """3000 links are a B-tree of three levels."""
    links = numbered(count)
    write_links(path, links)
    names = [name for n, name in enumerate(links) if count < 200 or n % 29 == 0]
    assert read_links(path, names) == {name: links[name] for name in names}


def test_one_byte_turns_a_link(path):
    with h5py.File(path, "w", libver="earliest") as file:
        for k in range(3):
            file[f"g/{k}/x"] = np.full(5, k)
        file["g/latest"] = h5py.SoftLink("0")
        file["x_latest"] = h5py.SoftLink("/g/latest/x")
    for k in (2, 1, 0):
        with descriptor(path, os.O_RDWR) as fd:
            os.pwrite(fd, str(k).encode(), soft_link_place(fd, header_of(path), "latest"))
        with h5py.File(path, "r", swmr=True) as file:
            assert (file["x_latest"][()] == k).all()


def test_names_that_begin_alike(path):
    links = {"a": "1", "ab": "2", "abc": "3", "b": "4", "a b": "5", "latest": "6", "late": "ä"}
    write_links(path, links)
    assert read_links(path, links) == links


def test_hard_links_are_none_of_ours(path):
    write_links(path, numbered(20))
    with h5py.File(path, "r+", libver="earliest") as file:
        file["g/data"] = 1.0
        file["g/group/latest"] = 2.0
    assert read_links(path, numbered(20)) == numbered(20)
    header = header_of(path)
    with descriptor(path) as fd:
        for name in ("data", "group", "absent", "link", ""):
            with pytest.raises(StoreError, match="no soft link"):
                soft_link_place(fd, header, name)


def test_a_group_with_many_attributes(path):
    """They cut its header into pieces."""
    write_links(path, {"latest": "0"})
    with h5py.File(path, "r+", libver="earliest") as file:
        for n in range(50):
            file["g"].attrs[f"note {n}"] = "x" * 100
    assert read_links(path, ["latest"]) == {"latest": "0"}


names = st.integers(0, 40).map("n{}".format)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), names, st.text("xyz", min_size=1, max_size=60)),
        st.tuples(st.just("delete"), names, st.none()),
        st.tuples(st.just("rename"), names, names),
        st.tuples(st.just("reopen"), st.none(), st.none()),
    ),
    min_size=1,
    max_size=80,
)


def change(group, links, what, name, value):
    """Change a group and its model alike."""
    if what == "add" and name not in links:
        group[name] = h5py.SoftLink(value)
        links[name] = value
    elif what == "delete" and name in links:
        del group[name]
        del links[name]
    elif what == "rename" and name in links and value not in links:
        group.move(name, value)
        links[value] = links.pop(name)


@settings(max_examples=50)
@given(changes=changes)
def test_after_any_additions_deletions_and_renames(tmp_path_factory, changes):
    path = tmp_path_factory.mktemp("links") / "links.h5"
    links = numbered(30)
    write_links(path, links)
    file = h5py.File(path, "r+", libver="earliest")
    for what, name, value in changes:
        if what == "reopen":
            file.close()
            file = h5py.File(path, "r+", libver="earliest")
        else:
            change(file["g"], links, what, name, value)
    file.close()
    assert read_links(path, links) == links
    with descriptor(path) as fd, pytest.raises(StoreError, match="no soft link"):
        soft_link_place(fd, header_of(path), "never there")


@pytest.mark.parametrize("style", ["latest", "track_order", "external link", "other alphabet"])
def test_a_group_of_a_newer_style_is_named(path, style):
    with h5py.File(path, "w", libver="latest" if style == "latest" else "earliest") as file:
        group = file.create_group("g", track_order=style == "track_order")
        group["latest"] = h5py.SoftLink("0")
        if style == "external link":
            group["elsewhere"] = h5py.ExternalLink("other.h5", "/g")
        if style == "other alphabet":
            group["größer"] = h5py.SoftLink("0")
    with descriptor(path) as fd, pytest.raises(StoreError, match=r"newer HDF5 style.*delete it"):
        soft_link_place(fd, header_of(path), "latest")


@pytest.mark.parametrize("signature", [b"TREE", b"HEAP", b"SNOD"])
def test_a_damaged_group_is_named(path, signature):
    write_links(path, numbered(20), group="g")
    content = path.read_bytes()
    header = header_of(path)
    path.write_bytes(content.replace(signature, b"XXXX"))
    with descriptor(path) as fd, pytest.raises(StoreError, match="damaged"):
        soft_link_place(fd, header, "link3")


@pytest.fixture(scope="module")
def links_once(tmp_path_factory):
    path = tmp_path_factory.mktemp("once") / "links.h5"
    write_links(path, numbered(100))
    return path


@settings(max_examples=300)
@given(place=st.integers(0), size=st.integers(1, 16), fill=st.integers(0, 255))
def test_any_damage_is_named_and_never_a_crash(links_once, tmp_path_factory, place, size, fill):
    content, header = links_once.read_bytes(), header_of(links_once)
    path = tmp_path_factory.getbasetemp() / "damaged.h5"
    place %= len(content)
    path.write_bytes(content[:place] + bytes([fill] * size) + content[place + size :])
    with descriptor(path) as fd:
        try:
            found = soft_link_place(fd, header, "link57")
        except StoreError:
            return
        assert isinstance(found, int)


@given(size=st.integers(0, 10_000))
def test_a_file_cut_short_is_named(links_once, tmp_path_factory, size):
    content, header = links_once.read_bytes(), header_of(links_once)
    path = tmp_path_factory.getbasetemp() / "short.h5"
    path.write_bytes(content[: min(size, len(content) // 3)])
    with descriptor(path) as fd, pytest.raises(StoreError):
        soft_link_place(fd, header, "link57")
