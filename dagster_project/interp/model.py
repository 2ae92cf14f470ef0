"""Language models: a Hugging Face causal LM, frozen, wrapped by nnsight, and its module names.

A family is one row of `FAMILIES`; a model of another family is refused by name. Attention is
PyTorch's fused one: without a matrix over pairs of positions it is several times as fast on long
documents, forward and backward, and differs from the eager one by rounding (1e-6 relative).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from nnsight import NNsight
    from nnsight.intervention.envoy import Envoy
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


ALL = slice(None)
BLOCK = 1 << 22  # weights of the unembedding made float32 at a time: 16 MiB


class ModelError(ValueError):
    """A model that cannot be loaded or is not supported; the text names it and says why."""


class Family(NamedTuple):
    """Where a family's modules are."""

    layers: str  # path of the list of layers
    attention: str  # name within a layer; returns (output, weights)
    mlp: str  # name within a layer
    norm: str  # path of the norm before the unembedding
    parallel: str  # configuration flag: the MLP reads the stream without attention; "": never


FAMILIES = {
    "gpt_neox": Family(
        layers="gpt_neox.layers",
        attention="attention",
        mlp="mlp",
        norm="gpt_neox.final_layer_norm",
        parallel="use_parallel_residual",
    ),
    "llama": Family(
        layers="model.layers", attention="self_attn", mlp="mlp", norm="model.norm", parallel=""
    ),
}


@dataclass(frozen=True)
class LanguageModel:
    """A frozen causal language model and what attribution must know of it."""

    hf: PreTrainedModel
    nn: NNsight
    tokenizer: PreTrainedTokenizerBase
    family: Family
    parallel: bool  # attention and MLP of a layer read the same stream
    n_layers: int
    d_model: int
    n_vocab: int

    @property
    def device(self) -> torch.device:
        return self.hf.device

    @property
    def layers(self) -> list[Envoy]:
        """The layers as nnsight sees them, for use inside a trace."""
        found = self.nn
        for name in self.family.layers.split("."):
            found = getattr(found, name)
        return found  # a ModuleList's Envoy, which indexes like a list

    def attention(self, layer: int) -> Envoy:
        return getattr(self.layers[layer], self.family.attention)

    def mlp(self, layer: int) -> Envoy:
        return getattr(self.layers[layer], self.family.mlp)

    @property
    def final_norm(self) -> torch.nn.Module:
        """The norm before the unembedding: a LayerNorm, or an RMSNorm with a weight."""
        return self.hf.get_submodule(self.family.norm)

    @property
    def unembedding(self) -> Tensor:
        """W_U [vocabulary, d_model]."""
        return self.hf.get_output_embeddings().weight

    def logits(
        self, hidden: Tensor, tokens: slice | Tensor = ALL, out: Tensor | None = None
    ) -> Tensor:
        """Logits [.., token] of the final, normalised stream [.., d_model], of all tokens or some.

        In float32 where the model is in 16 bits: rounded to bfloat16 they would be up to 0.1 off.
        """
        weights = self.unembedding[tokens]
        if weights.dtype.itemsize == 2:
            return _widened(hidden, weights, out)
        return torch.matmul(hidden, weights.T, out=out)


def _widened(hidden: Tensor, weights: Tensor, out: Tensor | None) -> Tensor:
    """hidden @ weights.T of 16 bits, products and sums in float32. out: float32.

    A GPU's product gives that by itself, without a gradient; else both are made float32, BLOCK
    weights at a time (with a gradient all of them stay), which is exact and as slow as float32.
    """
    if weights.is_cuda and not (hidden.requires_grad and torch.is_grad_enabled()):
        rows = hidden.reshape(-1, hidden.shape[-1])
        product = torch.mm(rows, weights.T, out_dtype=torch.float32, out=out)
        return product.view(*hidden.shape[:-1], len(weights))
    wide, size = hidden.float(), max(1, BLOCK // weights.shape[-1])
    product = torch.cat([wide @ part.float().T for part in weights.split(size)], -1)
    return product if out is None else out.copy_(product)


def load_model(
    source: str | Path,
    revision: str = "",
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> LanguageModel:
    """The model and tokenizer in a local folder or on the hub. Raises ModelError."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(source, revision=revision or None)
        family_of(config.model_type, source)
        hf = AutoModelForCausalLM.from_pretrained(
            source, revision=revision or None, dtype=dtype, attn_implementation="sdpa"
        )
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision or None)
    except ModelError:
        raise
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        message = f"model {source}: neither a folder with a model nor within reach on the hub"
        raise ModelError(f"{message} ({first})") from error
    return wrap(hf.to(device), tokenizer)


def wrap(hf: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> LanguageModel:
    """A loaded Hugging Face model as a LanguageModel. Raises ModelError for other families."""
    from nnsight import NNsight

    hf = hf.eval().requires_grad_(False)
    if hf.device.type == "cuda":  # cuDNN plans its attention anew, 6 ms, for each shape of a batch
        torch.backends.cuda.enable_cudnn_sdp(False)
    family = family_of(hf.config.model_type, hf.config.name_or_path)
    return LanguageModel(
        hf=hf,
        nn=NNsight(hf),
        tokenizer=tokenizer,
        family=family,
        parallel=bool(family.parallel and getattr(hf.config, family.parallel)),
        n_layers=hf.config.num_hidden_layers,
        d_model=hf.config.hidden_size,
        n_vocab=hf.config.vocab_size,
    )


def family_of(model_type: str, source: str | Path) -> Family:
    """The family of a configuration's model_type. Raises ModelError."""
    if model_type not in FAMILIES:
        raise ModelError(
            f'model {source}: family "{model_type}" is not supported; supported: '
            + ", ".join(sorted(FAMILIES))
        )
    return FAMILIES[model_type]
