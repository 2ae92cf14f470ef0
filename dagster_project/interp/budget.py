"""Memory budget: how many tokens a batch of circuit discovery may have.

A batch is as large as the study asks for, unless its estimate exceeds a share of the memory that is
free; then it is halved until it fits, so that small changes of what is free change no result's
rounding. A batch holds, in the model's dtype, what a backward needs of each layer (some twelve
streams: norms, queries, keys, values and their rotations, outputs, sums; three hidden layers of the
MLP) and three streams a site (clean, patched, gradient); a site's features come in blocks of BLOCK
numbers, of which up to four are held at a time. A model of less than float32 has its unembedding in
float32 once more.
"""

from __future__ import annotations

from typing import NamedTuple

import psutil
import torch

from dagster_project.interp.model import LanguageModel
from dagster_project.interp.states import BLOCK

STREAMS, HIDDEN, SITE_STREAMS, BLOCKS = 12, 3, 3, 4


class Budget(NamedTuple):
    """A batch that fits."""

    tokens: int  # padding included
    estimate: int  # bytes that it takes
    limit: int  # bytes that it may take

    @property
    def figures(self) -> dict[str, int]:
        """For a run's metadata."""
        sizes = {"estimate": self.estimate, "limit": self.limit}
        in_mib = {f"memory of a batch, {k}, MiB": v >> 20 for k, v in sizes.items()}
        return {"tokens in a batch": self.tokens, **in_mib}


def budget(model: LanguageModel, n_sites: int, most_tokens: int, share: float) -> Budget:
    """The largest batch of most_tokens, a half, a quarter, … of it that fits the share of free
    memory; one token if none does. n_sites: with a dictionary."""
    limit = int(share * free_memory(model.device))
    tokens = most_tokens
    while tokens > 1 and estimate(model, n_sites, tokens) > limit:
        tokens //= 2
    return Budget(tokens, estimate(model, n_sites, tokens), limit)


def estimate(model: LanguageModel, n_sites: int, tokens: int) -> int:
    """Bytes that a batch of tokens takes besides the model and its dictionaries."""
    config = model.hf.config.get_text_config()
    hidden = getattr(config, "intermediate_size", None) or 4 * model.d_model  # GPT-2 says None
    by_layer = STREAMS * model.d_model + HIDDEN * hidden
    numbers = tokens * (model.n_layers * by_layer + SITE_STREAMS * n_sites * model.d_model)
    itemsize = model.hf.dtype.itemsize
    widened = 0 if itemsize >= 4 else 4 * model.n_vocab * model.d_model
    return itemsize * numbers + BLOCKS * 4 * BLOCK + widened


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device."""
    if device.type == "cuda":  # what PyTorch holds unused is free, too
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    return psutil.virtual_memory().available
