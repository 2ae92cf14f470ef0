"""How the features of a batch come to be few: the four forms of dictionaries that are trained.

- batch_topk (Bussmann et al. 2024, "BatchTopK sparse autoencoders"): of a batch the k strongest
  activations a token, many of one token and few of another. The running mean of the least that is
  kept becomes the one threshold of a JumpReLU, which encodes each token by itself.
- topk (Gao et al. 2024, "Scaling and evaluating sparse autoencoders"): of each token the k
  strongest.
- jumprelu (Rajamanoharan et al. 2024, "Jumping ahead", sections 3 and 4): what is above a threshold
  that each feature learns. Neither the jump nor the number of active features L0 has a gradient
  with respect to it, so both get that of a rectangle BANDWIDTH wide around it (straight-through
  estimators). The penalty (L0/k − 1)² makes L0 what the other forms are given. Thresholds of dead
  features, which nothing moves otherwise, fall until they are met.
- matryoshka (Bussmann et al. 2025, "Learning multi-level features with Matryoshka sparse
  autoencoders"): batch_topk of which the first features must also do alone, see `nested_parts`.

Sparsity may come slowly: pressure rises from 0 to 1; k falls from START_K times its value, and
the penalty's weight rises. Cost beyond the products: finding the least that is kept, which for topk
is one selection a token; jumprelu has none.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from dagster_project.interp.dictionary import Activation, SparseDictionary
from dagster_project.interp.encoding import kth_largest
from dagster_project.interp.training_state import SiteState, Weights
from dagster_project.studies.study import Form, TrainingSpec

START_K = 4  # times k, where sparsity begins
BANDWIDTH = 0.2  # of activations of mean norm √d: what a threshold learns from lies this near
PENALTY = 1.0  # weight of (L0/k − 1)² beside the unexplained share
REVIVAL = 1e-3  # weight of the thresholds of dead features: Adam lets them fall at its full rate
GROUPS = (1 / 32, 1 / 16, 1 / 8, 1 / 4)  # shares of the features, Bussmann et al. 2025; the rest


class Goal(NamedTuple):
    """How few features are to be on."""

    k: int  # of a token, in the end
    pressure: float  # 0: many; 1: as few as that
    dead: Tensor  # [n_features] bool: features silent for long

    @property
    def k_now(self) -> int:
        """k at pressure 1, START_K times as many at 0."""
        return round(self.k * (START_K - (START_K - 1) * self.pressure))


class Coded(NamedTuple):
    """A batch in the features of a form."""

    f: Tensor  # [batch, n_features]
    penalty: Tensor  # [] what the form adds to the loss
    least: Tensor  # [] activation at which features are told apart for all; 0 where for none


class Sparsifier(Protocol):
    """A form: which features of a batch are on, and what encodes tokens afterwards."""

    def __call__(self, pre: Tensor, goal: Goal, weights: Weights, /) -> Coded:
        """The features of pre-activations [batch, n_features]."""
        ...

    def fold(self, site: SiteState, k: int, /) -> SparseDictionary:
        """The dictionary of the activations as they are, not centred and not scaled."""
        ...


class BatchTopK:
    """The k · batch strongest activations."""

    def __call__(self, pre: Tensor, goal: Goal, _weights: Weights, /) -> Coded:
        least = kth_largest(pre.detach().flatten()[None], goal.k_now * len(pre))[0, 0]
        least = least.clamp_min(torch.finfo(pre.dtype).tiny)
        return Coded(torch.where(pre >= least, pre, 0.0), pre.new_zeros(()), least)

    def fold(self, site: SiteState, _k: int, /) -> SparseDictionary:
        return folded(site, "jumprelu", threshold=float(site.threshold) / site.scale)


class TopK:
    """The k strongest activations of each token."""

    def __call__(self, pre: Tensor, goal: Goal, _weights: Weights, /) -> Coded:
        least = kth_largest(pre.detach(), goal.k_now)
        least = least.clamp_min(torch.finfo(pre.dtype).tiny)
        none = pre.new_zeros(())
        return Coded(torch.where(pre >= least, pre, 0.0), none, none)

    def fold(self, site: SiteState, k: int, /) -> SparseDictionary:
        return folded(site, "topk", k=k)


class JumpReLU:
    """Activations above each feature's threshold."""

    def __call__(self, pre: Tensor, goal: Goal, weights: Weights, /) -> Coded:
        assert weights.log_threshold is not None
        threshold = weights.log_threshold.exp()
        f, l0 = _Jump.apply(pre, threshold)
        penalty = PENALTY * goal.pressure * (l0 / goal.k - 1).square()
        return Coded(f, penalty + REVIVAL * (threshold * goal.dead).sum(), pre.new_zeros(()))

    def fold(self, site: SiteState, _k: int, /) -> SparseDictionary:
        assert site.weights.log_threshold is not None
        threshold = site.weights.log_threshold.detach().exp() / site.scale
        return folded(site, "jumprelu", threshold=threshold)


FORMS: dict[Form, Sparsifier] = {
    "batch_topk": BatchTopK(),
    "topk": TopK(),
    "jumprelu": JumpReLU(),
    "matryoshka": BatchTopK(),
}


class _Jump(torch.autograd.Function):
    """f = z · 1[z > θ] and the mean L0 a token, of z [batch, n_features] and θ [n_features]."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
        on = z > threshold
        ctx.save_for_backward(z, threshold, on)
        return z * on, torch.count_nonzero(on) / len(z)

    @staticmethod
    def backward(ctx: Any, of_f: Tensor, of_l0: Tensor) -> tuple[Tensor, Tensor]:
        z, threshold, on = ctx.saved_tensors
        near = (z - threshold).abs() < BANDWIDTH / 2
        through_f = threshold * (of_f * near).sum(0)
        through_l0 = of_l0 * near.sum(0) / len(z)
        return of_f * on, -(through_f + through_l0) / BANDWIDTH


def nested_parts(spec: TrainingSpec, site: str, n_features: int) -> tuple[tuple[int, ...], float]:
    """How many first features must also do alone, and the weight of what they leave unexplained."""
    if spec.form != "matryoshka":
        weight = spec.nested_coefficients.get(site, 0.0)
        return (spec.nested if weight else ()), weight
    sums = [sum(GROUPS[: i + 1]) for i in range(len(GROUPS))]
    usual = dict.fromkeys(max(1, round(share * n_features)) for share in sums)
    return spec.nested or tuple(usual), 1.0


def folded(
    site: SiteState,
    activation: Activation,
    k: int = 0,
    threshold: Tensor | float | None = None,
) -> SparseDictionary:
    """Centre and scale put into the weights: features are 1/scale times as large."""
    weights, centre, scale = site.weights.detached(), site.centre, site.scale
    return SparseDictionary(
        W_enc=weights.W_enc,
        b_enc=weights.b_enc / scale - weights.W_enc @ centre,
        W_dec=weights.W_dec,
        b_dec=weights.b_dec / scale + centre,
        activation=activation,
        k=k,
        threshold=threshold,
    )
