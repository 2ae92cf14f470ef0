"""Sparse dictionaries: f = act(x W_encᵀ + b_enc), x̂ = f W_dec + b_dec.

Forms that subtract a bias before encoding are folded into b_enc when they are loaded, so that
one formula serves all. Decoding is affine, which is what makes attribution cheap: ∂m/∂f = G W_decᵀ.
The identity dictionary has the neurons (stream dimensions) as features and no error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from dagster_project.interp.sparse_features import SparseFeatures, along_rows, summed_rows

Activation = Literal["relu", "topk", "jumprelu"]


class Dictionary(Protocol):
    """What attribution, circuits and quality need of a dictionary."""

    @property
    def d_model(self) -> int: ...

    @property
    def n_features(self) -> int: ...

    @property
    def bias(self) -> Tensor:
        """[d_model] what no feature at all decodes to."""
        ...

    def encode(self, x: Tensor) -> Tensor:
        """[.., d_model] -> feature activations [.., n_features]."""
        ...

    def decode(self, f: Tensor) -> Tensor:
        """[.., n_features] -> [.., d_model]."""
        ...

    def decoder_rows(self, features: Tensor) -> Tensor:
        """W_dec rows [n, d_model] of features [n]."""
        ...

    def encoder_rows(self, features: Tensor) -> Tensor:
        """∂f/∂x [n, d_model] of features [n] where they are active."""
        ...

    def written(self, active: SparseFeatures) -> Tensor:
        """Σ f_i W_dec,i [token, d_model]: what the features add to the bias."""
        ...

    def along_decoder(self, active: SparseFeatures, x: Tensor) -> Tensor:
        """⟨x_token, W_dec,feature⟩ [pair] of x [token, d_model]."""
        ...

    def pulled_back(self, active: SparseFeatures) -> Tensor:
        """Σ f_i e'_i [token, d_model]: cotangents f of the features, at x."""
        ...


@dataclass(frozen=True)
class SparseDictionary:
    """A trained dictionary: ReLU, TopK (the k largest positive values) or JumpReLU."""

    W_enc: Tensor  # [n_features, d_model]
    b_enc: Tensor  # [n_features]
    W_dec: Tensor  # [n_features, d_model]
    b_dec: Tensor  # [d_model]
    activation: Activation = "relu"
    k: int = 0  # topk
    threshold: Tensor | float | None = None  # jumprelu: [n_features] or one number

    @property
    def d_model(self) -> int:
        return self.W_dec.shape[1]

    @property
    def n_features(self) -> int:
        return self.W_dec.shape[0]

    @property
    def bias(self) -> Tensor:
        return self.b_dec

    def encode(self, x: Tensor) -> Tensor:
        pre = torch.nn.functional.linear(x, self.W_enc, self.b_enc)
        if self.activation == "jumprelu":
            assert self.threshold is not None
            if isinstance(self.threshold, float):  # in one pass
                return torch.threshold_(pre, self.threshold, 0.0)
            return pre * (pre > self.threshold)
        f = pre.relu_()
        if self.activation == "topk":
            top = f.topk(self.k, dim=-1)
            f = torch.zeros_like(f).scatter_(-1, top.indices, top.values)
        return f

    def decode(self, f: Tensor) -> Tensor:
        return f @ self.W_dec + self.b_dec

    def decoder_rows(self, features: Tensor) -> Tensor:
        return self.W_dec[features]

    def encoder_rows(self, features: Tensor) -> Tensor:
        return self.W_enc[features]

    def written(self, active: SparseFeatures) -> Tensor:
        return summed_rows(active, self.W_dec)

    def along_decoder(self, active: SparseFeatures, x: Tensor) -> Tensor:
        return along_rows(active, x, self.W_dec)

    def pulled_back(self, active: SparseFeatures) -> Tensor:
        return summed_rows(active, self.W_enc)


@dataclass(frozen=True)
class IdentityDictionary:
    """Neurons as features: f = x, exactly, negative values included."""

    d_model: int
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32

    @property
    def n_features(self) -> int:
        return self.d_model

    @property
    def bias(self) -> Tensor:
        return torch.zeros(self.d_model, device=self.device, dtype=self.dtype)

    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, f: Tensor) -> Tensor:
        return f

    def decoder_rows(self, features: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(features, self.d_model).to(self.dtype)

    def encoder_rows(self, features: Tensor) -> Tensor:
        return self.decoder_rows(features)

    def written(self, active: SparseFeatures) -> Tensor:
        return active.dense()

    def along_decoder(self, active: SparseFeatures, x: Tensor) -> Tensor:
        return x[active.token, active.feature]

    def pulled_back(self, active: SparseFeatures) -> Tensor:
        return active.dense()
