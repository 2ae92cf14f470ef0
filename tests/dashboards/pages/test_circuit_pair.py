"""Two circuits compared, worked out by hand."""

from __future__ import annotations

import polars as pl
import pytest

from dashboards.pages.circuit_pair import compared, rank_correlation

ROWS = pl.DataFrame(
    {
        "site": "embed",
        "feature": [1, 2, 3, -1, 4],
        "one": [6.0, 2.0, 1.0, -1.0, None],  # Σ|one| = 10
        "two": [0.5, None, 0.25, 1.0, -0.25],  # Σ|two| = 2
        "label": None,
    }
)


def test_circuits_are_compared_by_shares_the_first_less_the_second() -> None:
    found = compared(ROWS).select("feature", "one_share", "two_share", "difference").rows()
    expected = [
        (1, 0.6, 0.25, 0.35),
        (-1, -0.1, 0.5, -0.6),
        (2, 0.2, None, 0.2),
        (3, 0.1, 0.125, -0.025),
        (4, None, -0.125, 0.125),
    ]
    for row, wanted in zip(found, expected, strict=True):
        assert row == pytest.approx(wanted)


def test_the_rank_correlation_is_that_of_the_features() -> None:
    """Features 1 and 3 rise together; the error node, which would turn that, is left out."""
    assert rank_correlation(ROWS) == pytest.approx(1.0)
    assert rank_correlation(ROWS.filter(pl.col("feature") < 2)) is None  # of one
