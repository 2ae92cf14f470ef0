"""The model as it is trained: GPT-NeoX in float32, its loss and its gradient, on one CPU thread.

The same numbers as transformers' `GPTNeoXForCausalLM`, in two thirds of the time: q and k are
rotated in one pass that copies nothing else, and the logits exist for `ROWS` tokens at a time, in
which the loss and its gradient are made at once, so that they never leave the cache. Batches are
right-padded documents: under a causal mask padding never reaches a real token.
Cost: about 6 FLOPs a parameter and token, forward and backward. No dropout, no cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from transformers import GPTNeoXForCausalLM

ROWS = 256  # tokens whose logits are in memory at a time
BASE = 10_000.0  # of the rotary frequencies


class Shape(NamedTuple):
    """What a model is made of."""

    vocabulary: int
    n_layers: int
    d_model: int
    n_heads: int
    positions: int


class Padded(NamedTuple):
    """Documents of a batch."""

    ids: Tensor  # [document, position] int64, right-padded
    lengths: Tensor  # [document] tokens, BOS included

    @property
    def predicts(self) -> Tensor:
        """[document, position] bool: the next token is one of the document's."""
        return torch.arange(self.ids.shape[1]) < self.lengths[:, None] - 1


def new_model(shape: Shape, seed: int) -> GPTNeoXForCausalLM:
    """A seeded model: tied embeddings, rotary positions on whole heads, attention and MLP of a
    layer side by side as in Pythia."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.d_model,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        intermediate_size=4 * shape.d_model,
        max_position_embeddings=shape.positions,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": BASE,
            "partial_rotary_factor": 1.0,
        },
        hidden_dropout=0.0,
        attention_dropout=0.0,
        use_parallel_residual=True,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        attn_implementation="sdpa",
    )
    return GPTNeoXForCausalLM(config)


def backward(model: GPTNeoXForCausalLM, batch: Padded) -> float:
    """Summed loss of a batch in nats; its gradient is added to the parameters'."""
    stream = hidden(model, batch.ids)
    embedding = model.gpt_neox.embed_in.weight
    found = _loss_gradient(stream.detach(), embedding.detach(), batch)
    torch.autograd.backward([stream], [found.stream])  # nnsight replaces Tensor.backward
    embedding.grad += found.embedding
    return found.loss


def hidden(model: GPTNeoXForCausalLM, ids: Tensor) -> Tensor:
    """The normalised stream [document, position, d_model] that the unembedding reads."""
    n_heads = model.config.num_attention_heads
    stream = model.gpt_neox.embed_in(ids)
    angles = _angles(ids.shape[1], stream.shape[-1] // n_heads)
    for layer in model.gpt_neox.layers:
        attention = layer.attention
        qkv = attention.query_key_value(layer.input_layernorm(stream))
        query, key, value = _Rotation.apply(
            qkv.unflatten(-1, (n_heads, -1)), angles.cos(), angles.sin()
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        inner = layer.mlp.dense_h_to_4h(layer.post_attention_layernorm(stream))
        stream = (
            stream
            + attention.dense(mixed.transpose(1, 2).flatten(-2))
            + layer.mlp.dense_4h_to_h(functional.gelu(inner))
        )
    return model.gpt_neox.final_layer_norm(stream)


@torch.no_grad()
def token_losses(model: GPTNeoXForCausalLM, batch: Padded) -> Tensor:
    """−log p of each document's tokens but the first, one document after the other, in nats."""
    embedding = model.gpt_neox.embed_in.weight
    stream = hidden(model, batch.ids)[:, :-1]
    predicts = batch.predicts[:, :-1]
    rows = zip(stream[predicts].split(ROWS), batch.ids[:, 1:][predicts].split(ROWS), strict=True)
    parts = [
        functional.cross_entropy(x @ embedding.T, next_ids, reduction="none")
        for x, next_ids in rows
    ]
    return torch.cat(parts)


class _LossGradient(NamedTuple):
    loss: float  # summed, nats
    stream: Tensor  # ∂loss/∂stream, shaped as the stream
    embedding: Tensor  # ∂loss/∂embedding by way of the logits


def _loss_gradient(stream: Tensor, embedding: Tensor, batch: Padded) -> _LossGradient:
    """Of the summed cross-entropy: p − 1 at the token that came, p elsewhere, is its gradient by
    the logits."""
    flat, loss = stream.flatten(0, 1), 0.0
    of_stream, of_embedding = torch.zeros_like(flat), torch.zeros_like(embedding)
    for rows, next_ids in _predictions(batch):
        x = flat[rows]
        p = torch.softmax(x @ embedding.T, -1)
        place = (torch.arange(len(rows)), next_ids)
        loss -= float(p[place].clamp_min(torch.finfo(p.dtype).tiny).log().sum())
        p[place] -= 1
        of_stream[rows] = p @ embedding
        of_embedding.addmm_(p.T, x)
    return _LossGradient(loss, of_stream.view_as(stream), of_embedding)


def _predictions(batch: Padded) -> Iterator[tuple[Tensor, Tensor]]:
    """(rows of the flattened batch, the tokens that come next), ROWS at a time."""
    rows = batch.predicts.flatten().nonzero()[:, 0]
    following = batch.ids.flatten()[rows + 1]
    yield from zip(rows.split(ROWS), following.split(ROWS), strict=True)


def _angles(positions: int, head_size: int) -> Tensor:
    """[position, 1, head_size / 2] of the rotary embedding."""
    exponents = torch.arange(0, head_size, 2) / head_size
    frequencies = torch.exp(-math.log(BASE) * exponents)
    return (torch.arange(positions)[:, None] * frequencies)[:, None]


class _Rotation(torch.autograd.Function):
    """Queries, keys and values [document, head, position, size] of the projection's output
    [document, position, head, 3 · size]; queries and keys rotated by the angles."""

    @staticmethod
    def forward(ctx, qkv, cos, sin):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(cos, sin)
        *rotated, value = qkv.chunk(3, -1)
        found = []
        for x in rotated:
            y = torch.empty_like(x)
            _rotate(x, cos, sin, y)
            found.append(y)
        return tuple(y.transpose(1, 2) for y in (*found, value))

    @staticmethod
    def backward(ctx, *gradients):  # type: ignore[no-untyped-def]
        cos, sin = ctx.saved_tensors
        parts = [g.transpose(1, 2) for g in gradients]
        whole = parts[0].new_empty(*parts[0].shape[:-1], 3 * parts[0].shape[-1])
        query, key, value = whole.chunk(3, -1)
        _rotate(parts[0], cos, -sin, query)
        _rotate(parts[1], cos, -sin, key)
        value.copy_(parts[2])
        return whole, None, None


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, to: Tensor) -> None:
    """Write x [.., position, head, size], its halves rotated against each other."""
    first, second = x.chunk(2, -1)
    to_first, to_second = to.chunk(2, -1)
    torch.mul(first, cos, out=to_first)
    to_first.addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=to_second)
    to_second.addcmul_(first, sin)
