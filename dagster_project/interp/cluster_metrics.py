"""Cluster metrics: what a cluster holds, and how well clusters agree with known rules.

`describe` gives a row a cluster; `agreement` compares groupings with the rules that the corpus
knows, a skill and slot each (contexts without one are left out; zero vectors, cluster −1, count as
a group); purity grows with the number of groups, so read it beside the baselines, groupings by one
token.
`silhouettes` is the cosine silhouette in the context vectors, of all contexts: the mean distance to
a cluster is 1 − x̂ · mean of its x̂, so that no [context, context] matrix is needed. Cost: one
product of X with each cluster's sum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from dagster_project.interp.spectral import unit_rows

AT_ONCE = 16
"""Clusters whose dense sums of vectors are held at a time."""
TOP_ANSWERS = 5
"""Answers named of each cluster."""


class Agreement(NamedTuple):
    """A grouping against the known rules; None where fewer than two contexts have one."""

    ari: float | None  # adjusted Rand index: 0 by chance, 1 equal
    nmi: float | None  # normalised mutual information, arithmetic mean
    purity: float | None  # share of contexts whose rule is their group's commonest


def agreement(groups: pl.Series, rules: pl.Series) -> Agreement:
    """Agreement of groups [context] with rules [context, null where unknown]."""
    known = pl.DataFrame({"group": groups, "rule": rules}).drop_nulls("rule")
    if len(known) < 2:
        return Agreement(None, None, None)
    group = known["group"].rank("dense").to_numpy()
    rule = known["rule"].rank("dense").to_numpy()
    return Agreement(
        ari=float(adjusted_rand_score(rule, group)),
        nmi=float(normalized_mutual_info_score(rule, group)),
        purity=purity(known),
    )


def purity(known: pl.DataFrame) -> float:
    """Share of rows (group, rule) whose rule is the commonest of their group."""
    pairs = known.group_by("group", "rule").len()
    return int(pairs.group_by("group").agg(pl.col("len").max())["len"].sum()) / len(known)


def describe(contexts: pl.DataFrame) -> pl.DataFrame:
    """A row a cluster of contexts (cluster, answer, answer_id, loss, rule), by cluster.

    Columns: cluster, size, mean_loss (nats), top_answers (commonest first), answer_entropy
    (nats), top_skill (the commonest rule), purity (share of the contexts of known rule that have
    it).
    """
    sizes = contexts.group_by("cluster").agg(
        size=pl.len(), mean_loss=pl.col("loss").mean(), known=pl.col("rule").count()
    )
    answers = _counted(contexts, "answer_id", "answer").group_by("cluster", maintain_order=True)
    share = pl.col("len") / pl.col("len").sum()
    said = answers.agg(
        top_answers=pl.col("answer").head(TOP_ANSWERS),
        answer_entropy=(share * (1 / share).log()).sum(),
    )
    rules = _counted(contexts.drop_nulls("rule"), "rule").group_by("cluster")
    known = rules.agg(top_skill=pl.col("rule").first(), most=pl.col("len").first())
    joined = sizes.join(said, on="cluster").join(known, on="cluster", how="left")
    return (
        joined.with_columns(purity=pl.col("most") / pl.col("known"))
        .drop("known", "most")
        .sort("cluster")
    )


def silhouettes(X: sparse.csr_array, labels: NDArray[np.int32]) -> pl.DataFrame:
    """Silhouette (cosine) of each context that is in a cluster: cluster, silhouette in −1 … 1.

    0 for a context alone in its cluster. Empty where there are fewer than two clusters.
    """
    inside = np.flatnonzero(labels >= 0)
    _, label, size = np.unique(labels[inside], return_inverse=True, return_counts=True)
    if len(size) < 2:
        return pl.DataFrame(schema={"cluster": pl.Int32(), "silhouette": pl.Float64()})
    similar = _summed_cosines(unit_rows(X[inside]), label, len(size))
    rows = np.arange(len(inside))
    own = 1 - (similar[rows, label] - 1) / np.maximum(size[label] - 1, 1)
    others = 1 - similar / size
    others[rows, label] = np.inf
    nearest = others.min(axis=1)
    larger = np.maximum(np.maximum(own, nearest), np.finfo(float).tiny)
    values = np.where(size[label] > 1, (nearest - own) / larger, 0.0)
    return pl.DataFrame({"cluster": labels[inside], "silhouette": values})


def _summed_cosines(
    unit: sparse.csr_array, label: NDArray[np.intp], n_clusters: int
) -> NDArray[np.float64]:
    """Sum of each context's cosines with the contexts of each cluster [context, cluster]."""
    member = sparse.csr_array((np.ones(len(label)), (label, np.arange(len(label)))))
    parts = [
        unit @ (member[start : start + AT_ONCE] @ unit).toarray().T
        for start in range(0, n_clusters, AT_ONCE)
    ]
    return np.hstack(parts)


def _counted(contexts: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """How often each value occurs in each cluster, commonest first; ties in the value's order."""
    counts = contexts.group_by("cluster", *columns).len()
    return counts.sort(
        "cluster", "len", *columns, descending=[False, True, *(False,) * len(columns)]
    )
