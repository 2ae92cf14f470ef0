"""Parameter gradients of contexts: what each linear layer's weights would learn from each one.

The loss of a context is −log p of its answer, read at its last token. A linear layer y = W x + c
with inputs x_t and output gradients δ_t = ∂loss/∂y_t has the gradient Σ_t δ_t (x_t, 1)ᵀ over
(W, c): x and δ say all of it, for every context of a batch at once, from one forward and one
backward in which no weight takes part. The layers are all linear ones within the model's blocks;
left out are norms, embeddings and the unembedding (Michaud et al. 2023, section 5).

Cost: with n parameters in these layers and T tokens 4nT FLOPs a context, 2nT for the forward and
2nT back to the inputs. Memory: `numbers_per_token` floats for each token of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import nnsight
import torch
from torch import Tensor, nn

from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import Batch, at_last

if TYPE_CHECKING:
    from nnsight.intervention.envoy import Envoy

BLOCK = 1 << 24
"""Entries of gradients held at a time (64 MiB in float32)."""


class Shape(NamedTuple):
    """Of a layer's gradient."""

    outputs: int
    inputs: int  # one more where the layer has a bias

    @property
    def parameters(self) -> int:
        return self.outputs * self.inputs


class LayerGradient(NamedTuple):
    """The gradient of one linear layer for each context of a batch: Σ_t delta_t x_tᵀ."""

    x: Tensor  # [batch, position, inputs] float32; ends in a 1 where the layer has a bias
    delta: Tensor  # [batch, position, outputs] float32; 0 at padding


def layer_shapes(model: LanguageModel) -> dict[str, Shape]:
    """The linear layers of the model's blocks, by name, in the order in which they are computed."""
    return {
        name: shape
        for name, layer in model.hf.named_modules()
        if name.startswith(f"{model.modules.layers}.") and (shape := _shape(layer))
    }


def _shape(layer: nn.Module) -> Shape | None:
    """Of a linear layer, in either of the forms that models have; None: it is something else."""
    from transformers.pytorch_utils import Conv1D

    if isinstance(layer, Conv1D):  # of GPT-2: a linear layer whose weight is transposed
        return Shape(layer.nf, layer.nx + 1)
    if isinstance(layer, nn.Linear):
        return Shape(layer.out_features, layer.in_features + (layer.bias is not None))
    return None


def numbers_per_token(shapes: Mapping[str, Shape]) -> int:
    """Floats of x and δ that a token of a batch takes."""
    return sum(sum(shape) for shape in shapes.values())


@torch.enable_grad()
def layer_gradients(model: LanguageModel, batch: Batch, answer: Tensor) -> dict[str, LayerGradient]:
    """Each linear layer's gradient of the loss of each context. answer: [batch] token ids."""
    shapes = layer_shapes(model)
    with model.nn.trace(input_ids=batch.ids, use_cache=False):
        stream = model.layers[0].input
        stream.requires_grad_(True)
        found = {}
        for name in shapes:
            layer = _module(model, name)
            found[name] = (layer.input, layer.output)
        hidden = model.head.input
        last = at_last(hidden, batch.lengths)
        model.head.skip(hidden[..., :1])
        found, last = nnsight.save(found), nnsight.save(last)
    total = answer_loss(model.logits(last), answer).sum()
    deltas = torch.autograd.grad(total, [y for _, y in found.values()])
    return {
        name: LayerGradient(
            _inputs(x.to(model.device), shapes[name]),
            delta.to(model.device).float() * batch.real[..., None],
        )
        for (name, (x, _)), delta in zip(found.items(), deltas, strict=True)
    }


def answer_loss(logits: Tensor, answer: Tensor) -> Tensor:
    """−log p of the answers [batch], in nats, from logits [batch, vocabulary].

    As log(1 + Σ_{v≠a} e^(l_v − l_a)), whose gradient keeps its relative precision where the model
    is certain: that of log-softmax is p − 1, in which float32 cancels where p is nearly 1.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    chosen = logits.gather(-1, answer[:, None])
    others = (logits - chosen).scatter(-1, answer[:, None], -torch.inf)
    return nn.functional.softplus(others.logsumexp(-1))


def inner_products(layers: Mapping[str, LayerGradient]) -> Tensor:
    """⟨G, G'⟩ [batch, batch] of all pairs of a batch's contexts, exact.

    A few outputs' rows of the gradients at a time: 2 n (T + batch) FLOPs a context, memory BLOCK.
    """
    total: Tensor | float = 0.0
    for x, delta in layers.values():
        at_once = max(1, BLOCK // (len(x) * x.shape[-1]))
        for part in delta.split(at_once, dim=-1):
            rows = (part.mT @ x).flatten(1)
            total = total + rows @ rows.T
    return torch.as_tensor(total)


def cosines(products: Tensor) -> Tensor:
    """Cosines of the vectors with these inner products [n, n]; NaN with a zero vector."""
    norms = products.diagonal().sqrt()
    return products / norms[:, None] / norms


def _module(model: LanguageModel, name: str) -> Envoy:
    found = model.nn
    for part in name.split("."):
        found = found[int(part)] if part.isdecimal() else getattr(found, part)
    return found


def _inputs(x: Tensor, shape: Shape) -> Tensor:
    return nn.functional.pad(x.detach().float(), (0, shape.inputs - x.shape[-1]), value=1.0)
