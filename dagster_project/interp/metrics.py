"""Metrics: one number per example, read from the final stream at the answer's position.

Discovery signs (Marks et al. 2024, section 3): a positive node effect supports the clean answer.
`pair`: logit[patch answer] − logit[clean answer]; two rows of the unembedding are enough.
`log_prob`, `logit`, `logit_minus_mean`: of one answer, times `sign` (−1 for no-pair circuits).
Whatever the model's dtype, read in float32 or wider: metrics are differences of nearly equal
numbers. Cost with a bfloat16 model: the rows of the unembedding that are read, once more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from dagster_project.interp.model import LanguageModel


@dataclass(frozen=True)
class Metric:
    """A differentiable reading of the final stream."""

    kind: Literal["pair", "log_prob", "logit", "logit_minus_mean"]
    answer: Tensor  # [batch] token ids of the (clean) answer
    patch_answer: Tensor | None = None  # [batch], for `pair`
    sign: int = 1

    def __call__(self, model: LanguageModel, hidden: Tensor) -> Tensor:
        """hidden [batch, d_model], normalised, at the answer's position -> [batch]."""
        hidden = _widened(hidden)
        if self.kind in ("log_prob", "logit_minus_mean"):
            logits = hidden @ _widened(model.unembedding).T
            if model.unembedding_bias is not None:
                logits = logits + _widened(model.unembedding_bias)
            logits = model.capped(logits)
            chosen = logits.gather(-1, self.answer[:, None])[:, 0]
            over = logits.logsumexp(-1) if self.kind == "log_prob" else logits.mean(-1)
            return self.sign * (chosen - over)
        if self.kind == "logit":
            return self.sign * _logit(model, hidden, self.answer)
        assert self.patch_answer is not None
        if model.cap or model.unembedding_bias is not None:
            patched = _logit(model, hidden, self.patch_answer)
            return self.sign * (patched - _logit(model, hidden, self.answer))
        ends = model.unembedding[self.patch_answer], model.unembedding[self.answer]
        return self.sign * (hidden * (_widened(ends[0]) - _widened(ends[1]))).sum(-1)

    def repeat(self, times: int) -> Metric:
        """For a batch stacked `times` over."""
        patch = None if self.patch_answer is None else self.patch_answer.repeat(times)
        return replace(self, answer=self.answer.repeat(times), patch_answer=patch)


def _logit(model: LanguageModel, hidden: Tensor, token: Tensor) -> Tensor:
    """[batch] the logit of one token each."""
    found = (hidden * _widened(model.unembedding[token])).sum(-1)
    if model.unembedding_bias is not None:
        found = found + _widened(model.unembedding_bias[token])
    return model.capped(found)


def _widened(x: Tensor) -> Tensor:
    """In float32, unless it is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
