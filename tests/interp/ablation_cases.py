"""Random dictionaries and examples, and a slow, independent evaluation in float64.

The slow evaluation follows the formulas one example at a time, with forward hooks on the Hugging
Face model: no batches, no padding, and x' = decode(f') + ε' as it stands.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dagster_project.interp.dictionary import Dictionary, SparseDictionary
from dagster_project.interp.examples import Examples
from dagster_project.interp.families import Modules
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import site_names
from dagster_project.interp.sites import batch_of
from tests.interp.hooked import edited
from tests.interp.spliced import converted

N_FEATURES = 24


def random_dictionaries(model: LanguageModel) -> dict[str, Dictionary]:
    """A dictionary of 24 features for each site, far from a good one."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.3

    d = model.d_model
    return {
        site: SparseDictionary(draw(N_FEATURES, d), draw(N_FEATURES), draw(N_FEATURES, d), draw(d))
        for site in site_names(model.n_layers)
    }


def random_pairs(lengths: Sequence[int], n_vocab: int = 96, seed: int = 0) -> Examples:
    """Random prompts of these lengths with random patches and answers."""
    generator = torch.Generator().manual_seed(seed)

    def prompts() -> list[list[int]]:
        return [torch.randint(3, n_vocab, (n,), generator=generator).tolist() for n in lengths]

    answers = torch.randint(3, n_vocab - 1, (2, len(lengths)), generator=generator)
    answers[1] += answers[1] == answers[0]
    return Examples(batch_of(prompts()), batch_of(prompts()), answers[0], answers[1])


Edit = Callable[[str, Tensor], Tensor]  # site, x [position, d_model] -> x'


@dataclass(frozen=True)
class SlowModel:
    """A float64 copy of a model and its dictionaries, run by hooks."""

    hf: nn.Module
    modules: Modules
    dictionaries: Mapping[str, SparseDictionary]

    @classmethod
    def of(cls, model: LanguageModel, dictionaries: Mapping[str, Dictionary]) -> SlowModel:
        hf = copy.deepcopy(model.hf).double()
        exact = {s: converted(d) for s, d in dictionaries.items()}
        return cls(hf, model.modules, exact)

    def logits(self, ids: Sequence[int], edit: Edit) -> Tensor:
        """Logits [vocabulary] after a prompt, its sites edited in forward order."""
        edits = {s: lambda x, s=s: edit(s, x[0])[None] for s in self.dictionaries}
        with torch.no_grad(), edited(self.hf, self.modules, edits):
            return self.hf(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0, -1]

    def states(self, ids: Sequence[int]) -> dict[str, Tensor]:
        """Activations [position, d_model] of all sites."""
        found: dict[str, Tensor] = {}

        def note(site: str, x: Tensor) -> Tensor:
            found[site] = x
            return x

        self.logits(ids, note)
        return found
