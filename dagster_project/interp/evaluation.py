"""Evaluation: F of a model that keeps a set of nodes and holds all others at an ablation's values.

At every site, in forward order on the already edited stream: f = encode(x), ε = x − decode(f);
kept nodes stay, the others take their values; x' = decode(f') + ε' (Marks et al. 2024, section
3.2). A set either lists what it keeps or, as a complement, what it does not (σ = 1 or −1), so
that with values f_a, x̂_a = decode(f_a) and a = x̂_a + ε_a, and K_ε = 1 where the error is kept,

    x' = (K_ε ? x : a) + σ Σ_listed (f_i − f_a,i) W_dec[i] + ([σ = −1] − K_ε) (x̂ − x̂_a).

Only listed features are decoded, and only tokens at which there are such, or at which errors fare
otherwise than the features that are not listed, are encoded. Keeping everything, or nothing, is
exact. Positions that do not count (padding, BOS) stay; in the last layer, where nothing else is
read, only the prompt's last is edited, and from the MLP on only that one is computed.

Cost: a forward for each different set of nodes and each example, with an encode at each site; sets
and examples are stacked into batches. Memory: a few times one site's features of a batch's
examples, at most ENCODED numbers (one example at least), and a batch's activations.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from dagster_project.interp.ablation import ENCODED, Rows, SiteValues, Task, Values
from dagster_project.interp.dictionary import Dictionary, IdentityDictionary
from dagster_project.interp.encoding import encode_some
from dagster_project.interp.site_names import parse_site
from dagster_project.interp.sites import Batch, last_hidden
from dagster_project.studies.study import ErrorMode

STACKED = 8
"""Sets of nodes in a batch, where there are so many: the fewer examples, the less padding."""


class Kept(NamedTuple):
    """A set of nodes at one site; one position stands for all where none is listed by position."""

    features: Tensor  # [column] those listed at any position, ascending
    listed: Tensor  # [position or 1, column] bool
    errors: Tensor  # [position or 1] bool: whether the error node is kept
    complement: bool  # kept are the features that are not listed

    @property
    def apart(self) -> Tensor:
        """[position or 1] bool: the error node and the features not listed fare differently."""
        return self.errors != self.complement

    def to(self, device: torch.device) -> Kept:
        features, listed, errors = (column.to(device) for column in self[:3])
        return Kept(features, listed, errors, self.complement)


@dataclass(frozen=True)
class NodeSet:
    """Kept nodes: those listed, or all the others."""

    nodes: Mapping[str, Tensor]  # site -> [n, 2]: position (−1: every one), feature (−1: error)
    complement: bool = False
    errors: ErrorMode = "default"  # applied after complementing

    def at(self, site: str, n_positions: int) -> Kept:
        """The set at one site, on prompts of n_positions."""
        nodes = self.nodes.get(site, torch.empty(0, 2, dtype=torch.int64))
        nodes = nodes[nodes[:, 0] < n_positions]  # a shorter prompt has no others
        everywhere = nodes[:, 0] < 0
        features, column = nodes[:, 1].unique(return_inverse=True)
        length = 1 if everywhere.all() else n_positions
        listed = torch.zeros(length, len(features), dtype=torch.bool)
        listed[:, column[everywhere]] = True
        listed[nodes[~everywhere, 0], column[~everywhere]] = True
        is_error = features < 0
        errors = listed[:, is_error].any(1) ^ self.complement
        if self.errors != "default":
            errors = torch.full_like(errors, self.errors == "keep")
        return Kept(features[~is_error], listed[:, ~is_error], errors, self.complement)

    def others(self) -> NodeSet:
        """The complement."""
        return replace(self, complement=not self.complement)

    @property
    def key(self) -> Hashable:
        """Equal for sets that keep the same nodes, where these are listed in the same order."""
        nodes = {site: rows.tolist() for site, rows in self.nodes.items()}
        errors = self.errors
        if errors == "default" and all(f >= 0 for rows in nodes.values() for _, f in rows):
            errors = "keep" if self.complement else "remove"
        return str(nodes), self.complement, errors


NOTHING = NodeSet({})


def evaluate(task: Task, sets: Sequence[NodeSet], values: Values) -> Tensor:
    """F [set, example] with only the nodes of each set kept at the dictionaries' sites.

    Sets that keep the same are evaluated once.
    """
    if all(isinstance(d, IdentityDictionary) for d in task.dictionaries.values()):
        sets = [replace(s, errors="default") for s in sets]  # there are no errors to treat
    different = {s.key: s for s in sets}
    place = {key: i for i, key in enumerate(different)}
    return _evaluate(task, [*different.values()], values)[[place[s.key] for s in sets]]


def _evaluate(task: Task, sets: Sequence[NodeSet], values: Values) -> Tensor:
    dtype = torch.promote_types(task.model.hf.dtype, torch.float32)  # of the metric
    result = torch.empty(len(sets), len(task.examples), dtype=dtype)
    clean, device = task.examples.clean, task.examples.device
    kept = [
        {site: s.at(site, clean.ids.shape[1]).to(device) for site in task.dictionaries}
        for s in sets
    ]
    widest = max(d.n_features for d in task.dictionaries.values())
    tokens = min(task.batch_tokens // STACKED, ENCODED // widest)
    order = clean.lengths.argsort(stable=True)  # like lengths: little padding
    for first, part in task.examples.take(order).portions(tokens):
        rows = order[first : first + len(part)]
        here = task._replace(examples=part)
        size = max(1, task.batch_tokens // part.clean.ids.numel())
        for start in range(0, len(sets), size):
            edit = Edit(here, kept[start : start + size], values, rows)
            result[start : start + size, rows.cpu()] = metric_under(edit)
    return result


@dataclass(frozen=True)
class Edit:
    """The edit of a batch: every set applied to every example."""

    task: Task  # of the batch's examples
    sets: Sequence[Mapping[str, Kept]]  # by site
    values: Values
    rows: Tensor  # [example] places in the split

    def __call__(self, site: str, x: Tensor) -> Tensor:
        """x [set × example, position, d_model] -> x', the same shape; one position: the last."""
        dictionary = self.task.dictionaries[site]
        edited = x.clone().unflatten(0, (len(self.sets), -1))  # [set, example, position, d_model]
        here = self._edited(site)
        example, pos = here.nonzero(as_tuple=True)
        values = self.values.at(site, Rows(self.rows, self.task.examples.clean))
        held = Held.of(values, values.row.expand(here.shape)[example, pos], pos)
        place = pos if x.shape[1] > 1 else torch.zeros_like(pos)
        tokens = [
            splice(dictionary, own, kept[site], held)
            for own, kept in zip(
                edited[:, example, place].to(values.stream), self.sets, strict=True
            )
        ]
        edited[:, example, place] = torch.stack(tokens).to(x)
        return edited.flatten(0, 1)

    def _edited(self, site: str) -> Tensor:
        """[example, position] bool: where the site is edited."""
        examples = self.task.examples
        counted = examples.counted(self.task.bos_id)
        if parse_site(site).layer < self.task.model.n_layers - 1:
            return counted
        here = torch.arange(counted.shape[1], device=counted.device)
        return counted & (here == examples.clean.lengths[:, None] - 1)


class Held(NamedTuple):
    """What ablated nodes hold at one site's tokens."""

    pos: Tensor  # [token] positions
    row: Tensor  # [token] rows of features
    features: Tensor  # f_a [row, feature]
    decoded: Tensor  # x̂_a [token, d_model]
    stream: Tensor  # a [token, d_model]

    @classmethod
    def of(cls, values: SiteValues, row: Tensor, pos: Tensor) -> Held:
        return cls(pos, row, values.features, values.decoded[row], values.stream[row])


def splice(dictionary: Dictionary, x: Tensor, kept: Kept, held: Held) -> Tensor:
    """x' [token, d_model] of x."""
    at = held.pos if len(kept.errors) > 1 else torch.zeros_like(held.pos)
    edited = x.where(kept.errors[at, None], held.stream)
    moving = (kept.listed.any(1) | kept.apart)[at]
    if moving.all():
        return edited.add_(_moved(dictionary, x, kept, at, held))
    if moving.any():
        part = Held(
            held.pos[moving], held.row[moving], held.features, held.decoded[moving], held.stream
        )
        edited[moving] += _moved(dictionary, x[moving], kept, at[moving], part)
    return edited


def _moved(dictionary: Dictionary, x: Tensor, kept: Kept, at: Tensor, held: Held) -> Tensor:
    """x' less its first term, at rows of kept [token]."""
    found = encode_some(dictionary, x, kept.features, decoded=bool(kept.apart.any()))
    change = found.features - held.features[:, kept.features][held.row]
    if len(kept.listed) > 1:
        change *= kept.listed[at]
    moved = change @ dictionary.decoder_rows(kept.features)
    if kept.complement:
        moved.neg_()
    if found.decoded is not None:
        sign = int(kept.complement) - kept.errors.to(moved)
        moved.addcmul_(sign[at, None], found.decoded - held.decoded)
    return moved


def metric_under(edit: Edit) -> Tensor:
    """F [set, example] of the model under an edit."""
    task, n_sets = edit.task, len(edit.sets)
    clean = task.examples.clean
    prompts = Batch(clean.ids.repeat(n_sets, 1), clean.lengths.repeat(n_sets))
    hidden = last_hidden(task.model, prompts, edit, list(task.dictionaries))
    metric = task.examples.evaluation_metric().repeat(n_sets)
    return metric(task.model, hidden).unflatten(0, (n_sets, -1)).cpu()


def metric_of_model(task: Task) -> Tensor:
    """F [example] of the model as it is."""
    parts = []
    for _, part in task.examples.portions(task.batch_tokens):
        hidden = last_hidden(task.model, part.clean)
        parts.append(part.evaluation_metric()(task.model, hidden).cpu())
    return torch.cat(parts)
