"""Families: where the modules of a model are, as one row of names each.

A model of a family without a row is tried by the names that most families use (`guesses`). Either
way `family_checks` holds the names against what the model does before anything is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from torch import nn


class Modules(NamedTuple):
    """Where a family's modules are; the last six are names within a layer."""

    layers: str  # path of the list of layers
    norm: str  # path of the norm before the unembedding
    attention: str
    projection: str  # within attention: its output projection, which reads z
    mlp: str
    mid: str  # what reads the stream between attention and MLP first; in parallel layers: any
    attention_norm: str = ""  # of what attention adds, where it is normalised; "": it is not
    mlp_norm: str = ""  # the same of what the MLP adds


_LLAMA = Modules(
    layers="model.layers",
    norm="model.norm",
    attention="self_attn",
    projection="o_proj",
    mlp="mlp",
    mid="post_attention_layernorm",
)
_GEMMA = _LLAMA._replace(
    mid="pre_feedforward_layernorm",
    attention_norm="post_attention_layernorm",
    mlp_norm="post_feedforward_layernorm",
)

FAMILIES = {
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "gpt2": Modules(
        layers="transformer.h",
        norm="transformer.ln_f",
        attention="attn",
        projection="c_proj",
        mlp="mlp",
        mid="ln_2",
    ),
    "gpt_neox": Modules(
        layers="gpt_neox.layers",
        norm="gpt_neox.final_layer_norm",
        attention="attention",
        projection="dense",
        mlp="mlp",
        mid="post_attention_layernorm",
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
}
"""By the configuration's model_type."""

_ATTENTION = ("self_attn", "self_attention", "attention", "attn")
_PROJECTION = ("o_proj", "out_proj", "dense", "c_proj", "wo")
_MLP = ("mlp", "feed_forward", "ffn")
_MID = ("pre_feedforward_layernorm", "post_attention_layernorm", "ln_2", "norm_2", "ffn_norm")
_ATTENTION_NORM = ("", "post_attention_layernorm", "post_self_attn_layernorm")
_MLP_NORM = ("", "post_feedforward_layernorm", "post_mlp_layernorm")
_NORM = ("norm", "final_layer_norm", "final_layernorm", "ln_f", "norm_f")


def guesses(model: nn.Module, n_layers: int) -> Iterator[Modules]:
    """Rows for a model without one, by the names that its modules have; none where a part has no
    name that is known."""
    for path, layers in model.named_modules():
        if not isinstance(layers, nn.ModuleList) or len(layers) != n_layers:
            continue
        parent = path.rpartition(".")[0]
        here, within = model.get_submodule(parent), dict(layers[0].named_children())
        norms = [f"{parent}.{name}".lstrip(".") for name in _NORM if hasattr(here, name)]
        for norm, attention, mlp in product(norms, _in(within, _ATTENTION), _in(within, _MLP)):
            projections = _in(dict(within[attention].named_children()), _PROJECTION)
            mids = [*_in(within, _MID), mlp]  # without a norm before it the MLP reads it itself
            after = zip(_ATTENTION_NORM, _MLP_NORM, strict=True)
            pairs = [p for p in after if all(not n or n in within for n in p)]
            for projection, (one, two), mid in product(projections, pairs, mids):
                if mid != one:
                    yield Modules(path, norm, attention, projection, mlp, mid, one, two)


def _in(children: dict[str, nn.Module], names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name in children]
