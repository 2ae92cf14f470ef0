"""States and gradients of examples as edges need them, and the edges by their definition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dagster_project.interp.edges import (
    Targets,
    Terms,
    active,
    pull_back,
    terms,
    through_projection,
    upstream,
    weights,
)
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import attribute
from dagster_project.interp.site_names import USUAL, in_forward_order, site_names
from dagster_project.interp.states import SiteState
from dagster_project.studies.study import NodeEffectsSpec
from tests.interp import spliced


class Case:
    """States and gradients of a model's examples."""

    def __init__(
        self, model: LanguageModel, given: spliced.Case, kinds: Sequence[str] = USUAL
    ) -> None:
        self.model, (self.examples, self.bos_id) = model, given
        self.dictionaries = spliced.random_dictionaries(model, kinds=kinds)
        names = in_forward_order([*site_names(model.n_layers), *self.dictionaries])
        self.clean = spliced.states(model, self.examples.clean.ids, names)
        patch = spliced.patch_states(model, self.examples, names)
        self.counted = self.examples.counted(self.bos_id) & self.examples.changed
        self.states, self.nodes = {}, {}
        spec, bos_id = NodeEffectsSpec(steps=2), self.bos_id
        for a in attribute(model, self.dictionaries, self.examples, spec, 1000, bos_id):
            gradient = torch.zeros_like(a.gradient)
            gradient[a.examples] = a.gradient
            self.states[a.site] = SiteState(self.clean[a.site], patch.get(a.site), gradient)
            self.nodes[a.site] = a.nodes._replace(example=a.examples[a.nodes.example])

    def terms(self, site: str) -> Terms:
        """All features and the error of a site, at every counted token."""
        dictionary, state = self.dictionaries[site], self.states[site]
        every = torch.arange(dictionary.n_features)
        return terms(dictionary, state, self.counted, every, self.counted)

    def busiest(self, site: str, n: int = 3) -> list[int]:
        """The features active at most tokens, and the error."""
        often = (self.terms(site).on & self.counted[..., None]).sum((0, 1))
        return [*often.topk(n).indices.tolist(), -1]

    def targets(self, site: str, features: list[int]) -> Targets:
        """Every counted token of these features, where an edge into them exists."""
        token = self.counted.nonzero()
        example, pos = (column.repeat_interleave(len(features)) for column in token.T)
        found = Targets(example, pos, torch.tensor(features).repeat(len(token)))
        return found.take(active(self.terms(site), found).nonzero()[:, 0])

    def raw(self, up: str, site: str, targets: Targets, batch_tokens: int = 64) -> Tensor:
        """Edges [target, position, F + 1] from all features and the error of a site."""
        above, below, width = self.terms(up), self.terms(site), self.dictionaries[up].n_features
        raw = torch.zeros(len(targets.pos), *self.counted.shape[1:], width + 1).double()
        for pulled in pull_back(
            self.model, site, self.clean, below, targets, batch_tokens, width, self.dictionaries
        ):
            here = pulled
            if up.startswith("z"):
                here = through_projection(self.model, up, self.clean, pulled)
            value = weights(above, here)
            raw[pulled.row[:, None, None], pulled.pos[:, :, None], above.feature] = value
        return raw

    def edges_into(self, site: str, targets: Targets) -> Iterator[tuple[str, Tensor]]:
        """(site before, edges [target, position, F + 1]) of all sites before."""
        parallel = self.model.parallel
        for up in upstream(site, self.dictionaries, self.model.n_layers, parallel=parallel):
            yield up, self.raw(up, site, targets)

    def expected(
        self, up: str, site: str, features: list[int]
    ) -> dict[tuple[int, int, int], Tensor]:
        """(example, position, feature) -> edges [position, F + 1], by autograd."""
        gradient, n_positions = self.states[site].gradient, self.counted.shape[1]
        nodes: list[tuple[int | None, int]] = [
            (pos, i) for i in features for pos in range(n_positions)
        ]
        found = spliced.edges(
            self.model, self.dictionaries, self.examples, (up, site), gradient, nodes, self.bos_id
        )
        return {
            (example, pos or 0, i): found[row, example]
            for row, (pos, i) in enumerate(nodes)
            for example in range(len(self.examples))
        }
