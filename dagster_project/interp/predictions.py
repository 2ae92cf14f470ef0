"""Predictions: loss, rank and entropy of the next token, without a row of logits in memory.

With logits z of the vocabulary, m their maximum and S = Σ exp(z − m),

    loss = log S + m − z_target        entropy = log S − Σ exp(z − m) (z − m) / S        [nats]

and the rank is the number of tokens with z > z_target. Log-probabilities are never made: sums of
a tile of the vocabulary, each with its own maximum, are put together in the end (Milakov and
Gimelshein 2018, "Online normalizer calculation for softmax"). All is float32.

Where logits differ by no more than rounding (1e-6 of the terms' size) so does the order of tokens;
the target is never above itself.

Cost: 2 d_model FLOPs a prediction and token of the vocabulary, and seven passes over a tile of
logits, which on a CPU stays in its cache. Memory: two tiles.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from dagster_project.interp.model import LanguageModel

LOGITS = 1 << 24  # in memory at a time where whole rows are needed: 64 MiB, thrice in between
ROWS = 512  # predictions at a time there: those of a small vocabulary stay in a CPU's cache


class Tile(NamedTuple):
    """How much of the logits is made at a time."""

    predictions: int
    tokens: int
    targets: int  # predictions multiplied by one another's targets, for the logits of their own


ON_CPU = Tile(256, 512, 64)  # 512 KiB
ON_GPU = Tile(8192, 8192, 512)  # 256 MiB: what it costs to start a kernel does not count


class Scores(NamedTuple):
    """Of predictions, each [n]."""

    loss: Tensor  # float32, nats
    rank: Tensor  # int32, tokens with a larger logit
    entropy: Tensor  # float32, nats


class _Sums(NamedTuple):
    """Of the logits z of a tile, each [n]."""

    above: Tensor  # tokens with a logit above the target's
    largest: Tensor  # m = max z
    total: Tensor  # Σ exp(z − m)
    weighted: Tensor  # Σ exp(z − m) (z − m)


def score(model: LanguageModel, hidden: Tensor, targets: Tensor) -> Scores:
    """Loss, rank and entropy of each prediction. hidden [n, d_model], targets [n]."""
    tile = ON_CPU if hidden.device.type == "cpu" else ON_GPU
    rows = zip(hidden.split(tile.predictions), targets.split(tile.predictions), strict=True)
    parts = [_score_rows(model, h, t, tile) for h, t in rows]
    return Scores(*(torch.cat(part) for part in zip(*parts, strict=True)))


@torch.no_grad()
def _score_rows(model: LanguageModel, hidden: Tensor, targets: Tensor, tile: Tile) -> Scores:
    chosen, width = _of_targets(model, hidden, targets, tile.targets), tile.tokens
    starts = range(0, model.n_vocab, width)
    n_within = (targets // width).bincount(minlength=len(starts)).tolist()
    space = chosen.new_empty(2, len(hidden) * width)
    sums: list[_Sums] = []
    for start, own in zip(starts, targets.argsort().split(n_within), strict=True):
        end = min(start + width, model.n_vocab)
        shape = len(hidden), end - start
        z, other = (numbers[: math.prod(shape)].view(shape) for numbers in space)
        model.logits(hidden, slice(start, end), out=z)
        z[own, targets[own] - start] = chosen[own]  # no larger than itself, however it is rounded
        sums.append(_sums(z, chosen, other))
    return _together(sums, chosen)


def _of_targets(model: LanguageModel, hidden: Tensor, targets: Tensor, size: int) -> Tensor:
    """Logits [n] of the targets, by products of matrices as all others, so that rounding is that of
    a tile wherever both are large enough for one kernel."""
    rows = zip(hidden.split(size), targets.split(size), strict=True)
    return torch.cat([model.logits(h, t).diagonal() for h, t in rows])


def _sums(z: Tensor, chosen: Tensor, other: Tensor) -> _Sums:
    """Sums of a tile [n, token], which is written over; other: space of the same shape."""
    above = torch.gt(z, chosen[:, None], out=other).sum(-1)  # as floats: 8 times as fast as bools
    largest = z.amax(-1)
    exp = torch.exp(z.sub_(largest[:, None]), out=other)
    return _Sums(above, largest, exp.sum(-1), torch.linalg.vecdot(exp, z))


def _together(tiles: list[_Sums], chosen: Tensor) -> Scores:
    above, largest, total, weighted = (torch.stack(part) for part in zip(*tiles, strict=True))
    top = largest.amax(0)
    rise = largest - top  # [tile, n], at most 0
    total *= rise.exp()
    weighted = rise.exp() * weighted + total * rise
    log_sum = total.sum(0).log()
    return Scores(
        (log_sum + (top - chosen)).float(),
        above.sum(0).to(torch.int32),
        (log_sum - weighted.sum(0) / total.sum(0)).float(),
    )


def predictions_at_a_time(model: LanguageModel) -> int:
    """Predictions whose logits are made at a time, where whole rows of them are needed."""
    return max(1, min(ROWS, LOGITS // model.n_vocab))
