"""Language models: a frozen Hugging Face causal LM, wrapped by nnsight, and where its parts are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dagster_project.interp.families import Modules
from dagster_project.interp.site_names import parse_site

if TYPE_CHECKING:
    from nnsight import NNsight
    from nnsight.intervention.envoy import Envoy
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


ALL = slice(None)
BLOCK = 1 << 22  # weights of the unembedding made float32 at a time: 16 MiB


class ModelError(ValueError):
    """A model that cannot be loaded or is not supported; the text names it and says why."""


@contextmanager
def within_reach(source: str | Path) -> Iterator[None]:
    """The hub library's errors as ModelError."""
    try:
        yield
    except (OSError, ValueError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        message = f"model {source}: neither a folder with a model nor within reach on the hub"
        raise ModelError(f"{message} ({first})") from error


@dataclass(frozen=True)
class LanguageModel:
    """A frozen causal language model and what attribution must know of it."""

    hf: PreTrainedModel
    nn: NNsight
    tokenizer: PreTrainedTokenizerBase
    modules: Modules
    parallel: bool  # attention and MLP of a layer read the same stream
    n_layers: int
    d_model: int
    d_values: int  # width of z: heads × width of a head
    n_vocab: int
    head_name: str  # path of the unembedding
    cap: float  # logits are cap · tanh(logit / cap); 0: as they are

    @property
    def device(self) -> torch.device:
        """Where batches, dictionaries and the unembedding are: of a model that is spread over
        devices the first that computes."""
        if not (spread := getattr(self.hf, "hf_device_map", None)):
            return self.hf.device
        computing = [device for device in spread.values() if device not in ("cpu", "disk")]
        return torch.device(computing[0] if computing else "cpu")

    def device_of(self, layer: int) -> torch.device:
        """Where a layer is computed."""
        hook = getattr(self.block(layer), "_hf_hook", None)  # of accelerate
        found = getattr(hook, "execution_device", None)
        return self.device if found is None else torch.device(found)

    @property
    def layers(self) -> list[Envoy]:
        """The layers as nnsight sees them, for use inside a trace."""
        return self._found(self.modules.layers)  # a ModuleList's Envoy, which indexes like a list

    def _found(self, path: str) -> Envoy:
        found = self.nn
        for name in path.split("."):
            found = getattr(found, name)
        return found

    @property
    def head(self) -> Envoy:
        """The unembedding as nnsight sees it."""
        return self._found(self.head_name)

    def block(self, layer: int) -> torch.nn.Module:
        """A layer's own module, for use outside a trace."""
        return self.hf.get_submodule(f"{self.modules.layers}.{layer}")

    def part(self, layer: int, name: str) -> Envoy:
        """A module of a layer, by its name there."""
        return getattr(self.layers[layer], name)

    def width(self, site: str) -> int:
        """Numbers in a site's activation."""
        return self.d_values if parse_site(site).kind == "z" else self.d_model

    def projected(self, layer: int, z: Tensor) -> Tensor:
        """What attention of a layer adds [.., d_model], from its values z [.., d_values]."""
        block, modules = self.block(layer), self.modules
        added = block.get_submodule(f"{modules.attention}.{modules.projection}")(z)
        if modules.attention_norm:
            added = block.get_submodule(modules.attention_norm)(added)
        return added.to(self.device)

    @property
    def final_norm(self) -> torch.nn.Module:
        """The norm before the unembedding: a LayerNorm, or an RMSNorm with a weight."""
        return self.hf.get_submodule(self.modules.norm)

    @property
    def unembedding(self) -> Tensor:
        """W_U [vocabulary, d_model]."""
        return self._at_hand("weight")

    @property
    def unembedding_bias(self) -> Tensor | None:
        """[vocabulary] what a logit has by itself, before it is capped."""
        head = self.hf.get_output_embeddings()
        return None if head.bias is None else self._at_hand("bias")

    def _at_hand(self, name: str) -> Tensor:
        """A weight of the unembedding on the model's device, wherever it is kept."""
        head = self.hf.get_output_embeddings()
        if not (found := getattr(head, name)).is_meta:
            return found.to(self.device)
        from accelerate.utils import align_module_device

        with align_module_device(head, self.device):
            return getattr(head, name)

    def logits(
        self, hidden: Tensor, tokens: slice | Tensor = ALL, out: Tensor | None = None
    ) -> Tensor:
        """Logits [.., token] of the final, normalised stream [.., d_model], of all tokens or some.

        In float32 where the model is in 16 bits: rounded to bfloat16 they would be up to 0.1 off.
        """
        weights = self.unembedding[tokens]
        if weights.dtype.itemsize == 2:
            found = _widened(hidden, weights, out)
        else:
            found = torch.matmul(hidden, weights.T, out=out)
        if self.unembedding_bias is not None:
            found = found.add_(self.unembedding_bias[tokens])
        return self.capped(found, in_place=True)

    def capped(self, logits: Tensor, *, in_place: bool = False) -> Tensor:
        """Logits as the model gives them out: soft-capped where it does that (Gemma 2)."""
        if not self.cap:
            return logits
        if not in_place or (logits.requires_grad and torch.is_grad_enabled()):
            return self.cap * torch.tanh(logits / self.cap)
        return logits.div_(self.cap).tanh_().mul_(self.cap)


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
