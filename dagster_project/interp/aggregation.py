"""Aggregation: node effects of examples to one signed mean a node, with its bootstrap interval.

`sum`: summed over positions (a feature's effect wherever it occurs), then mean over examples.
`none`: mean over examples, per position; examples must have equal lengths. Signs are kept; the
mean over examples of Σ|effect| is stored beside. A node absent from an example has effect 0
there. Memory: one site's nonzero effects of all examples, and BLOCK numbers for the bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.bootstrap import resampling_weights, summarize
from dagster_project.interp.examples import Examples
from dagster_project.interp.node_effects import Nodes
from dagster_project.interp.states import BLOCK
from dagster_project.studies.study import Aggregation

NODE = ["pos", "feature"]


def check_lengths(examples: Examples, aggregation: Aggregation) -> None:
    """Raises ValueError where effects per position are asked of examples of unequal lengths."""
    shortest, longest = (int(f(examples.clean.lengths)) for f in (torch.min, torch.max))
    if aggregation == "none" and shortest != longest:
        expected = 'aggregation "none" expects examples of equal length (use "sum")'
        raise ValueError(f"{expected}, found {shortest} to {longest} tokens")


def per_example(nodes: Nodes, numbers: Tensor, aggregation: Aggregation) -> pl.DataFrame:
    """One row per example and node: example, pos (null: summed), feature, effect, abs_effect,
    patch_only (1 where no clean activation takes part). numbers [batch]: of the examples."""
    effect = nodes.effect.float().cpu()  # numpy knows no bfloat16
    frame = pl.DataFrame(
        {
            "example": numbers[nodes.example].cpu().numpy(),
            "pos": nodes.pos.cpu().numpy(),
            "feature": nodes.feature.cpu().numpy(),
            "effect": effect.numpy(),
            "abs_effect": effect.abs().numpy(),
            "patch_only": nodes.patch_only.cpu().numpy(),
        }
    ).cast(_DTYPES)
    if aggregation == "none":
        return frame
    summed = frame.group_by("example", "feature").agg(
        pl.lit(None, pl.Int16).alias("pos"),
        pl.col("effect", "abs_effect").cast(pl.Float64).sum().cast(pl.Float32),
        pl.col("patch_only").all(),
    )
    return summed.select(frame.columns)


def aggregate(
    effects: pl.DataFrame, n_examples: int, threshold: float, resamples: int, seed: int
) -> pl.DataFrame:
    """One row per node of `per_example` frames of one site, by pos and feature.

    pos, feature, effect, abs_effect, share_above (|effect| > threshold), low, high, patch_only.
    """
    nodes = effects.group_by(NODE).agg(
        (pl.col("abs_effect", "patch_only").cast(pl.Float64).sum() / n_examples).cast(pl.Float32)
    )
    nodes = nodes.sort(NODE).with_row_index("node")
    indexed = effects.join(nodes.select("node", *NODE), on=NODE, nulls_equal=True).sort("node")
    weights = resampling_weights(n_examples, resamples, seed)
    size = max(1, BLOCK // max(n_examples, resamples))
    summaries = [
        summarize(values, weights, threshold).frame("effect")
        for values in _dense(indexed, len(nodes), n_examples, size)
    ]
    summary = pl.concat(summaries) if summaries else pl.DataFrame(schema=_SUMMARY)
    return pl.concat([nodes.drop("node"), summary], how="horizontal").select(
        *NODE, "effect", "abs_effect", "share_above", "low", "high", "patch_only"
    )


_DTYPES = pl.Schema(
    {
        "example": pl.Int32(),
        "pos": pl.Int16(),
        "feature": pl.Int32(),
        "effect": pl.Float32(),
        "abs_effect": pl.Float32(),
        "patch_only": pl.Boolean(),
    }
)
_SUMMARY = dict.fromkeys(("effect", "share_above", "low", "high"), pl.Float32)


def _dense(indexed: pl.DataFrame, n_nodes: int, n_examples: int, size: int) -> Iterator[Tensor]:
    """Effects [example, node] of `size` nodes at a time, from rows sorted by node."""
    node = indexed["node"].cast(pl.Int64).to_torch()
    example = indexed["example"].cast(pl.Int64).to_torch()
    effect = indexed["effect"].to_torch()
    for start in range(0, n_nodes, size):
        width = min(size, n_nodes - start)
        low, high = torch.searchsorted(node, torch.tensor([start, start + width])).tolist()
        block = torch.zeros(n_examples, width)
        block[example[low:high], node[low:high] - start] = effect[low:high]
        yield block
