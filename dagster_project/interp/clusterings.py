"""A clustering of a study's contexts, as four tables tell it: summary, members, clusters, and the
features that tell a cluster from the others.

Vectors, clusters and map come from `clustering.py`, figures from `cluster_metrics.py`. Where the
corpus knows the rules behind answers, the agreement of trivial groupings stands beside that of the
clusters: the previous token, the answer token, and clusters by activations at the last position
(where its rows are kept: sums alone do not hold them). A representation that was chosen by its
agreement is judged on contexts that had no part in the choice: `part_of` gives the two halves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
import torch

from dagster_project.interp.affinity import Vectors
from dagster_project.interp.cluster_metrics import (
    agreement,
    cosine_sums,
    describe,
    leaves,
    silhouettes,
)
from dagster_project.interp.cluster_stability import stability
from dagster_project.interp.clustering import (
    LEFT_OUT,
    ZERO,
    cluster,
    clusters_of,
    context_vectors,
    embedded,
    places_of,
    sample_of,
)
from dagster_project.interp.context_gradients import unit_vectors
from dagster_project.interp.contexts import mix
from dagster_project.interp.distinct_features import distinct_features
from dagster_project.interp.kept import Kept
from dagster_project.interp.spectral import Embedding
from dagster_project.interp.strata import RULE
from dagster_project.studies.study import ClusteringSpec, ContextFeaturesSpec


class Clustered(NamedTuple):
    """The tables of one clustering."""

    clusterings: pl.DataFrame  # one row
    cluster_members: pl.DataFrame  # a row a context, by context_id
    clusters: pl.DataFrame  # a row a cluster
    distinct_features: pl.DataFrame  # a row a feature of a cluster


def with_previous(contexts: pl.DataFrame, tokens: pl.LazyFrame) -> pl.DataFrame:
    """Contexts (doc_id, pos) with previous_id, the token before the answer."""
    before = contexts.lazy().with_columns(pos=(pl.col("pos") - 1).cast(pl.UInt16))
    found = tokens.select("doc_id", pl.col("pos").cast(pl.UInt16), previous_id="token_id")
    pairs = found.join(before.select("doc_id", "pos"), on=["doc_id", "pos"]).unique().collect()
    answers = pairs.with_columns(pos=(pl.col("pos") + 1).cast(contexts.schema["pos"]))
    return contexts.join(answers, on=["doc_id", "pos"], how="left", maintain_order="left")


def part_of(
    contexts: pl.DataFrame, part: Literal["all", "choose", "report"], seed: int
) -> pl.DataFrame:
    """All contexts (context_id, skill, slot), or one of the two halves, by context_id.

    Ordered by rule and within it by a seeded hash, every other context belongs to `choose` and the
    rest to `report`: of each rule, and of all, the halves have equally many but for one.
    """
    if part == "all":
        return contexts.sort("context_id")
    among = pl.Series(mix(contexts["context_id"].to_numpy(), seed))
    shuffled = contexts.with_columns(RULE, among=among).sort("rule", "among")
    half = shuffled.gather_every(2, offset=int(part == "report"))
    return half.select(contexts.columns).sort("context_id")


def clustered(
    features: pl.LazyFrame,
    contexts: pl.DataFrame,
    spec: ClusteringSpec,
    of: ContextFeaturesSpec,
    gradients: pl.LazyFrame | None = None,
    device: torch.device | str = "cpu",
    kept: Kept | None = None,
) -> Clustered:
    """Clusters of contexts by their features, or by their gradients where spec asks for them.

    features: context_features of a study, made as `of` says; contexts: those of spec.part, with
    context_id, answer_id, answer, loss, skill, slot, previous_id; gradients: context_gradients;
    kept: where a clustering that shares the embedding may have left it.
    Raises SpectralError where there are too few contexts.
    """
    ids = sample_of(contexts["context_id"].to_list(), spec.max_contexts, spec.seed)
    chosen = contexts.filter(pl.col("context_id").is_in(ids)).sort("context_id").with_columns(RULE)
    rows = features.filter(_rows(spec, of))
    if spec.representation == "gradients":
        assert gradients is not None
        X: Vectors = unit_vectors(gradients, ids)
    else:
        X = context_vectors(rows, ids, spec)
    points, residuals = _embedding(X, spec, device, kept)
    found = clusters_of(points, spec)
    labels, places = found.labels, places_of(found, spec.seed)
    sums = cosine_sums(X, labels, device)
    silhouette = silhouettes(sums, labels)
    members = pl.DataFrame(
        {"context_id": ids, "cluster": labels, "x": places[:, 0], "y": places[:, 1]}
    ).with_columns(pl.col("x", "y").fill_nan(None))
    means = silhouette.group_by("cluster").agg(pl.col("silhouette").mean())
    groups = describe(chosen.with_columns(members["cluster"]))
    groups = groups.join(means, on="cluster", how="left").join(
        leaves(sums, labels), on="cluster", how="left"
    )
    summary = {
        "representation": spec.representation,
        **_made_of(spec, of),
        "similarity": spec.similarity,
        "assign": spec.assign,
        "min_cluster_size": spec.min_cluster_size if spec.assign == "hdbscan" else None,
        "clusters_asked": spec.n_clusters,
        "residual": float(residuals[: spec.n_clusters].max()),
        "n_clusters": groups.filter(pl.col("cluster") >= 0).height,
        "n_contexts": len(ids),
        "n_zero": int((labels == ZERO).sum()),
        "n_left_out": int((labels == LEFT_OUT).sum()),
        "part": spec.part,
        "sample": _sample(len(ids), len(contexts), spec),
        "silhouette": silhouette["silhouette"].mean(),
        **agreement(members["cluster"], chosen["rule"])._asdict(),
        **stability(X, found, spec, device)._asdict(),
        **_baselines(features, chosen, spec, of, device),
    }
    return Clustered(pl.DataFrame([summary]), members, groups, distinct_features(rows, members))


def _embedding(
    X: Vectors, spec: ClusteringSpec, device: torch.device | str, kept: Kept | None
) -> Embedding:
    """The embedding that is kept, or a new one, which is kept then."""
    if kept is None:
        return embedded(X, spec, device)
    points, residuals = kept.get(0), kept.get(1)
    if points is not None and residuals is not None:
        return Embedding(points["value"].to_numpy(), residuals["value"].to_numpy())
    made = embedded(X, spec, device)
    for part, values in enumerate(made):
        kept.put(part, pl.DataFrame({"value": values}))
    return made


def _made_of(spec: ClusteringSpec, of: ContextFeaturesSpec) -> dict[str, str]:
    """metric and aggregation of the vectors."""
    if spec.representation == "gradients":  # of the loss, over all tokens
        return {"metric": "log_prob", "aggregation": "sum"}
    last = spec.positions == "last"
    return {"metric": of.metric, "aggregation": "last position" if last else of.aggregation}


def _rows(spec: ClusteringSpec, of: ContextFeaturesSpec) -> pl.Expr:
    """Those of context_features that make the vectors."""
    if spec.positions == "last":
        return pl.col("pos") == -1
    return pl.col("pos").is_null() if of.aggregation == "sum" else pl.lit(True)


def _sample(n: int, total: int, spec: ClusteringSpec) -> str:
    if n == total:
        return spec.part
    whole = str(total) if spec.part == "all" else f"{total} ({spec.part})"
    return f"{n} of {whole}, seed {spec.seed}"


def _baselines(
    features: pl.LazyFrame,
    contexts: pl.DataFrame,
    spec: ClusteringSpec,
    of: ContextFeaturesSpec,
    device: torch.device | str,
) -> dict[str, float | None]:
    """previous_ari, …, answer_…, last_…: agreement of trivial groupings with the known rules."""
    rules = contexts["rule"]
    groupings = {"previous": contexts["previous_id"], "answer": contexts["answer_id"]}
    if (of.aggregation == "last" or of.also_last) and rules.count():
        last = replace(spec, representation="activations", similarity="cosine", embedded=0)
        X = context_vectors(
            features.filter(pl.col("pos") == -1), contexts["context_id"].to_list(), last
        )
        groupings["last"] = pl.Series(np.asarray(cluster(X, last, device).labels))
    return {
        f"{name}_{score}": value
        for name, groups in groupings.items()
        for score, value in agreement(groups, rules)._asdict().items()
    }
