"""Context gradients: each context's gradient of its loss over the parameters, as a short vector.

The gradient is `parameter_gradients`' and the vector `gradient_projection`'s, whose inner products
estimate the gradients'. Their cosines are compared with exact ones on a seeded sample.

Cost: N gradient evaluations and as many weight gradients for N contexts, 6nT FLOPs each with n
parameters and T tokens; the original, which compares the gradients themselves in blocks, needs
about N (1.5 + N/300) evaluations. 4·width bytes a context; memory AT_ONCE numbers of a batch, the
signs of the projection, and the vectors of GROUP contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from dagster_project.interp.context_features import Window
from dagster_project.interp.corpus import ignore
from dagster_project.interp.gradient_projection import Projection, project
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.parameter_gradients import (
    LayerGradient,
    cosines,
    inner_products,
    layer_gradients,
    layer_shapes,
    numbers_per_token,
)
from dagster_project.interp.sequences import buckets
from dagster_project.interp.sites import batch_of

AT_ONCE = 1 << 28
"""Numbers of a batch's inputs and output gradients (1 GiB), or those of one context."""
GROUP = 1024
"""Contexts in a frame."""
SAMPLE = 64
"""Contexts at most whose pairs are compared: 2,016 pairs."""


class Cosines(NamedTuple):
    """Cosines of the pairs of some contexts, but for those with a zero gradient."""

    exact: NDArray[np.float32]  # [pair] of the gradients
    projected: NDArray[np.float32]  # [pair] of the vectors

    @property
    def largest(self) -> float | None:
        """The largest difference; None without a pair."""
        return float(np.abs(self.exact - self.projected).max()) if len(self.exact) else None

    def within(self, error: float) -> float | None:
        """Share of the pairs that differ by at most `error`; None without a pair."""
        apart = np.abs(self.exact - self.projected)
        return float((apart <= error).mean()) if len(apart) else None


def context_gradients(
    model: LanguageModel,
    contexts: Sequence[Window],
    by: Projection,
    batch_tokens: int,
    advance: Callable[[int], None] = ignore,
) -> Iterator[pl.DataFrame]:
    """Rows of the context_gradients table, in the order of the contexts: context_id, vector, norm.

    advance: told of contexts as they are done.
    """
    at_once = tokens_at_once(model, batch_tokens)
    for start in range(0, len(contexts), GROUP):
        group = contexts[start : start + GROUP]
        vectors = np.empty((len(group), by.width), np.float32)
        norms = np.empty(len(group), np.float32)
        for bucket in buckets([len(window.ids) for window in group], at_once):
            found = project(_layers(model, [group[i] for i in bucket]), by)
            vectors[bucket] = found.vectors.cpu().numpy()
            norms[bucket] = found.norms.cpu().numpy()
            advance(len(bucket))
        yield pl.DataFrame(
            {
                "context_id": pl.Series([w.context_id for w in group], dtype=pl.Int64),
                "vector": pl.Series(vectors).arr.to_list(),
                "norm": norms,
            }
        )


def tokens_at_once(model: LanguageModel, batch_tokens: int) -> int:
    """Tokens in a batch: batch_tokens, as far as AT_ONCE numbers reach."""
    return min(batch_tokens, AT_ONCE // numbers_per_token(layer_shapes(model)))


def sample_size(model: LanguageModel, contexts: Sequence[Window], batch_tokens: int) -> int:
    """Contexts whose pairs are compared: those that a batch holds, from 2 to SAMPLE."""
    longest = max((len(window.ids) for window in contexts), default=1)
    return min(SAMPLE, max(2, tokens_at_once(model, batch_tokens) // longest))


def compared(
    model: LanguageModel, contexts: Sequence[Window], vectors: Mapping[int, Sequence[float]]
) -> Cosines:
    """Cosines of the contexts' gradients, exact and by their vectors (by context_id).

    One batch: its memory is that of the contexts together.
    """
    if len(contexts) < 2:
        return Cosines(np.empty(0, np.float32), np.empty(0, np.float32))
    exact = cosines(inner_products(_layers(model, contexts))).cpu()
    projected = torch.tensor([vectors[window.context_id] for window in contexts])
    i, j = torch.triu_indices(len(contexts), len(contexts), offset=1)
    pairs = exact[i, j], cosines(projected @ projected.T)[i, j]
    known = torch.stack(pairs).isfinite().all(0)
    return Cosines(*(c[known].numpy() for c in pairs))


def unit_vectors(rows: pl.LazyFrame, context_ids: Sequence[int]) -> NDArray[np.float32]:
    """Vectors of norm 1 [context, width] of these contexts; zero vectors stay zero.

    rows: context_id, vector of at least these contexts. Raises ValueError for one that is missing.
    """
    wanted = pl.DataFrame({"context_id": pl.Series(context_ids, dtype=pl.Int64)})
    chosen = rows.select("context_id", "vector").join(wanted.lazy(), on="context_id", how="semi")
    found = wanted.join(chosen.collect(), on="context_id", how="left", maintain_order="left")
    if missing := found["vector"].null_count():
        raise ValueError(f"{missing} of {len(found)} contexts have no gradient")
    vectors = np.stack([row.to_numpy() for row in found["vector"]])
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def _layers(model: LanguageModel, contexts: Sequence[Window]) -> dict[str, LayerGradient]:
    batch = batch_of([window.ids for window in contexts], model.device)
    answer: Tensor = torch.tensor([w.answer_id for w in contexts], device=model.device)
    return layer_gradients(model, batch, answer)
