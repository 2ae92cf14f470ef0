"""Resampling of examples: weights, shares and intervals."""

from __future__ import annotations

import polars as pl
import torch
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.interp.bootstrap import resampling_weights, summarize


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 5))
def test_weights_are_shares_of_the_examples(n: int, resamples: int, seed: int) -> None:
    weights = resampling_weights(n, resamples, seed)
    assert weights is not None
    assert weights.shape == (resamples, n)
    torch.testing.assert_close(weights.sum(1), torch.ones(resamples))
    again = resampling_weights(n, resamples, seed)
    assert again is not None
    assert torch.equal(weights, again)


def test_summary_solved_by_hand() -> None:
    # Two examples with values 0 and 1: the four resamples have means 0, ½, ½, 1.
    weights = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5], [0.0, 1.0]])
    found = summarize(torch.tensor([[0.0, -3.0], [1.0, -3.0]]), weights, threshold=0.5)
    assert found.mean.tolist() == [0.5, -3.0]
    assert found.share_above is not None
    assert found.low is not None
    assert found.high is not None
    assert found.share_above.tolist() == [0.25, 1.0]  # strictly above; of the absolute value
    assert found.low.tolist() == [0.0, -3.0]
    assert found.high.tolist() == [1.0, -3.0]


def test_interval_holds_about_nine_tenths_of_the_resamples() -> None:
    values = torch.randn(30, 1, generator=torch.Generator().manual_seed(0))
    weights = resampling_weights(30, 2000, 1)
    assert weights is not None
    found = summarize(values, weights, 0.0)
    assert found.low is not None
    assert found.high is not None
    means = (weights @ values)[:, 0]
    inside = ((means >= found.low) & (means <= found.high)).float().mean()
    assert 0.89 < inside < 0.91


def test_without_bootstrap_the_columns_are_null() -> None:
    found = summarize(torch.ones(3, 2), resampling_weights(3, 0, 0), 0.0).frame("effect")
    assert found.columns == ["effect", "share_above", "low", "high"]
    assert set(found.dtypes) == {pl.Float32}
    assert found.null_count().row(0) == (0, 2, 2, 2)
