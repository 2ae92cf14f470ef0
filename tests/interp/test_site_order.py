"""Frames of several sites, batch by batch, regrouped on disk."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.interp.site_order import by_site

Row = tuple[int, int, int | None]  # feature, context_id, pos
KEY = ["feature", "context_id", "pos"]


def frame(site: str, rows: list[Row]) -> pl.DataFrame:
    columns = {"feature": pl.Int32, "context_id": pl.UInt32, "pos": pl.Int16}
    return pl.DataFrame(rows, columns, orient="row").with_columns(site=pl.lit(site))


def test_sites_and_rows_are_sorted(tmp_path: Path) -> None:
    batches = [
        frame("resid_10", [(2, 0, -1)]),
        frame("resid_1", [(5, 0, -1), (-1, 0, -1)]),
        frame("resid_1", [(5, 0, -2), (0, 3, -1)]),
    ]
    found = list(by_site(batches, tmp_path))
    assert [f["site"].unique().to_list() for f in found] == [["resid_1"], ["resid_10"]]
    assert found[0].select(KEY).rows() == [(-1, 0, -1), (0, 3, -1), (5, 0, -2), (5, 0, -1)]


def test_nothing_stays_on_disk(tmp_path: Path) -> None:
    made = by_site([frame("embed", [(1, 0, None)])], tmp_path)
    next(made)
    assert list(tmp_path.iterdir()) == []


def test_no_frames(tmp_path: Path) -> None:
    assert list(by_site([], tmp_path)) == []


rows = st.tuples(st.integers(-1, 5), st.integers(0, 9), st.integers(-4, -1))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.lists(rows, min_size=1, max_size=5))))
def test_every_row_comes_back(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[str, list[Row]]]
) -> None:
    given_rows = sorted((site, *row) for site, part in batches for row in part)
    frames = by_site([frame(*b) for b in batches], tmp_path_factory.getbasetemp())
    found = sorted(row for f in frames for row in f.select("site", *KEY).rows())
    assert found == given_rows
