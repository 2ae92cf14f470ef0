"""Two clusterings of a few contexts, made by hand, and contexts enough for a second page."""

from __future__ import annotations

import polars as pl

from dagster_project.interp.distinct_features import distinct_features
from dagster_project.lake.store import Lake
from tests.dashboards.lakes import PLAIN, fill
from tests.lake.frames import Row, put

FAR = 1_000_000  # the first document of the second shard
MANY = 25  # contexts there
C0, C1, C2, C3, C4, C5 = (
    d * 65_536 + p for d, p in ((0, 2), (1, 2), (2, 3), (3, 3), (3, 4), (0, 4))
)
FIRST: dict[int, tuple[int, float | None, float | None]] = {  # cluster, x, y
    C0: (0, 0.0, 0.0),
    C1: (0, 2.0, 0.0),
    C2: (0, 1.0, 3.0),
    C3: (1, 10.0, 10.0),
    C4: (1, 12.0, 10.0),
    C5: (-1, None, None),
}
MAIN: Row = {"skill": "agreement", "slot": "main"}
COPY: Row = {"skill": "copy"}
RULES: dict[int, Row] = {C0: MAIN, C1: MAIN, C2: COPY, C3: COPY, C4: {}, C5: {}}
LOSSES = {C0: 0.5, C1: 1.5, C2: 1.0, C3: 2.0, C4: 3.0, C5: 4.0}
ALIKE: Row = {"representation": "effects", "metric": "logit", "aggregation": "sum", "part": "all"}
ALIKE |= {"similarity": "cosine", "unit_norm_per_site": True}
NODES: list[Row] = [
    {"context_id": C0, "feature": 1, "effect": 3.0},
    {"context_id": C0, "feature": 1, "pos": -1, "effect": 100.0},  # beside the sum
    {"context_id": C0, "feature": -1, "effect": 9.0},
    {"context_id": C1, "feature": 1, "effect": -1.0},
    {"context_id": C3, "feature": 1, "effect": 1.0},
    {"context_id": C3, "feature": 2, "effect": 2.0},
]


def fill_clusters(lake: Lake, study: str = "plain", texts: tuple[str, ...] = PLAIN) -> Lake:
    """A whole study with the clusterings `first` (k 2) and `second` (k 4), made alike."""
    fill(lake, study, texts)
    shards: list[Row] = [{"ordinal": i, "shard": f"0000{i}", "rows": 4} for i in (0, 1)]
    put(lake, "shards", shards, study=study)
    far = range(FAR, FAR + MANY)
    tokens: list[Row] = [
        {"doc_id": d, "pos": p, "token_id": p, "token": texts[p]} for d in far for p in range(3)
    ]
    put(lake, "tokens", tokens, study=study, shard="00001")
    put(lake, "contexts", _contexts(texts), study=study)
    nodes: list[Row] = [{"site": "embed"} | row for row in NODES]
    put(lake, "context_features", nodes, study=study, shard="00000")
    name = texts[0]
    label: Row = {"site": "embed", "feature": 1, "label": "plural" if texts is PLAIN else name}
    put(lake, "features", [label], study=study)
    for clustering, k, ari in (("first", 2, 0.75), ("second", 4, 0.5)):
        made: Row = {"n_clusters": k, "n_contexts": 6, "ari": ari, "answer_ari": 0.25}
        row = ALIKE | made | {"sample": "all", "previous_ari": 0.125, "silhouette": 0.5}
        put(lake, "clusterings", [row], study=study, clustering=clustering)
    members: list[Row] = [
        {"context_id": c, "cluster": n, "x": x, "y": y} for c, (n, x, y) in FIRST.items()
    ]
    put(lake, "cluster_members", members, study=study, clustering="first")
    put(lake, "cluster_members", _second(), study=study, clustering="second")
    sums = lake.scan("context_features", study=study).filter(pl.col("pos").is_null())
    distinct = distinct_features(sums, pl.DataFrame(members)).to_dicts()
    put(lake, "distinct_features", distinct, study=study, clustering="first")
    answers = [texts[2], texts[3]]
    known = "agreement/main" if texts is PLAIN else name
    described: list[Row] = [
        {"cluster": -1, "size": 1, "mean_loss": 4.0, "top_answers": [texts[4]]},
        {"cluster": 0, "size": 3, "mean_loss": 1.0, "top_answers": answers, "top_skill": known}
        | {"answer_entropy": 0.625, "purity": 0.75, "silhouette": 0.25},
        {"cluster": 1, "size": 2, "mean_loss": 2.5, "top_answers": answers, "answer_entropy": 0.5},
    ]
    put(lake, "clusters", described, study=study, clustering="first")
    sizes = (MANY, 2, 2, 1)
    described = [{"cluster": i, "size": n, "top_answers": answers} for i, n in enumerate(sizes)]
    put(lake, "clusters", described, study=study, clustering="second")
    circuit: Row = {"circuit": "first-0.ig.sum", "method": "ig", "interestingness": 0.5}
    put(lake, "circuits", [circuit], study=study, task="first-0")
    return lake


def _contexts(texts: tuple[str, ...]) -> list[Row]:
    rows: list[Row] = []
    for context, rule in RULES.items():
        place: Row = {"context_id": context, "doc_id": context // 65_536, "pos": context % 65_536}
        answer = texts[context % 65_536]
        shown = rule if texts is PLAIN else {"skill": texts[1], "slot": texts[7]}
        rows.append(
            place | {"answer": answer, "loss": LOSSES[context], "context_loss": 1.0} | shown
        )
    for doc in range(FAR, FAR + MANY):
        place = {"context_id": doc * 65_536 + 2, "doc_id": doc, "pos": 2, "answer": texts[2]}
        rows.append(place | {"loss": 0.25, "context_loss": 0.25})
    return sorted(rows, key=lambda row: row["context_id"])  # type: ignore[arg-type, return-value]


def _second() -> list[Row]:
    clusters = {C1: 1, C2: 1, C3: 2, C4: 2, C0: 3}
    near: list[Row] = [
        {"context_id": c, "cluster": n, "x": n, "y": 1.0} for c, n in clusters.items()
    ]
    return near + [
        {"context_id": doc * 65_536 + 2, "cluster": 0, "x": -1.0 * i, "y": 0.0}
        for i, doc in enumerate(range(FAR, FAR + MANY))
    ]
