"""A small study with features, made by hand: what they do, where they act, what they are called."""

from __future__ import annotations

from dagster_project.lake.label_log import Label, append
from dagster_project.lake.store import Lake
from tests.dashboards.lakes import PLAIN, fill
from tests.lake.frames import Row, put

IN_RESID = 60  # features of resid_0: more than a page of the table
EMBED: Row = {"site": "embed", "feature": 3}
FEATURES: list[Row] = [
    EMBED
    | {"density": 0.25, "mean_activation": 1.75, "max_activation": 3.5, "dead": False}
    | {"active_tokens": 24, "n_tokens": 96, "bin_width": 1.0, "histogram": [6, 12, 0, 6]},
    {"site": "embed", "feature": 4, "density": 0.5, "mean_activation": 1.0, "max_activation": 2.0},
    {"site": "embed", "feature": 7, "dead": True, "n_tokens": 96},
    *(
        {"site": "resid_0", "feature": i, "density": (i + 1) / 1024, "max_activation": 1 + i / 64}
        for i in range(IN_RESID)
    ),
]
EXAMPLES: list[Row] = [
    EMBED
    | {"rank": 0, "doc_id": 2, "pos": 1, "activation": 3.5}
    | {"interval": 0, "interval_low": 3.0, "interval_high": 4.0, "sampled": False}
    | {"near_offsets": [0, 2], "near_activations": [3.5, 1.0], "near_effects": [-0.5, 0.25]},
    EMBED
    | {"rank": 1, "doc_id": 5, "pos": 3, "activation": 1.5}
    | {"interval": 2, "interval_low": 1.0, "interval_high": 2.0, "sampled": True}
    | {"near_offsets": [0], "near_activations": [1.5]},
]
NEIGHBOURS: list[Row] = [
    EMBED | {"kind": "cosine", "rank": 0, "other": 4, "value": 0.5},
    EMBED | {"kind": "coactive", "rank": 0, "other": 7, "value": 0.25, "common_tokens": 6},
]
NODES: list[Row] = [
    {"site": "embed", "feature": 3, "pos": 1, "effect": 3.0},
    {"site": "resid_0", "feature": 5, "pos": 3, "effect": -1.0},
]
ACTIVE: list[Row] = [  # in two contexts of four
    EMBED | {"context_id": 0, "activation": 1.0, "effect": 2.0},
    EMBED | {"context_id": 1, "activation": 3.0, "effect": -1.0},
]


def fill_features(lake: Lake, study: str = "plain", texts: tuple[str, ...] = PLAIN) -> Lake:
    """A whole study with features: embed/3 has everything, embed/7 is dead, and embed/4 has a
    label, of the study's first text."""
    fill(lake, study, texts)
    put(lake, "features", FEATURES, study=study)
    put(lake, "feature_examples", EXAMPLES, study=study)
    put(lake, "feature_neighbours", NEIGHBOURS, study=study)
    put(lake, "feature_logits", _logits(texts), study=study)
    _circuit(lake, study, "order" if texts is PLAIN else f"order {texts[0]}")
    _clusters(lake, study, texts)
    first, second = "2026-01-02T03:04:05.000000Z", "2026-01-03T03:04:05.000000Z"
    labels = [Label("embed", 4, "nouns", "Ada", first), Label("embed", 4, texts[0], "Ada", second)]
    append(lake, study, labels)
    return lake


def _logits(texts: tuple[str, ...]) -> list[Row]:
    return [
        EMBED | {"sign": 1, "rank": 0, "token": texts[1], "logit": 2.0},
        EMBED | {"sign": 1, "rank": 1, "token": texts[2], "logit": 1.0},
        EMBED | {"sign": -1, "rank": 0, "token": texts[0], "logit": -4.0},
        {"site": "embed", "feature": 4, "sign": 1, "rank": 0, "token": texts[2], "logit": 1.0},
    ]


def _circuit(lake: Lake, study: str, name: str) -> None:
    of, named = {"study": study, "task": "order"}, {"circuit": name}
    put(lake, "circuits", [named | {"method": "ig", "aggregation": "none", "n_nodes": 2}], **of)
    put(lake, "circuit_nodes", [row | named for row in NODES], **of)
    edge: Row = {"up_site": "embed", "up_pos": 1, "up_feature": 3, "weight": 1.0}
    down: Row = {"down_site": "resid_0", "down_pos": 3, "down_feature": 5}
    put(lake, "circuit_edges", [named | edge | down], **of)


def _clusters(lake: Lake, study: str, texts: tuple[str, ...]) -> None:
    of = {"study": study, "clustering": "by-effect"}
    contexts: list[Row] = [{"context_id": i, "answer": texts[2]} for i in range(4)]
    put(lake, "contexts", contexts, study=study)
    put(lake, "context_features", ACTIVE, study=study, shard="00000")
    put(lake, "clusterings", [{"representation": "effects", "n_clusters": 1}], **of)
    put(lake, "cluster_members", [{"context_id": i, "cluster": 0} for i in range(4)], **of)
    put(lake, "clusters", [{"cluster": 0, "size": 4, "top_skill": texts[1]}], **of)
