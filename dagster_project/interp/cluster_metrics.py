"""Cluster metrics: what a cluster holds, and how well clusters agree with known rules.

`describe` gives a row a cluster; `agreement` compares groupings with the rules that the corpus
knows, a skill and slot each (contexts without one are left out; zero vectors, cluster −1, and what
HDBSCAN leaves out, −2, count as groups); purity grows with the number of groups, so read it
beside the baselines, groupings by one token.
`silhouettes` is the cosine silhouette in the context vectors, of all contexts: the mean distance to
a cluster is 1 − a mean of cosines, whose sums are a product with the clusters' members, so that no
[context, context] matrix is needed; `leaves` orders clusters by the same sums. Cost: that product,
as of a block of vectors in the embedding, and 4 bytes a context and cluster.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.cluster.hierarchy import leaves_list, linkage
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from dagster_project.interp.affinity import Vectors, cosines, precision, unit_rows

ORDERED = 200
"""Clusters up to which the tree's order is the best one: a second; its time grows with the cube."""
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


def cosine_sums(
    X: Vectors, labels: NDArray[np.int32], device: torch.device | str = "cpu"
) -> NDArray[np.floating]:
    """Sum of the cosines of each context in a cluster with each cluster's other contexts
    [context with a label ≥ 0, cluster]."""
    inside = np.flatnonzero(labels >= 0)
    if not len(inside):
        return np.zeros((0, 0))
    unit = unit_rows(X[inside])
    one_hot = torch.eye(int(labels.max()) + 1, dtype=precision(unit))
    member = one_hot[torch.from_numpy(labels[inside])].to(device)
    return cosines(unit, device)(member).cpu().numpy()


def silhouettes(sums: NDArray[np.floating], labels: NDArray[np.int32]) -> pl.DataFrame:
    """Silhouette (cosine) of each context that is in a cluster: cluster, silhouette in −1 … 1.

    sums: `cosine_sums`. 0 for a context alone in its cluster. Empty where there are fewer than two
    clusters.
    """
    label = labels[labels >= 0]
    size = np.bincount(label)
    if len(size) < 2:
        return pl.DataFrame(schema={"cluster": pl.Int32(), "silhouette": pl.Float64()})
    rows = np.arange(len(label))
    own = 1 - sums[rows, label] / np.maximum(size[label] - 1, 1)
    others = 1 - sums / size
    others[rows, label] = np.inf
    nearest = others.min(axis=1)
    larger = np.maximum(np.maximum(own, nearest), np.finfo(sums.dtype).tiny)
    values = np.where(size[label] > 1, (nearest - own) / larger, 0.0)
    return pl.DataFrame(
        {"cluster": label, "silhouette": values}, schema_overrides={"silhouette": pl.Float64}
    )


def leaves(sums: NDArray[np.floating], labels: NDArray[np.int32]) -> pl.DataFrame:
    """Where each cluster stands in an order in which like ones are neighbours: cluster, leaf.

    The leaves of an average-linkage tree of the cosines of the clusters' mean unit vectors, put in
    the order in which neighbours are most alike (Bar-Joseph et al. 2001) up to ORDERED clusters.
    sums: `cosine_sums`.
    """
    label = labels[labels >= 0]
    size = np.bincount(label)
    order = np.arange(len(size))
    if len(size) > 2:
        member = sparse.csr_array((np.ones(len(label)), (label, np.arange(len(label)))))
        inner = member @ sums + np.diag(size)  # with each context's cosine with itself
        norms = np.sqrt(np.diag(inner))
        apart = np.maximum(1 - inner / np.outer(norms, norms), 0.0)
        pairs = apart[np.triu_indices(len(size), 1)]
        tree = linkage(pairs, "average", optimal_ordering=len(size) <= ORDERED)
        order = leaves_list(tree)
    return pl.DataFrame(
        {"cluster": order, "leaf": np.arange(len(size))},
        schema={"cluster": pl.Int32(), "leaf": pl.UInt32()},
    )


def _counted(contexts: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """How often each value occurs in each cluster, commonest first; ties in the value's order."""
    counts = contexts.group_by("cluster", *columns).len()
    return counts.sort(
        "cluster", "len", *columns, descending=[False, True, *(False,) * len(columns)]
    )
