"""Edits: a model without some of its nodes, on any text.

The nodes, of a circuit or of a list of features, are held at an ablation's values and all others
are kept, errors included (Marks et al. 2024, section 4: features that a person judges to be beside
the point). At every site with such nodes, in forward order on the already edited stream,
x' = x − Σ (f_i − f_a,i) W_dec[i], and x' = x − ε + ε_a where the error node goes. An edit is of the
model, not of a prompt: it holds wherever the sites are read (`edited_activation`, `final_hidden`).

Cost: a forward, with an encode of the tokens at each site that is edited.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.ablation import Dictionaries, MeanValues, Rows, Values
from dagster_project.interp.encoding import encode
from dagster_project.interp.evaluation import Held, NodeSet, splice
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_selection import node_set
from dagster_project.interp.sequences import content
from dagster_project.interp.sites import Batch, activations
from dagster_project.interp.sites import Edit as SiteEdit
from dagster_project.interp.states import blocks

NODES = pl.Schema({"site": pl.String(), "pos": pl.Int16(), "feature": pl.Int32()})


def listed(features: Iterable[tuple[str, int]]) -> pl.DataFrame:
    """(site, feature) as nodes: site, pos (null: wherever it occurs), feature (−1: the error)."""
    return pl.DataFrame([(site, None, f) for site, f in features], schema=NODES, orient="row")


@dataclass(frozen=True)
class Edit:
    """Nodes that hold an ablation's values instead of their own."""

    dictionaries: Dictionaries
    kept: NodeSet  # all nodes but those ablated
    values: Values
    bos_id: int | None = None  # a token at position 0 that is left as it is; None: all are edited

    @classmethod
    def ablating(
        cls,
        dictionaries: Dictionaries,
        nodes: pl.DataFrame,
        values: Values,
        bos_id: int | None = None,
    ) -> Edit:
        """An edit from rows of circuit_nodes, or `listed` features. Raises ValueError for a node
        that the dictionaries do not have."""
        for site, feature in nodes.select("site", "feature").iter_rows():
            if site not in dictionaries:
                raise ValueError(f"node {site}/{feature}: expected a site of {[*dictionaries]}")
            if not -1 <= feature < (n := dictionaries[site].n_features):
                raise ValueError(f"node {site}/{feature}: expected a feature below {n}, or −1")
        return cls(dictionaries, node_set(nodes).others(), values, bos_id)

    @property
    def sites(self) -> list[str]:
        """Sites where something is ablated, in forward order."""
        return [site for site in self.dictionaries if len(self.kept.nodes.get(site, ()))]

    def on(self, batch: Batch) -> SiteEdit:
        """The edit of a batch's activations (site, [batch, position, d_model]); padding stays."""
        example, pos = content(batch, self.bos_id).nonzero(as_tuple=True)
        rows = Rows(torch.arange(len(batch.ids), device=example.device), batch)

        def edited(site: str, x: Tensor) -> Tensor:
            values = self.values.at(site, rows)
            held = Held.of(values, values.row.expand(x.shape[:2])[example, pos], pos)
            kept = self.kept.at(site, x.shape[1]).to(x.device)
            tokens = x[example, pos].to(values.stream)
            result = x.clone()
            result[example, pos] = splice(self.dictionaries[site], tokens, kept, held).to(x)
            return result

        return edited


def token_means(
    model: LanguageModel,
    dictionaries: Dictionaries,
    batches: Iterable[Batch],
    bos_id: int | None = None,
) -> MeanValues:
    """Means over all tokens of texts but padding and BOS, whatever their position."""
    n_tokens = 0
    features = {site: d.bias.new_zeros(1, d.n_features) for site, d in dictionaries.items()}
    stream = {site: d.bias.new_zeros(1, d.d_model) for site, d in dictionaries.items()}
    for batch in batches:
        counted = content(batch, bos_id)
        n_tokens += int(counted.sum())
        states = activations(model, batch.ids, list(dictionaries))
        for site, dictionary in dictionaries.items():
            x = states[site].to(dictionary.bias)
            stream[site] += x[counted].sum(0)
            for text, pos in blocks(dictionary, counted):
                features[site] += encode(dictionary, x[text, pos]).sum(0)
    features = {site: total / n_tokens for site, total in features.items()}
    return MeanValues(
        features,
        {site: d.decode(features[site]) for site, d in dictionaries.items()},
        {site: total / n_tokens for site, total in stream.items()},
    )
