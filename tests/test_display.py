"""What people read."""

from __future__ import annotations

import pytest

from cubefit.display import duration, html_table, number, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(float("nan"), "-"), (5, "5 s"), (600, "10 min"), (20_000, "6 h"), (400_000, "4.6 d")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(1500, "1.5 kB"), (2e6, "2 MB"), (6.16e11, "616 GB"), (1.8e17, "1.8e+05 TB")],
)
def test_sizes(n_bytes, text):
    assert size(n_bytes) == text


def test_a_number_that_is_not_known_is_a_dash():
    assert (number(float("nan")), number(float("inf")), number(12.3456789)) == ("-", "-", "12.346")


def test_a_table_shows_what_it_is_given_as_it_is():
    table = html_table("a<b", [("<i>", "x & y"), ("n", "1")])
    assert table.startswith("<table><caption>a&lt;b</caption>")
    assert table.count("<tr>") == 2
    assert ">&lt;i&gt;</th>" in table
    assert ">x &amp; y</td>" in table
    assert "<i>" not in table
