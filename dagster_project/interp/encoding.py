"""Encoding no more than is asked for: some features of tokens, and if need be what all decode to.

Features of ReLU, JumpReLU and identity dictionaries are independent of each other: the rest need
no encoding. TopK takes all pre-activations and of each token the k-th largest; on a CPU numpy's
partition finds it in a quarter of the time of torch's topk, and x̂ adds up k rows of the decoder.
Cost for a TopK dictionary: 2 FLOPs a token and weight of the encoder, and about as long again for
the selection. Memory: a few times tokens × features numbers. No gradient passes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary, IdentityDictionary, SparseDictionary
from dagster_project.interp.sparse_features import SparseFeatures, joined, sparse_of

ENCODED = 1 << 24
"""Pre-activations held at a time on a CPU (64 MiB in float32)."""
ENCODED_ON_GPU = 1 << 26
"""The same on a GPU, which is idle between small products."""
SPLIT_FROM = 1 << 18
"""Numbers from which on a selection is worth several threads."""

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class Encoded(NamedTuple):
    """Tokens in a dictionary's terms."""

    features: Tensor  # f [token, column] of the features asked for
    decoded: Tensor | None  # x̂ = decode(f of all features) [token, d_model], where asked for


@torch.no_grad()
def encode(dictionary: Dictionary, x: Tensor) -> Tensor:
    """f [token, feature] of all features of tokens x [token, d_model]."""
    if not isinstance(dictionary, SparseDictionary) or dictionary.activation != "topk":
        return dictionary.encode(x)
    pre = _pre_activations(dictionary, x)
    top = top_k(pre, dictionary.k)
    kept = pre.gather(-1, top).relu_()
    return pre.zero_().scatter_(-1, top, kept)


@torch.no_grad()
def active_features(dictionary: Dictionary, x: Tensor) -> SparseFeatures:
    """Those of `encode` that are not 0, of tokens x [token, d_model].

    Some tokens at a time, whose pre-activations are written over those of the tokens before: new
    memory would cost a tenth of the product that fills it.
    """
    if not isinstance(dictionary, SparseDictionary):
        return sparse_of(dictionary.encode(x))
    at_once = ENCODED if x.device.type == "cpu" else ENCODED_ON_GPU
    parts = x.split(max(1, at_once // dictionary.n_features))
    if dictionary.activation == "topk":
        return joined([_largest(dictionary, part) for part in parts])
    space = x.new_empty(len(parts[0]) * dictionary.n_features)
    return joined([_active(dictionary, part, space) for part in parts])


def _largest(dictionary: SparseDictionary, x: Tensor) -> SparseFeatures:
    """The active features of a few tokens, of TopK."""
    pre = _pre_activations(dictionary, x)
    feature = top_k(pre, dictionary.k).sort(dim=-1).values
    value = pre.gather(-1, feature)
    token, place = (value > 0).nonzero(as_tuple=True)
    shape = (len(x), dictionary.n_features)
    return SparseFeatures(token, feature[token, place], value[token, place], shape)


def _active(dictionary: SparseDictionary, x: Tensor, space: Tensor) -> SparseFeatures:
    """The active features of a few tokens, where each stands by itself.

    W_enc xᵀ [feature, token] is a third faster on a CPU than its transpose. Features of a ReLU are
    on where it is above −b_enc, which is where their sum is above 0: one pass over all of them
    compares, and only what is on is added up and kept. space: for at least as many numbers.
    """
    shape = (dictionary.n_features, len(x))
    pre = torch.mm(dictionary.W_enc, x.T, out=space[: shape[0] * shape[1]].view(shape))
    bias = dictionary.b_enc
    if dictionary.activation == "relu":
        on = pre > -bias[:, None]
    else:
        assert dictionary.threshold is not None
        threshold = torch.as_tensor(dictionary.threshold, device=x.device)
        f = pre.add_(bias[:, None])
        on, bias = (f > threshold[..., None]) & (f != 0), torch.zeros_like(bias)
    feature, token = on.nonzero(as_tuple=True)
    order = token.argsort(stable=True)
    feature, token = feature[order], token[order]
    return SparseFeatures(token, feature, pre[feature, token] + bias[feature], shape[::-1])


@torch.no_grad()
def encode_some(
    dictionary: Dictionary, x: Tensor, features: Tensor, *, decoded: bool = False
) -> Encoded:
    """f of features [column] at tokens x [token, d_model], and x̂ where asked for."""
    if isinstance(dictionary, IdentityDictionary):
        return Encoded(x[:, features], x if decoded else None)
    if isinstance(dictionary, SparseDictionary) and dictionary.activation == "topk":
        return _some_of_top_k(dictionary, x, features, decoded=decoded)
    if isinstance(dictionary, SparseDictionary) and not decoded:
        return Encoded(_only(dictionary, features).encode(x), None)
    f = dictionary.encode(x)
    x_hat = dictionary.bias + dictionary.written(sparse_of(f)) if decoded else None
    return Encoded(f[:, features], x_hat)


def _only(dictionary: SparseDictionary, features: Tensor) -> SparseDictionary:
    """The dictionary without its other features."""
    threshold = dictionary.threshold
    if isinstance(threshold, Tensor):
        threshold = threshold[features]
    return replace(
        dictionary,
        W_enc=dictionary.W_enc[features],
        b_enc=dictionary.b_enc[features],
        W_dec=dictionary.W_dec[features],
        threshold=threshold,
    )


def _pre_activations(dictionary: SparseDictionary, x: Tensor) -> Tensor:
    return torch.nn.functional.linear(x, dictionary.W_enc, dictionary.b_enc)


def _some_of_top_k(
    dictionary: SparseDictionary, x: Tensor, features: Tensor, *, decoded: bool
) -> Encoded:
    pre = _pre_activations(dictionary, x)
    chosen = pre.index_select(1, features)
    if not decoded:
        least = kth_largest(pre, dictionary.k)
        return Encoded(chosen.relu().where(chosen >= least, 0), None)
    top = top_k(pre, dictionary.k)
    kept = pre.gather(-1, top)
    least = kept.amin(-1, keepdim=True)
    summed = torch.nn.functional.embedding_bag(
        top, dictionary.W_dec, per_sample_weights=kept.relu_(), mode="sum"
    )
    return Encoded(chosen.relu().where(chosen >= least, 0), summed + dictionary.b_dec)


def kth_largest(x: Tensor, k: int) -> Tensor:
    """[row, 1] the k-th largest number of each row of x [row, n], or the least where n < k."""
    k = min(k, x.shape[1])
    if x.device.type != "cpu":
        return x.topk(k, dim=-1).values[:, -1:]
    place = x.shape[1] - k
    return _by_rows(lambda rows: np.partition(rows, place, axis=-1)[:, place, None], x)


def top_k(x: Tensor, k: int) -> Tensor:
    """[row, k] columns of the k largest numbers of each row of x [row, n], in no order."""
    if x.device.type != "cpu":
        return x.topk(k, dim=-1, sorted=False).indices
    place = x.shape[1] - k
    return _by_rows(lambda rows: np.argpartition(rows, place, axis=-1)[:, place:], x)


def _by_rows(work: Callable[[Array], Array], x: Tensor) -> Tensor:
    """work on x's rows, in as many threads as torch has: numpy itself uses one."""
    n_threads = torch.get_num_threads()
    if n_threads == 1 or x.numel() < SPLIT_FROM:
        return torch.from_numpy(work(x.numpy()))
    parts = np.array_split(x.numpy(), n_threads)
    return torch.from_numpy(np.concatenate([*_pool(n_threads).map(work, parts)]))


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads)
