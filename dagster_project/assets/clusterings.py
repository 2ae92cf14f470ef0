"""The stage `clusterings`: contexts that the model predicts by the same nodes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from dagster_project.assets import scratch
from dagster_project.assets.plot import png
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.provenance import digest
from dagster_project.resources import device
from dagster_project.studies.study import ClusteringSpec, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dagster_project.interp.clusterings import Clustered
    from dagster_project.interp.kept import Kept

DOC = """Clusters of contexts by the activations or effects of their nodes, or by the gradients of
their losses over the parameters, with a 2-D map.

Vectors are made of all sites' nodes, each site's part scaled to norm 1; spectral embedding of
their similarity without a [context, context] matrix (cosine, abs), then k-means, a pivoted QR or
HDBSCAN. Cluster 0 is the largest; contexts without any node are cluster −1, those that HDBSCAN
leaves out −2. Clusterings of one list of `n_clusters` share an embedding. Where the corpus knows
the rules behind tokens, agreement with them (skill and slot) stands beside that of trivial
groupings. A clustering of one part, `choose` or `report`, has half of the contexts of each rule;
the halves are those of `contexts.seed` and so disjoint in all clusterings. The features that tell
each cluster from the others stand in a table of their own.

Cost: 24 bytes a node of a context; seconds for thousands of contexts, minutes for a hundred
thousand (`python -m bench.clustering`). `clipped`, `angular` and `svd_cut` need a dense
matrix, up to 11,585 contexts."""

SHOWN = 20
"""Clusters with a colour of their own in the plot."""


def compute(run: StageRun) -> StageResult:
    from dagster_project.interp.clusterings import clustered, part_of, with_previous

    spec, of = run.study.clusterings[run.partition], run.study.context_features
    started = time.perf_counter()
    part = part_of(run.scan("contexts").collect(), spec.part, run.study.contexts.seed)
    contexts = with_previous(part, run.scan_shards("tokens"))
    features = run.scan_shards("context_features")
    by_gradients = spec.representation == "gradients"
    gradients = run.scan_shards("context_gradients") if by_gradients else None
    where = device(run.study).replace("mps", "cpu")  # which has no double precision
    kept = _kept(run, spec) if spec.embedded else None
    found = clustered(features, contexts, spec, of, gradients, where, kept)
    summary = found.clusterings.with_columns(
        unit_norm_per_site=pl.lit(None if by_gradients else spec.unit_norm_per_site, pl.Boolean),
        unit_rows=pl.lit(spec.unit_rows),
        errors=pl.lit(None if by_gradients else spec.errors, pl.Boolean),
        svd_cut=pl.lit(spec.svd_cut, pl.Float32),
        seconds=pl.lit(time.perf_counter() - started),
    )
    _write(run, found._replace(clusterings=summary))
    expected = min(spec.max_contexts or len(contexts), len(contexts))
    return StageResult(_figures(found), _checks(found, expected), _plot(found.cluster_members))


def _kept(run: StageRun, spec: ClusteringSpec) -> Kept:
    """Where an embedding lies for as long as a clustering that shares it is to be made."""
    from dagster_project.interp.kept import Kept

    version, others = _shared(run, spec), run.study.clusterings.items()
    sharing = [name for name, s in others if s.embedded and _shared(run, s) == version]
    parts = [scratch.Part(STAGE.name, name) for name in sharing]
    return Kept(scratch.shared(run, STAGE.name, version, parts))


def _shared(run: StageRun, spec: ClusteringSpec) -> str:
    """What the embedding depends on that clusterings of one list share, as a hash."""
    study = run.study.name
    made_of = [run.lake.version("contexts", study=study)]
    table = "context_gradients" if spec.representation == "gradients" else "context_features"
    made_of += [run.lake.version(table, study=study, shard=s) for s in run.shards]
    seed = run.study.contexts.seed  # of the halves
    width = max(spec.n_clusters, spec.embedded)
    alike = replace(spec, n_clusters=2, embedded=width, assign="kmeans", min_cluster_size=2)
    alike = replace(alike, unit_rows=False)
    return digest([STAGE.code_version, made_of, seed, alike])


def _write(run: StageRun, found: Clustered) -> None:
    for table, frame in found._asdict().items():
        with run.writer(table, kind="clustering") as writer:
            writer.append(frame)


def _figures(found: Clustered) -> dict[str, int | float | str | None]:
    row = found.clusterings.row(0, named=True)
    shown = (
        *("n_clusters", "n_contexts", "n_zero", "n_left_out", "sample", "silhouette"),
        *("ari", "nmi", "purity", "ari_seeds", "ari_halves", "residual"),
    )
    baselines = {name: value for name, value in row.items() if name.endswith("_ari")}
    largest = found.clusters["size"].max()
    return {**{name: row[name] for name in shown}, **baselines, "largest": largest}


def _checks(found: Clustered, expected: int) -> list[Check]:
    members, clusters = found.cluster_members, found.clusters
    inside = members.filter(pl.col("cluster") >= 0)
    placed = int(inside.select(pl.all_horizontal(pl.col("x", "y").is_finite()).sum()).item())
    numbers = clusters.filter(pl.col("cluster") >= 0)["cluster"].to_list()
    sizes = clusters.filter(pl.col("cluster") >= 0)["size"].to_list()
    total = int(clusters["size"].sum())
    return [
        Check(
            "every_context",
            members.height == members["context_id"].n_unique() == expected,
            {"members": members.height, "contexts": expected},
        ),
        Check("sizes", total == members.height, {"sum_of_sizes": total}),
        Check(
            "by_size",
            numbers == list(range(len(numbers))) and sizes == sorted(sizes, reverse=True),
            {"clusters": len(numbers)},
        ),
        Check("placed", placed == inside.height, {"placed": placed, "clustered": inside.height}),
    ]


def _plot(members: pl.DataFrame) -> bytes:
    """The map; the largest clusters in colour."""
    small = members.filter(pl.col("cluster") >= SHOWN)
    large = members.filter(pl.col("cluster").is_between(0, SHOWN - 1))

    def draw(axes: Axes) -> None:
        axes.scatter(small["x"], small["y"], s=3, c="lightgrey")
        axes.scatter(large["x"], large["y"], s=3, c=large["cluster"], cmap="tab20")
        axes.set(xticks=[], yticks=[], title=f"{members.height} contexts")

    return png(draw)


def _needs(study: Study, partition: str) -> tuple[str, ...]:
    """Gradients only where they are clustered; features also there, which tell clusters apart."""
    nodes = ("context_features", "contexts", "tokens")
    by_gradients = study.clusterings[partition].representation == "gradients"
    return (*nodes, "context_gradients") if by_gradients else nodes


STAGE = Stage(
    name="clusterings",
    doc=DOC,
    partition="clustering",
    tables=("clusterings", "cluster_members", "clusters", "distinct_features"),
    inputs=("context_features", "contexts", "tokens", "context_gradients"),
    reads=lambda study, partition: study.clusterings[partition],
    needs=_needs,
    shards=lambda study: study.contexts.shards,
    compute=compute,
    checks={
        "every_context": "Every context of the part, or of the sample, is a member once.",
        "sizes": "The clusters' sizes sum to the members.",
        "by_size": "Clusters are numbered 0, 1, … without a gap, the largest first.",
        "placed": "Every context in a cluster has a place on the map.",
    },
    code_version="7",  # what was asked for, and how exact the eigenvectors are
    kinds=("parquet", "scikitlearn"),
)
