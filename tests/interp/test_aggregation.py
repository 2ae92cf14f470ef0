"""Aggregation over positions and examples, solved by hand."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from dagster_project.interp import aggregation
from dagster_project.interp.aggregation import aggregate, check_lengths, per_example
from dagster_project.interp.bootstrap import resampling_weights
from dagster_project.interp.node_effects import Nodes
from tests.interp.spliced import make

# (example, pos, feature, effect, patch_only) of two of four examples
ROWS = [
    (0, 0, 7, 1.0, False),
    (0, 2, 7, -3.0, True),
    (1, 2, 7, 4.0, True),
    (1, 2, -1, 0.5, False),
]


def nodes() -> Nodes:
    example, pos, feature, effect, patch_only = zip(*ROWS, strict=True)
    return Nodes(
        torch.tensor(example),
        torch.tensor(pos),
        torch.tensor(feature),
        torch.tensor(effect),
        torch.tensor(patch_only),
    )


def test_sum_adds_positions_then_takes_the_mean_of_examples() -> None:
    # feature 7: example 0: 1 − 3 = −2, example 1: 4, two examples without it: mean ½.
    # Σ|effect|: 4 and 4: mean 2. In example 1 alone no clean activation takes part: ¼.
    frame = aggregate(per_example(nodes(), torch.arange(2), "sum"), 4, 0.1, 0, 0)
    assert frame["pos"].to_list() == [None, None]
    assert frame["feature"].to_list() == [-1, 7]
    assert frame["effect"].to_list() == [0.125, 0.5]
    assert frame["abs_effect"].to_list() == [0.125, 2.0]
    assert frame["patch_only"].to_list() == [0.0, 0.25]
    assert frame["share_above"].null_count() == 2


def test_none_keeps_positions() -> None:
    frame = aggregate(per_example(nodes(), torch.arange(2), "none"), 4, 0.1, 0, 0)
    assert frame.select("pos", "feature", "effect", "abs_effect", "patch_only").rows() == [
        (0, 7, 0.25, 0.25, 0.0),
        (2, -1, 0.125, 0.125, 0.0),
        (2, 7, 0.25, 1.75, 0.5),
    ]


@pytest.mark.parametrize("block", [1, 1 << 24])
def test_bootstrap_is_of_the_examples_of_each_node(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregation, "BLOCK", block)
    effects = pl.concat([per_example(nodes(), torch.arange(2) + first, "sum") for first in (0, 2)])
    frame = aggregate(effects, 4, 0.4, 64, 5)
    weights = resampling_weights(4, 64, 5)
    assert weights is not None
    means = weights @ torch.tensor([-2.0, 4.0, -2.0, 4.0])
    row = frame.filter(pl.col("feature") == 7).row(0, named=True)
    assert row["effect"] == 1.0
    assert row["share_above"] == pytest.approx(float((means.abs() > 0.4).float().mean()))
    assert row["low"] == pytest.approx(float(means.sort().values[3]))
    assert row["high"] == pytest.approx(float(means.sort().values[60]))


def test_no_effects_give_an_empty_frame() -> None:
    empty = per_example(Nodes(*(column[:0] for column in nodes())), torch.arange(2), "sum")
    frame = aggregate(empty, 4, 0.1, 8, 0)
    assert frame.is_empty()
    assert frame.schema["effect"] == pl.Float32


def test_none_refuses_unequal_lengths() -> None:
    examples = make([[1, 2, 3], [4, 5]], None)
    check_lengths(examples, "sum")
    with pytest.raises(ValueError, match=r"found 2 to 3 tokens"):
        check_lengths(examples, "none")
