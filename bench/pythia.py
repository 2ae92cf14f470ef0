"""A model and dictionaries of Pythia-70m's shape with random weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary, SparseDictionary
from dagster_project.interp.loading import wrap
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import site_names
from tests.interp import spliced
from tests.interp.hooked import edited

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WIDTH, LAYERS, VOCABULARY, FEATURES, ACTIVE = 512, 6, 50_304, 32_768, 64
LAYER = 12 * WIDTH**2  # weights of a layer


def pythia(device: torch.device, dtype: torch.dtype = torch.float32) -> LanguageModel:
    """Of Pythia-70m's shape, with random weights."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(0)
    config = GPTNeoXConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=8,
        intermediate_size=4 * WIDTH,
        vocab_size=VOCABULARY,
        use_parallel_residual=True,
    )
    return wrap(GPTNeoXForCausalLM(config).to(device, dtype), cast("PreTrainedTokenizerBase", None))


def sparse_dictionaries(model: LanguageModel, ids: Tensor) -> dict[str, Dictionary]:
    """Random directions, with biases by which about ACTIVE of them are on at a token."""
    sites = site_names(model.n_layers)
    seen = spliced.states(model, ids[:4], sites)
    made: dict[str, Dictionary] = {}
    for site in sites:
        rows = torch.nn.functional.normalize(torch.randn(FEATURES, WIDTH)).to(ids.device)
        least = (seen[site].flatten(0, 1) @ rows.T).topk(ACTIVE).values[:, -1].mean()
        made[site] = SparseDictionary(
            rows,
            torch.full((FEATURES,), -float(least), device=ids.device),
            rows.clone(),
            torch.zeros(WIDTH, device=ids.device),
        )
    return made


@contextmanager
def in_graph(
    model: LanguageModel, dictionaries: Mapping[str, Dictionary]
) -> Iterator[dict[str, Tensor]]:
    """The model with all dictionaries in its graph, their errors apart; as it runs, their features
    by site [batch, position, feature]."""
    found: dict[str, Tensor] = {}

    def splice(site: str) -> spliced.Edit:
        def edit(x: Tensor) -> Tensor:
            f = dictionaries[site].encode(x)
            found[site] = f if f.requires_grad else f.requires_grad_(True)
            decoded = dictionaries[site].decode(f)
            return decoded + (x - decoded).detach()

        return edit

    with edited(model.hf, model.modules, {site: splice(site) for site in dictionaries}):
        yield found
