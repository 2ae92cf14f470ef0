"""Evaluation: F of a model that keeps a set of nodes and holds all others at an ablation's values.

At every site, in forward order on the already edited stream: f = encode(x), ε = x − decode(f);
kept nodes stay, the others take their values; x' = decode(f') + ε' (Marks et al. 2024, section
3.2). Since decode is affine, with values f_a and a = decode(f_a) + ε_a, and K, K_ε ∈ {0, 1}:
x' = ((K − K_ε) ⊙ (f − f_a)) W_dec + (x where the error node is kept, a where it is not). One encode
and one decode a site; keeping everything, or nothing, is exact. Positions that do not count
(padding, BOS) stay.

Cost: a forward for each set of nodes and each example, with an encode and a decode at each site;
sets and examples are stacked into batches. Memory: a few times one site's features of a batch, at
most ENCODED numbers (one example at least).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dagster_project.interp.ablation import ENCODED, Rows, SiteValues, Task, Values
from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.sites import at_last, final_hidden
from dagster_project.studies.study import ErrorMode

STACKED = 32
"""Sets of nodes in a batch, where there are so many: the fewer examples, the less padding."""


@dataclass(frozen=True)
class NodeSet:
    """Kept nodes: those listed, or all the others."""

    nodes: Mapping[str, Tensor]  # site -> [n, 2]: position (−1: every one), feature (−1: error)
    complement: bool = False
    errors: ErrorMode = "default"  # applied after complementing

    def keeps(self, site: str, n_positions: int, n_features: int) -> tuple[Tensor, Tensor]:
        """Kept features [position, feature] and error nodes [position] of a site, bool.

        One position, which stands for all, where all nodes are listed for every position.
        """
        nodes = self.nodes.get(site, torch.empty(0, 2, dtype=torch.int64))
        everywhere = nodes[:, 0] < 0
        length = 1 if everywhere.all() else n_positions
        kept = torch.zeros(length, n_features + 1, dtype=torch.bool)
        kept[:, nodes[everywhere, 1]] = True  # feature −1 is the last column
        kept[nodes[~everywhere, 0], nodes[~everywhere, 1]] = True
        kept ^= self.complement
        if self.errors != "default":
            kept[:, -1] = self.errors == "keep"
        return kept[:, :-1], kept[:, -1]

    def others(self) -> NodeSet:
        """The complement."""
        return replace(self, complement=not self.complement)


NOTHING = NodeSet({})


def evaluate(task: Task, sets: Sequence[NodeSet], values: Values) -> Tensor:
    """F [set, example] with only the nodes of each set kept at the dictionaries' sites."""
    result = torch.empty(len(sets), len(task.examples))
    widest = max(d.n_features for d in task.dictionaries.values())
    tokens = min(task.batch_tokens, ENCODED // widest)
    order = task.examples.clean.lengths.argsort(stable=True)  # like lengths: little padding
    for first, part in task.examples.take(order).portions(tokens // STACKED):
        rows = order[first : first + len(part)]
        here = task._replace(examples=part)
        size = max(1, tokens // part.clean.ids.numel())
        for start in range(0, len(sets), size):
            edit = Edit(here, sets[start : start + size], values, rows)
            result[start : start + size, rows.cpu()] = metric_under(edit)
    return result


@dataclass(frozen=True)
class Edit:
    """The edit of a batch: every set applied to every example."""

    task: Task  # of the batch's examples
    sets: Sequence[NodeSet]
    values: Values
    rows: Tensor  # [example] places in the split

    def __call__(self, site: str, x: Tensor) -> Tensor:
        """x [set × example, position, d_model] -> x', the same shape."""
        dictionary, examples = self.task.dictionaries[site], self.task.examples
        stacked = x.unflatten(0, (len(self.sets), -1))  # [set, example, position, d_model]
        features, errors = self._kept(site, x.shape[1], dictionary.n_features)
        values = self.values.at(site, Rows(self.rows, examples.clean))
        edited = splice(dictionary, stacked, features, errors, values)
        counted = examples.counted(self.task.bos_id)[..., None]
        return torch.where(counted, edited, stacked).flatten(0, 1)

    def _kept(self, site: str, n_positions: int, n_features: int) -> tuple[Tensor, Tensor]:
        """[set, 1, position or 1, feature] and [set, 1, position or 1, 1]."""
        kept = [s.keeps(site, n_positions, n_features) for s in self.sets]
        length = max(len(errors) for _, errors in kept)
        features = torch.stack([f.expand(length, -1) for f, _ in kept])
        errors = torch.stack([e.expand(length) for _, e in kept])
        device = self.rows.device
        return features[:, None].to(device), errors[:, None, :, None].to(device)


def splice(
    dictionary: Dictionary, x: Tensor, features: Tensor, errors: Tensor, values: SiteValues
) -> Tensor:
    """x' = decode(where(features, f, f_a)) + where(errors, ε, ε_a); shapes broadcast to x's."""
    change = dictionary.encode(x) - values.features
    change *= features.to(x.dtype) - errors.to(x.dtype)
    base = torch.where(errors, x, values.stream)
    return dictionary.decode(change) - dictionary.bias + base


def metric_under(edit: Edit) -> Tensor:
    """F [set, example] of the model under an edit."""
    task, n_sets = edit.task, len(edit.sets)
    clean = task.examples.clean
    ids, lengths = clean.ids.repeat(n_sets, 1), clean.lengths.repeat(n_sets)
    hidden = final_hidden(task.model, ids, edit, list(task.dictionaries))
    metric = task.examples.evaluation_metric().repeat(n_sets)
    return metric(task.model, at_last(hidden, lengths)).unflatten(0, (n_sets, -1)).cpu()


def metric_of_model(task: Task) -> Tensor:
    """F [example] of the model as it is."""
    parts = []
    for _, part in task.examples.portions(task.batch_tokens):
        hidden = at_last(final_hidden(task.model, part.clean.ids), part.clean.lengths)
        parts.append(part.evaluation_metric()(task.model, hidden).cpu())
    return torch.cat(parts)
