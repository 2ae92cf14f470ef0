"""A model of Pythia-70m's shape, with random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from dagster_project.interp.model import LanguageModel, wrap

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WIDTH, LAYERS, VOCABULARY = 512, 6, 50_304
LAYER = 12 * WIDTH**2  # weights of a layer


def pythia(device: torch.device, dtype: torch.dtype = torch.float32) -> LanguageModel:
    """The model, without a tokenizer."""
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
    model = GPTNeoXForCausalLM(config).to(device, dtype)
    return wrap(model, cast("PreTrainedTokenizerBase", None))
