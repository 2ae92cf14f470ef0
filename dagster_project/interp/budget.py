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

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
import torch

from dagster_project.interp.model import LanguageModel
from dagster_project.interp.states import BLOCK

if TYPE_CHECKING:
    from transformers import PretrainedConfig

CONTROL_GROUP = Path("/sys/fs/cgroup")
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
    config, dtype = model.hf.config, model.hf.dtype
    limit = int(share * free_memory(model.device))
    tokens = most_tokens
    while tokens > 1 and estimate(config, dtype, n_sites, tokens) > limit:
        tokens //= 2
    return Budget(tokens, estimate(config, dtype, n_sites, tokens), limit)


def estimate(config: PretrainedConfig, dtype: torch.dtype, n_sites: int, tokens: int) -> int:
    """Bytes that a batch of tokens takes besides the model and its dictionaries."""
    config = config.get_text_config()
    d_model, n_layers = config.hidden_size, config.num_hidden_layers
    hidden = getattr(config, "intermediate_size", None) or 4 * d_model  # GPT-2 says None
    by_layer = STREAMS * d_model + HIDDEN * hidden
    numbers = tokens * (n_layers * by_layer + SITE_STREAMS * n_sites * d_model)
    widened = 0 if dtype.itemsize >= 4 else 4 * config.vocab_size * d_model
    return dtype.itemsize * numbers + BLOCKS * 4 * BLOCK + widened


def weights(config: PretrainedConfig, dtype: torch.dtype) -> int:
    """Bytes of a model of this configuration, which is not made."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return dtype.itemsize * AutoModelForCausalLM.from_config(config).num_parameters()


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device; of memory no more than this process's group may have."""
    if device.type == "cuda":  # what PyTorch holds unused is free, too
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    return min(psutil.virtual_memory().available, _left_to_group())


def _left_to_group() -> float:
    """Bytes that the control group of a container has left; without a limit infinite."""
    try:
        most = (CONTROL_GROUP / "memory.max").read_text().strip()
        used = int((CONTROL_GROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (CONTROL_GROUP / "memory.stat").open())
        return math.inf if most == "max" else int(most) - used + int(stat["inactive_file"])
    except (OSError, ValueError, KeyError):  # no Linux, or an older kind of group
        return math.inf
