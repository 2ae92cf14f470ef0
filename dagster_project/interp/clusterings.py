"""A clustering of a study's contexts, as three tables tell it: summary, members, clusters.

Vectors, clusters and map come from `clustering.py`, figures from `cluster_metrics.py`. Where the
corpus knows the rules behind answers, the agreement of trivial groupings stands beside that of the
clusters: the previous token, the answer token, and clusters by activations at the last position
(only where features are kept by position: sums do not hold them).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl

from dagster_project.interp.cluster_metrics import agreement, describe, silhouettes
from dagster_project.interp.clustering import ZERO, cluster, context_vectors, sample_of
from dagster_project.studies.study import ClusteringSpec, ContextFeaturesSpec


class Clustered(NamedTuple):
    """The tables of one clustering."""

    clusterings: pl.DataFrame  # one row
    cluster_members: pl.DataFrame  # a row a context, by context_id
    clusters: pl.DataFrame  # a row a cluster


def with_previous(contexts: pl.DataFrame, tokens: pl.LazyFrame) -> pl.DataFrame:
    """Contexts (doc_id, pos) with previous_id, the token before the answer."""
    before = contexts.lazy().with_columns(pos=(pl.col("pos") - 1).cast(pl.UInt16))
    found = tokens.select("doc_id", pl.col("pos").cast(pl.UInt16), previous_id="token_id")
    pairs = found.join(before.select("doc_id", "pos"), on=["doc_id", "pos"]).unique().collect()
    answers = pairs.with_columns(pos=(pl.col("pos") + 1).cast(contexts.schema["pos"]))
    return contexts.join(answers, on=["doc_id", "pos"], how="left", maintain_order="left")


def clustered(
    features: pl.LazyFrame,
    contexts: pl.DataFrame,
    spec: ClusteringSpec,
    of: ContextFeaturesSpec,
) -> Clustered:
    """Clusters of contexts by their features.

    features: context_features of a study, made as `of` says; contexts: context_id, answer_id,
    answer, loss, skill, previous_id. Raises SpectralError where there are too few contexts.
    """
    ids = sample_of(contexts["context_id"].to_list(), spec.max_contexts, spec.seed)
    chosen = contexts.filter(pl.col("context_id").is_in(ids)).sort("context_id")
    X = context_vectors(features, ids, spec)
    labels, places = cluster(X, spec)
    silhouette = silhouettes(X, labels)
    members = pl.DataFrame(
        {"context_id": ids, "cluster": labels, "x": places[:, 0], "y": places[:, 1]}
    ).with_columns(pl.col("x", "y").fill_nan(None))
    groups = describe(chosen.with_columns(members["cluster"])).join(
        silhouette.group_by("cluster").agg(pl.col("silhouette").mean()), on="cluster", how="left"
    )
    summary = {
        "representation": spec.representation,
        "metric": of.metric,
        "aggregation": of.aggregation,
        "similarity": spec.similarity,
        "n_clusters": groups.filter(pl.col("cluster") != ZERO).height,
        "n_contexts": len(ids),
        "n_zero": int((labels == ZERO).sum()),
        "sample": _sample(len(ids), len(contexts), spec),
        "silhouette": silhouette["silhouette"].mean(),
        **agreement(members["cluster"], chosen["skill"])._asdict(),
        **_baselines(features, chosen, spec, of),
    }
    return Clustered(pl.DataFrame([summary]), members, groups)


def _sample(n: int, total: int, spec: ClusteringSpec) -> str:
    return "all" if n == total else f"{n} of {total}, seed {spec.seed}"


def _baselines(
    features: pl.LazyFrame, contexts: pl.DataFrame, spec: ClusteringSpec, of: ContextFeaturesSpec
) -> dict[str, float | None]:
    """previous_ari, …, answer_…, last_…: agreement of trivial groupings with the known rules."""
    skills = contexts["skill"]
    groupings = {"previous": contexts["previous_id"], "answer": contexts["answer_id"]}
    if of.aggregation == "last" and skills.count():
        last = replace(spec, representation="activations", similarity="cosine")
        X = context_vectors(
            features.filter(pl.col("pos") == -1), contexts["context_id"].to_list(), last
        )
        groupings["last"] = pl.Series(np.asarray(cluster(X, last).labels))
    return {
        f"{name}_{score}": value
        for name, groups in groupings.items()
        for score, value in agreement(groups, skills)._asdict().items()
    }
