"""Activations for training: one pass of the model fills a bounded buffer for all sites at once.

A round is one fill of the buffer with the activations of the stream's next documents; training
takes it in random order, so that the tokens of a batch come from hundreds of documents. Rounds
are the unit of resumption: a round depends on the stream and its number alone, so a training
that starts again at round r replays token ids, never the model. BOS and padding are left out:
BOS has one constant vector of large norm. What a round's last document has too much is dropped.
Memory: `ROUND_BYTES` (at least four batches of tokens), whatever the corpus.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sequences import Ids, batches, content
from dagster_project.interp.sites import activations

ROUND_BYTES = 256 * 2**20


def round_tokens(n_sites: int, d_model: int, batch: int, tokens: int) -> int:
    """Tokens in a round: a whole number of training batches that ROUND_BYTES hold (four at
    least), such that the rounds of a training of `tokens` tokens are equally full."""
    fitting = max(4, ROUND_BYTES // (4 * n_sites * d_model * batch))
    steps = math.ceil(tokens / batch)
    return batch * math.ceil(steps / math.ceil(steps / fitting))


def rounds(
    model: LanguageModel,
    sites: Sequence[str],
    documents: Iterator[Ids],
    tokens: int,
    batch_tokens: int,
    bos_id: int | None,
    start: int = 0,
) -> Iterator[Tensor]:
    """Rounds of activations [site, tokens, d_model] from number `start` on.

    documents: endless. Every round is the same tensor, filled anew: use it before the next.
    """
    buffer = torch.empty(len(sites), tokens, model.d_model, device=model.device)
    for number, group in enumerate(groups(documents, tokens, bos_id)):
        if number >= start:
            yield _fill(buffer, model, sites, group, batch_tokens, bos_id)


def groups(documents: Iterator[Ids], tokens: int, bos_id: int | None) -> Iterator[list[Ids]]:
    """Consecutive documents that together have at least `tokens` tokens, BOS not counted."""
    group: list[Ids] = []
    held = 0
    for ids in documents:
        group.append(ids)
        held += len(ids) - (ids[0] == bos_id)
        if held >= tokens:
            yield group
            group, held = [], 0


def _fill(
    buffer: Tensor,
    model: LanguageModel,
    sites: Sequence[str],
    documents: Sequence[Ids],
    batch_tokens: int,
    bos_id: int | None,
) -> Tensor:
    """The buffer, filled with the documents' activations at every site."""
    at, capacity = 0, buffer.shape[1]
    for batch in batches(documents, batch_tokens, model.device):
        found = activations(model, batch.ids, sites)
        chosen = content(batch, bos_id)
        for row, site in enumerate(sites):
            x = found[site][chosen]
            end = min(at + len(x), capacity)
            buffer[row, at:end] = x[: end - at]
        at = end
    return buffer
