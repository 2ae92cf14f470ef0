"""Features that tell a cluster from the others of its clustering.

By the difference of mean |effect|: over the cluster's contexts, less over all others'; effects are
summed over positions. Site by site,
so that memory is bounded by one site's rows; each sum is in the order of the rows, so that the same
rows give the same bytes. Cost: one pass over the rows, about 100 bytes a row of the largest site.
"""

from __future__ import annotations

import polars as pl

from dagster_project.interp.context_features import EFFECT

MOST = 20
"""Features of each cluster."""

_COLUMNS = pl.Schema(
    {
        "cluster": pl.Int32(),
        "place": pl.UInt32(),
        "site": pl.String(),
        "feature": pl.Int32(),
        "share": pl.Float64(),
        "share_else": pl.Float64(),
        "mean_effect": pl.Float64(),
        "mean_effect_else": pl.Float64(),
        "difference": pl.Float64(),
    }
)


def distinct_features(features: pl.LazyFrame, members: pl.DataFrame) -> pl.DataFrame:
    """The MOST features of largest difference above 0 of each cluster, by cluster and place.

    features: rows of context_features, one a context and node or one a position; members:
    context_id, cluster, where those below 0 have none and count nowhere. Columns: cluster, place
    (from 1), site, feature; share of the cluster's contexts in which it is active, share_else of
    the others'; mean_effect, mean_effect_else; difference. What is of the others is null where
    there are none.
    """
    inside = members.filter(pl.col("cluster") >= 0).select("context_id", "cluster")
    sites = features.select(pl.col("site").unique().sort()).collect()["site"]
    best = [
        _best(_by_cluster(features.filter(site=site), inside), inside).with_columns(
            site=pl.lit(site)
        )
        for site in sites
    ]
    ranked = pl.concat(
        [pl.DataFrame(schema=_COLUMNS).drop("place"), *best], how="diagonal_relaxed"
    ).sort("cluster", "difference", "site", "feature", descending=[False, True, False, False])
    place = (pl.int_range(pl.len()).over("cluster") + 1).cast(pl.UInt32)
    return ranked.with_columns(place=place).filter(pl.col("place") <= MOST).select(_COLUMNS.names())


def _by_cluster(features: pl.LazyFrame, inside: pl.DataFrame) -> pl.DataFrame:
    """Cluster, feature; active: contexts; effect: Σ |value|, of one site's rows."""
    value = EFFECT.cast(pl.Float64)
    nodes = features.filter(pl.col("feature") >= 0)
    rows = nodes.select("context_id", "feature", "pos", value=value).collect()
    if rows["pos"].null_count() < len(rows):  # the sums are not stored
        rows = rows.group_by("context_id", "feature", maintain_order=True).agg(
            pl.col("value").sum()
        )
    return (
        rows.join(inside, on="context_id", maintain_order="left")
        .group_by("cluster", "feature", maintain_order=True)
        .agg(active=pl.len(), effect=pl.col("value").abs().sum())
    )


def _best(found: pl.DataFrame, inside: pl.DataFrame) -> pl.DataFrame:
    """The best of each cluster at one site."""
    sizes = inside.group_by("cluster").agg(size=pl.len().cast(pl.Int64))
    elsewhere = len(inside) - pl.col("size")
    others = pl.when(elsewhere > 0).then(elsewhere)
    everywhere = pl.col("active", "effect").sum().over("feature")
    apart = found.join(sizes, on="cluster", maintain_order="left").with_columns(
        everywhere.name.prefix("all_")
    )
    share, mean = pl.col("active") / pl.col("size"), pl.col("effect") / pl.col("size")
    return (
        apart.with_columns(
            share=share,
            share_else=(pl.col("all_active") - pl.col("active")) / others,
            mean_effect=mean,
            mean_effect_else=(pl.col("all_effect") - pl.col("effect")) / others,
        )
        .with_columns(difference=pl.col("mean_effect") - pl.col("mean_effect_else").fill_null(0))
        .filter(pl.col("difference") > 0)
        .sort("cluster", "difference", "feature", descending=[False, True, False])
        .group_by("cluster", maintain_order=True)
        .head(MOST)
        .select(c for c in _COLUMNS if c not in ("place", "site"))
    )
