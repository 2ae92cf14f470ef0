"""What a step of a dictionary's training makes smaller, and what it learns on the way.

The mean over tokens of the squared error as a share of the token's own squared norm. As a share of
the batch's, tokens of small norm would count for little, and of the strongest activations they have
few: of the last stream a hundredth of the tokens then cost four fifths of the loss. Plus the share
that a reconstruction of the error by the d/2 strongest *dead* features leaves, which revives them
(Gao et al. 2024, section 2.4), what the form adds, and where asked for what the first features
leave by themselves. Under autocast products are bfloat16 and what is added up here stays float32;
activations then have eight bits, so that with ties a hundredth more than k may be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dagster_project.interp.encoding import kth_largest
from dagster_project.interp.training_forms import Goal, Sparsifier
from dagster_project.interp.training_state import Weights

LEAST_NORM = 0.1  # of the mean norm: what a token counts as at least, when its error is weighed


class Loss(NamedTuple):
    """One batch at one site."""

    unexplained: Tensor  # ‖x − x̂‖² / ‖x − mean‖² of the batch: how it is told, not what is learnt
    l0: Tensor  # features above 0 a token: told, too
    relative: Tensor  # mean over tokens of ‖x − x̂‖² / ‖x‖²
    auxiliary: Tensor  # what dead features leave unexplained of the error; 0 without any
    nested: Tensor  # `relative` by the first features alone, summed over the parts; 0 without any
    penalty: Tensor  # the form's own
    fired: Tensor  # [n_features] bool: above the threshold on some token
    least: Tensor  # [] the least activation that is kept


def loss(
    form: Sparsifier,
    weights: Weights,
    x: Tensor,
    goal: Goal,
    threshold: Tensor,
    nested: Sequence[int] = (),
) -> Loss:
    """Losses of x [batch, d_model]. threshold: above which a feature has fired."""
    pre = torch.nn.functional.linear(x, weights.W_enc, weights.b_enc).float()
    f, penalty, least = form(pre, goal, weights)
    error = x - (f @ weights.W_dec + weights.b_dec)
    parts = [_relative(x - (f[:, :n] @ weights.W_dec[:n] + weights.b_dec), x) for n in nested]
    return Loss(
        unexplained=_share(error.detach(), x),
        l0=torch.count_nonzero(f.detach()) / len(x),
        relative=_relative(error, x),
        auxiliary=_auxiliary(weights, pre, error.detach(), goal.dead),
        nested=torch.stack(parts).sum() if parts else error.new_zeros(()),
        penalty=penalty,
        fired=f.detach().amax(0) > threshold,
        least=least,
    )


def _auxiliary(weights: Weights, pre: Tensor, error: Tensor, dead: Tensor) -> Tensor:
    """How much of the error the d/2 strongest dead features leave unexplained.

    Negative ones count too: a feature that is never positive would have no gradient otherwise.
    """
    indices = dead.nonzero()[:, 0]
    if not len(indices):
        return error.new_zeros(())
    silent = pre[:, indices]
    least = kth_largest(silent.detach(), max(1, error.shape[-1] // 2))
    f = torch.where(silent >= least, silent, 0.0)
    return _share(error - f @ weights.W_dec[indices], error)


def _relative(error: Tensor, x: Tensor) -> Tensor:
    """Mean of ‖error‖² / ‖x‖² over tokens of x, which has mean norm √d; both [batch, d_model]."""
    least = LEAST_NORM**2 * x.shape[-1]
    return (error.square().sum(-1) / x.square().sum(-1).clamp_min(least)).mean()


def _share(error: Tensor, x: Tensor) -> Tensor:
    """‖error‖² as a share of the variance of x; both [batch, d_model]."""
    variance = (x - x.mean(0)).square().sum()
    return error.square().sum() / variance.clamp_min(torch.finfo(x.dtype).tiny)
