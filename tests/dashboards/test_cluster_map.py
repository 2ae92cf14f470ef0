"""The map: which points a lasso holds, and colours."""

from __future__ import annotations

import math
from itertools import combinations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.components.cluster_map import MOST_CORNERS, hue, polygon, within


def test_a_lasso_is_read_from_the_address() -> None:
    assert polygon("0,0,2.5,0,0,-1e1") == [(0.0, 0.0), (2.5, 0.0), (0.0, -10.0)]


@pytest.mark.parametrize(
    "text",
    [
        *("", "1,2,3,4", "1,2,3,4,5,6,7", "a,b,c,d,e,f", "0,0,nan,1,1,1", "0,0,inf,1,1,1"),
        *("<script>", ",".join(["1"] * (2 * MOST_CORNERS + 2))),
    ],
)
def test_what_is_no_polygon_is_none(text: str) -> None:
    assert polygon(text) is None


def test_points_within_a_hollow_shape() -> None:
    """A U: what lies between its arms is outside."""
    corners = [(0, 0), (6, 0), (6, 6), (4, 6), (4, 2), (2, 2), (2, 6), (0, 6)]
    points = {(1, 5): True, (5, 5): True, (3, 1): True, (3, 5): False, (7, 1): False}
    frame = pl.DataFrame(list(points), schema={"x": pl.Float32, "y": pl.Float32}, orient="row")
    assert frame.select(within(corners)).to_series().to_list() == list(points.values())
    unplaced = pl.DataFrame({"x": [None, math.nan], "y": [None, math.nan]}, strict=False)
    unplaced = unplaced.cast(pl.Float32)
    assert unplaced.select(within(corners)).to_series().to_list() == [False, False]


NUMBER = st.integers(-20, 20).map(lambda n: n / 2)


@given(st.tuples(NUMBER, NUMBER), st.tuples(NUMBER, NUMBER), st.tuples(NUMBER, NUMBER))
def test_a_box_holds_what_lies_between_its_sides(
    one: tuple[float, float], two: tuple[float, float], point: tuple[float, float]
) -> None:
    (x1, x2), (y1, y2) = sorted((one[0], two[0])), sorted((one[1], two[1]))
    x, y = point[0] + 0.25, point[1] + 0.25  # never on a side
    frame = pl.DataFrame({"x": [x], "y": [y]})
    found = frame.select(within([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])).item()
    assert found == (x1 < x < x2 and y1 < y < y2)


def test_neighbouring_clusters_are_told_apart_by_colour() -> None:
    def channels(colour: str) -> list[int]:
        return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]

    shades = [channels(hue(i)) for i in range(6)]
    for one, two in combinations(shades, 2):
        assert sum(abs(a - b) for a, b in zip(one, two, strict=True)) > 60
