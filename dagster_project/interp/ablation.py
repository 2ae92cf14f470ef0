"""Ablation: the values that nodes outside a circuit hold instead of their own.

`zero`: no feature and no error, the stream is the dictionary's bias. `mean`: over the source
prompts of a split, position by position counted from the answer. `resample`: those of another
source prompt, the same one for all sites. Sources are the patch prompts, or the clean ones where
there is no patch. Positions that do not count (padding, BOS) enter no mean.

Cost: a forward of the split, and for the mean an encode of its tokens at every site. Memory: for
the mean one row of features and stream per site and position; resampled, one activation per site
and token of the split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.encoding import encode
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import Batch, activations
from dagster_project.interp.sparse_features import sparse_of
from dagster_project.studies.study import Ablation

ENCODED = 1 << 24
"""Feature activations of one site held at a time (64 MiB in float32)."""

Dictionaries = Mapping[str, Dictionary]  # site -> dictionary, in forward order


class Task(NamedTuple):
    """A model with dictionaries on the examples of a split."""

    model: LanguageModel
    dictionaries: Dictionaries  # of the sites edited
    examples: Examples
    batch_tokens: int = 8192
    bos_id: int | None = None  # a token that does not count at position 0; None: all count
    seed: int = 0  # of resampled values and of the bootstrap


class Rows(NamedTuple):
    """A few examples of a split."""

    numbers: Tensor  # [example] their places in the split
    prompts: Batch  # their clean prompts


class SiteValues(NamedTuple):
    """What ablated nodes of one site hold in a few examples, as rows that tokens share."""

    row: Tensor  # [example, position], or [1, 1] for all alike: of the others
    features: Tensor  # f_a [row, feature]
    decoded: Tensor  # decode(f_a) [row, d_model]
    stream: Tensor  # a = decode(f_a) + ε_a [row, d_model]


class Values(Protocol):
    """The values of an ablation, one site and a few examples at a time."""

    def at(self, site: str, rows: Rows, /) -> SiteValues: ...


@dataclass(frozen=True)
class ZeroValues:
    """No feature and no error."""

    dictionaries: Dictionaries

    def at(self, site: str, _rows: Rows, /) -> SiteValues:
        dictionary = self.dictionaries[site]
        bias = dictionary.bias[None]
        row = torch.zeros(1, 1, dtype=torch.int64, device=bias.device)
        return SiteValues(row, bias.new_zeros(1, dictionary.n_features), bias, bias)


@dataclass(frozen=True)
class MeanValues:
    """Means over the split's source prompts, position by position counted from the answer."""

    features: Mapping[str, Tensor]  # site -> [position, feature]; the last is the answer's
    decoded: Mapping[str, Tensor]  # site -> [position, d_model]
    stream: Mapping[str, Tensor]  # site -> [position, d_model]

    def at(self, site: str, rows: Rows, /) -> SiteValues:
        stream = self.stream[site]
        pos = from_answer(rows.prompts, torch.full_like(rows.prompts.lengths, len(stream)))
        return SiteValues(pos, self.features[site], self.decoded[site], stream)


@dataclass(frozen=True)
class ResampledValues:
    """Those of another source prompt of the split, the same one for all sites.

    Positions are counted from the answer; before a shorter source begins, its first token that
    counts is repeated.
    """

    dictionaries: Dictionaries
    stream: Mapping[str, Tensor]  # site -> activations of the sources [example, position, d_model]
    lengths: Tensor  # [example] of the sources
    first: Tensor  # [example] first position of the sources that counts
    other: Tensor  # [example] whose values an example gets

    def at(self, site: str, rows: Rows, /) -> SiteValues:
        other = self.other[rows.numbers]
        pos = from_answer(rows.prompts, self.lengths[other]).maximum(self.first[other, None])
        stream = self.stream[site][other[:, None], pos]
        row = torch.arange(pos.numel(), device=pos.device).view_as(pos)
        dictionary = self.dictionaries[site]
        stream = stream.flatten(0, 1).to(dictionary.bias)
        features = encode(dictionary, stream)
        x_hat = dictionary.bias + dictionary.written(sparse_of(features))
        return SiteValues(row, features, x_hat, stream)


def from_answer(batch: Batch, lengths: Tensor) -> Tensor:
    """[batch, position] positions in sequences of `lengths` as far from their ends; ≥ 0."""
    here = torch.arange(batch.ids.shape[1], device=batch.ids.device)
    shifted = here + (lengths - batch.lengths)[:, None]
    return shifted.clamp(min=0).minimum(lengths[:, None] - 1)


def derangement(n: int, seed: int) -> Tensor:
    """A seeded permutation [n] that leaves nothing in its place: one random cycle (Sattolo).

    Raises ValueError for a single thing.
    """
    if n < 2:
        raise ValueError(f"resample: expected at least 2 examples in the split, found {n}")
    order = np.random.default_rng(seed).permutation(n)
    other = np.empty(n, dtype=np.int64)
    other[order] = np.roll(order, 1)
    return torch.from_numpy(other)


def ablation_values(kind: Ablation, task: Task) -> Values:
    """Values of an ablation from the split's patch prompts, or clean ones where there is none."""
    examples, dictionaries = task.examples, task.dictionaries
    source = examples.clean if examples.patch is None else examples.patch
    if kind == "zero":
        return ZeroValues(dictionaries)
    if kind == "mean":
        return _means(task, source)
    portions = [states for _, states in _activations(task, source)]
    stream = {site: torch.cat([states[site] for states in portions]) for site in dictionaries}
    first = examples.counted(task.bos_id).int().argmax(1)
    other = derangement(len(examples), task.seed).to(examples.device)
    return ResampledValues(dictionaries, stream, source.lengths, first, other)


def _activations(task: Task, source: Batch) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Rows [n] of the source and their activations, in portions; padding stays."""
    size = max(1, task.batch_tokens // source.ids.shape[1])
    for rows in torch.arange(len(source.ids), device=source.ids.device).split(size):
        yield rows, activations(task.model, source.ids[rows], list(task.dictionaries))


def _means(task: Task, source: Batch) -> MeanValues:
    """Sums over tokens of equal distance to the answer, by the number of those that count."""
    counted, width = task.examples.counted(task.bos_id), source.ids.shape[1]
    distance = from_answer(source, torch.full_like(source.lengths, width))
    number = torch.bincount(distance[counted], minlength=width).clamp(min=1)[:, None]
    dictionaries = task.dictionaries.items()
    features = {site: d.bias.new_zeros(width, d.n_features) for site, d in dictionaries}
    stream = {site: d.bias.new_zeros(width, d.d_model) for site, d in dictionaries}
    for rows, states in _activations(task, source):
        at = distance[rows][counted[rows]]
        for site, dictionary in dictionaries:
            x = states[site][counted[rows]].to(dictionary.bias)  # [token, d_model]
            stream[site].index_add_(0, at, x)
            size = max(1, ENCODED // dictionary.n_features)
            for part, where in zip(x.split(size), at.split(size), strict=True):
                features[site].index_add_(0, where, encode(dictionary, part))
    features = {site: f / number for site, f in features.items()}
    return MeanValues(
        features,
        {site: d.decode(features[site]) for site, d in dictionaries},
        {site: x / number for site, x in stream.items()},
    )
