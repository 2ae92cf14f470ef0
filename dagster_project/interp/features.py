"""Features: how often and how strongly each fires, on which tokens, and with which others.

One forward of the model a batch gives all sites' activations; each site is encoded, a block of
tokens at a time, and its active features are added to the site's tally (`feature_tally`). On a
sample of tokens it is also kept which features are active, for those that fire together
(`feature_neighbours`). A second pass, with a backward, once the examples are known, keeps what each
feature does around its examples (`feature_windows`, `loss_effects`). Padding and a BOS in first
place never count.

Cost of a pass: 2 FLOPs a parameter and token, 6 with the backward, and an encode of every site (2
FLOPs a token and weight of the encoder); of the first, a few dozen passes over the active features
besides. Memory: a batch's activations of all sites, in the second pass its graph too, BLOCK feature
activations of one site, a batch's active features of one; for each feature its examples and
histogram (see `feature_tally`), and 12 bytes for each active token around an example; 8 bytes an
active feature of a sampled token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.corpus import ignore
from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.encoding import encode
from dagster_project.interp.feature_neighbours import by_cosine, by_tokens
from dagster_project.interp.feature_tally import Active, Tally
from dagster_project.interp.feature_tokens import (
    FeatureTokens,
    TokenBatch,
    places,
    token_batches,
)
from dagster_project.interp.feature_windows import Windows
from dagster_project.interp.loss_effects import loss_effects, loss_gradients
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import activations, batch_of
from dagster_project.studies.study import FeaturesSpec

BLOCK = 1 << 20
"""Feature activations of one site held at a time (4 MiB, which stay in a CPU's cache)."""
LEAST_TOKENS = 512
"""Tokens encoded together at least: fewer make slow matrix products."""


class SiteFeatures(NamedTuple):
    """What is known of one site's features."""

    site: str
    features: pl.DataFrame  # feature_tally.FEATURES
    examples: pl.DataFrame  # feature_tally.EXAMPLES, doc_id and pos for token; feature_windows.NEAR
    neighbours: pl.DataFrame  # feature_neighbours.NEIGHBOUR
    active: int  # active features of all tokens, counted as they were encoded
    unfit: int  # tokens and activations that were NaN or infinite, and so left out


@dataclass
class _Site:
    """One site while tokens come in."""

    dictionary: Dictionary
    tally: Tally
    active: int = 0
    unfit: int = 0
    pairs: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # token, feature

    def add(self, x: Tensor, number: Tensor, paired: Tensor) -> None:
        """Tokens x [token, d_model] with their numbers; paired [token]: in the sample."""
        found = active_features(self.dictionary, x, number)
        if not (x.sum() + found.activation.sum()).isfinite():  # seldom: then token by token
            self.unfit += int((~x.isfinite().all(-1)).sum())
            finite = found.activation.isfinite()
            self.unfit += int((~finite).sum())
            found = Active(*(part[finite] for part in found))
        self.active += len(found.token)
        self.tally.add(found)
        chosen = paired[found.token]
        pair = (found.token[chosen], found.feature[chosen])
        self.pairs.append((_narrow(pair[0]), _narrow(pair[1])))


class _Pass(NamedTuple):
    """What the two passes over the tokens have in common."""

    model: LanguageModel
    dictionaries: Mapping[str, Dictionary]
    tokens: FeatureTokens
    batch_tokens: int
    bos_id: int | None
    advance: Callable[[int], None]

    def batches(self) -> Iterator[TokenBatch]:
        """The documents, told of when they are done."""
        device = self.model.device
        for batch in token_batches(self.tokens, self.batch_tokens, self.bos_id, device):
            yield batch
            self.advance(int(batch.batch.lengths.sum()))

    def sites(self) -> Iterator[tuple[TokenBatch, str, Tensor]]:
        """Each batch's site by site: activations of its chosen tokens [token, d_model]."""
        for batch in self.batches():
            found = activations(self.model, batch.batch.ids, list(self.dictionaries))
            for site, dictionary in self.dictionaries.items():
                yield batch, site, found.pop(site)[batch.chosen].to(dictionary.bias)

    def slopes(self) -> Iterator[tuple[TokenBatch, str, Tensor, Tensor]]:
        """The same with the gradients of the losses there, [token, d_model] both."""
        for batch in self.batches():
            x, gradient = loss_gradients(self.model, batch.batch, list(self.dictionaries))
            for site, dictionary in self.dictionaries.items():
                here, slope = (of.pop(site)[batch.chosen] for of in (x, gradient))
                yield batch, site, here.to(dictionary.bias), slope


@torch.no_grad()
def features(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    tokens: FeatureTokens,
    spec: FeaturesSpec,
    batch_tokens: int,
    bos_id: int | None,
    advance: Callable[[int], None] = ignore,
) -> Iterator[SiteFeatures]:
    """Each site's features on the tokens, sites by name. advance: told of tokens done, each twice.

    dictionaries: by site, in forward order.
    """
    sites = {
        site: _Site(d, Tally(d.n_features, spec.top, spec.per_interval, tokens.context))
        for site, d in dictionaries.items()
    }
    walk = _Pass(model, dictionaries, tokens, batch_tokens, bos_id, advance)
    for batch, name, x in walk.sites():
        sites[name].add(x, batch.number, tokens.paired)
    examples = {name: site.tally.examples() for name, site in sites.items()}
    windows = {
        name: Windows(tokens, examples[name], site.dictionary.n_features)
        for name, site in sites.items()
    }
    for batch, name, x, gradient in walk.slopes():
        found = active_features(dictionaries[name], x, batch.number)
        effects = partial(loss_effects, dictionaries[name], found, batch.number, gradient)
        windows[name].add(batch.rows, found, effects)
    for name in sorted(sites):
        near = windows.pop(name).near()
        shown = pl.concat([examples.pop(name), near], how="horizontal")
        yield _result(name, sites.pop(name), tokens, shown)


def active_features(dictionary: Dictionary, x: Tensor, number: Tensor) -> Active:
    """Features above 0 of tokens x [token, d_model] with their numbers [token]."""
    size = max(LEAST_TOKENS, BLOCK // dictionary.n_features)
    parts = []
    for rows, numbers in zip(x.split(size), number.split(size), strict=True):
        f = encode(dictionary, rows)
        place = above_zero(f)
        row = place // dictionary.n_features
        feature = place - row * dictionary.n_features
        parts.append((numbers[row], feature, f.flatten()[place].float()))
    if not parts:
        empty = number.new_zeros(0)
        return Active(empty, empty, x.new_zeros(0).float())
    return Active(*(torch.cat(part) for part in zip(*parts, strict=True)))


def above_zero(f: Tensor) -> Tensor:
    """Places in the flattened tensor of what is above 0; on a CPU numpy takes a quarter of
    torch's time."""
    if f.device.type != "cpu":
        return (f.flatten() > 0).nonzero()[:, 0]
    return torch.from_numpy(np.flatnonzero(f.numpy() > 0))


def _result(name: str, site: _Site, tokens: FeatureTokens, examples: pl.DataFrame) -> SiteFeatures:
    doc_id, pos = places(tokens, examples["token"].to_numpy())
    token, feature = (np.concatenate(part) for part in zip(*site.pairs, strict=True))
    coactive = by_tokens(token, feature, site.dictionary.n_features)
    return SiteFeatures(
        name,
        site.tally.features(int(tokens.counted.sum())),
        examples.with_columns(doc_id=pl.Series(doc_id), pos=pl.Series(pos)).drop("token"),
        pl.concat([by_cosine(site.dictionary), coactive]),
        site.active,
        site.unfit,
    )


def _narrow(numbers: Tensor) -> np.ndarray:
    return numbers.cpu().numpy().astype(np.int32)


@torch.no_grad()
def recompute(
    model: LanguageModel,
    dictionary: Dictionary,
    site: str,
    tokens: FeatureTokens,
    examples: pl.DataFrame,
) -> pl.Series:
    """Activations of examples (feature, doc_id, pos), each of its document alone."""
    found = []
    documents = np.searchsorted(tokens.doc_id, examples["doc_id"].to_numpy())
    for document, feature, pos in zip(documents, examples["feature"], examples["pos"], strict=True):
        ids = tokens.documents[document][: pos + 1]
        x = activations(model, batch_of([ids], model.device).ids, [site])[site][0, -1:]
        found.append(float(encode(dictionary, x.to(dictionary.bias))[0, feature]))
    return pl.Series(found, dtype=pl.Float32)
