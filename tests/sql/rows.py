"""A small lake, made by hand: what the answers of test_queries.py are computed from."""

from __future__ import annotations

from tests.lake.frames import Row

DOCUMENTS: list[Row] = [
    {"doc_id": 1, "pile_set_name": "web", "n_chars": 4, "content_hash": "a"},
    {"doc_id": 2, "pile_set_name": "web", "n_chars": 6, "content_hash": "a"},
    {"doc_id": 3, "pile_set_name": "books", "n_chars": 10, "content_hash": "b"},
]
LOSSES: list[Row] = [
    # One piece of two tokens, a token of unknown surprisal, and two pieces of one token each; then
    # pieces of another slot, and one without a rule.
    {"doc_id": 1, "pos": 1, "loss": 1.0, "skill": "count", "piece": 0, "surprisal": 1.5},
    {"doc_id": 1, "pos": 2, "loss": 3.0, "skill": "count", "piece": 0, "surprisal": 0.0, "rank": 1}
    | {"trigram_seen": True, "bigram_seen": True},
    {"doc_id": 2, "pos": 1, "loss": 0.05, "skill": "count", "piece": 0}
    | {"trigram_seen": True, "bigram_seen": True},
    {"doc_id": 3, "pos": 1, "loss": 2.0, "skill": "count", "piece": 0, "surprisal": 1.0, "rank": 3},
    {"doc_id": 3, "pos": 2, "loss": 4.0, "skill": "copy", "piece": 1, "surprisal": 4.0, "rank": 2}
    | {"bigram_seen": True},
]
RULE_LOSSES: list[Row] = [
    {"doc_id": 1, "pos": 1, "loss": 1.0, "skill": "sum", "piece": 0, "surprisal": 0.5},
    {"doc_id": 1, "pos": 2, "loss": 2.0, "piece": 1, "surprisal": 0.0},
    {"doc_id": 1, "pos": 3, "loss": 1.0, "skill": "sum", "slot": "digit", "piece": 2}
    | {"surprisal": 0.25},
    {"doc_id": 1, "pos": 4, "loss": 2.0, "skill": "sum", "slot": "digit", "piece": 2}
    | {"surprisal": 0.0},
    {"doc_id": 2, "pos": 1, "loss": 1.0, "skill": "sum", "slot": "digit", "piece": 2}
    | {"surprisal": 0.75},
    {"doc_id": 2, "pos": 2, "loss": 7.0, "skill": "sum", "slot": "digit", "piece": 3},
]
MANY_LOSSES: list[Row] = [  # 20 of token 1, 20 of token 2, 19 of token 3
    {"doc_id": 9, "pos": i, "token_id": 1 + i // 20, "loss": 1.0 + i // 20, "rank": i // 20}
    for i in range(59)
]
MANY_TOKENS: list[Row] = [
    {"doc_id": 9, "pos": i, "token_id": 1 + i // 20, "token": "abc"[i // 20]} for i in range(59)
]
CONTEXTS: list[Row] = [
    {"context_id": 0, "loss": 0.01, "context_loss": 0.02, "skill": "count", "slot": "up"},
    {"context_id": 1, "loss": 0.03, "context_loss": 0.63, "skill": "count"},
    {"context_id": 2, "loss": 0.02, "context_loss": 0.02, "skill": "count", "slot": "up"},
    {"context_id": 3, "loss": 0.02, "context_loss": 0.02},
]
EMBED: Row = {"site": "embed"}
POSITIONS: list[Row] = [
    # Feature 1 in context 0: activation 2 + 1, effect 2·3 + 1·(−1) = 5.
    EMBED | {"context_id": 0, "pos": -1, "feature": 1, "activation": 2.0, "gradient": 3.0},
    EMBED | {"context_id": 0, "pos": -2, "feature": 1, "activation": 1.0, "gradient": -1.0},
]
SUMS: list[Row] = [  # of another shard
    # Feature 2 summed, its last position beside the sum.
    EMBED | {"context_id": 0, "feature": 2, "activation": 1.0, "effect": -2.0},
    EMBED | {"context_id": 0, "pos": -1, "feature": 2, "activation": 0.5, "effect": -7.0},
    EMBED | {"context_id": 0, "feature": -1, "activation": 9.0, "effect": 9.0},
    EMBED | {"context_id": 1, "feature": 1, "activation": 1.0, "effect": -3.0},
    EMBED | {"context_id": 2, "feature": 2, "activation": 4.0, "effect": 1.0},
]
MEMBERS: list[Row] = [
    {"context_id": i, "cluster": cluster} for i, cluster in enumerate((0, 0, 1, -1))
]
ABS: Row = {"representation": "abs_effects", "similarity": "clipped", "n_clusters": 3}
SIGNED: Row = {"representation": "effects", "similarity": "cosine", "n_clusters": 3}
DENSE: Row = SIGNED | {"assign": "hdbscan", "min_cluster_size": 8, "clusters_asked": 3}
CLUSTERINGS: dict[str, Row] = {
    "all": ABS | {"part": "all", "ari": 1.0},
    "abs-c": ABS | {"part": "choose", "ari": 0.75, "previous_ari": 1.0, "ari_seeds": 1.0},
    "abs-r": ABS
    | {"part": "report", "ari": 0.625, "previous_ari": 0.5, "answer_ari": 0.25, "last_ari": 0.75},
    "abs-r2": ABS
    | {"part": "report", "ari": 0.875, "previous_ari": 0.5, "answer_ari": 0.25, "last_ari": 0.5},
    "signed-c": SIGNED | {"part": "choose", "ari": 0.5, "ari_seeds": 0.5, "ari_halves": 0.25},
    "signed-r": SIGNED | {"part": "report", "ari": 0.875, "previous_ari": 0.5, "ari_seeds": 0.75},
    "qr": SIGNED | {"assign": "cluster_qr", "part": "report"},
    "dense-c": DENSE | {"part": "choose", "ari": 0.25, "n_clusters": 5},
    "dense-r": DENSE | {"part": "report", "ari": 0.375, "n_clusters": 7},
    "finer": DENSE | {"part": "report", "ari": 0.5, "n_clusters": 9, "min_cluster_size": 4},
    "alone": SIGNED | {"n_clusters": 4, "part": "report", "ari": 1.0},
}
CLUSTERS: list[Row] = [
    {"cluster": -1, "size": 100},
    {"cluster": 0, "size": 2, "answer_entropy": 0.7, "top_answers": ["a", "b"], "purity": 0.5}
    | {"mean_loss": 0.02, "top_skill": "count/up"},
    {"cluster": 1, "size": 4, "answer_entropy": 0.5, "top_answers": ["c"], "mean_loss": 0.01},
    {"cluster": 2, "size": 2, "answer_entropy": 0.0, "top_answers": ["d"], "purity": 1.0}
    | {"mean_loss": 0.03},
]
CIRCUITS: dict[str, list[Row]] = {
    "t1": [{"circuit": "a"}],
    "t2": [{"circuit": "b"}],
    "c-1": [
        {"circuit": "c-1.attrib", "interestingness": 0.25},
        {"circuit": "c-1.ig", "interestingness": 0.5},
    ],
    "c-2": [{"circuit": "c-2.ig", "interestingness": 0.75}],
}
DICTIONARIES: list[Row] = [
    {"site": site, "kind": "topk", "n_features": 8, "dead_fraction": 0.25, "fve": fve}
    for site, fve in (("resid_10", 0.5), ("resid_2", 0.75), ("embed", 1.0))
]
SWEEP: list[Row] = [  # of two sites; k, then L0 and loss increase of each site
    {"form": form, "expansion": 8, "k": k, "site": site, "l0": l0, "loss_increase": loss}
    for form, k, *figures in (
        ("topk", 4, (4.0, 0.5), (4.0, 1.5)),
        ("topk", 8, (8.0, 0.25), (8.0, 0.75)),
        ("jumprelu", 4, (4.0, 0.75), (5.0, 1.75)),  # at resid_0 more of both than topk-x8-k4
        ("jumprelu", 8, (8.0, 0.25), (7.0, 0.25)),  # at embed just as topk-x8-k8
    )
    for site, (l0, loss) in zip(("embed", "resid_0"), figures, strict=True)
]
FEATURES: list[Row] = [EMBED | {"feature": 1, "label": "plural", "density": 0.25}]
NODES_A: list[Row] = [
    {"circuit": "a", "site": "resid_0", "feature": 2, "effect": -1.0},
    {"circuit": "a", "site": "embed", "feature": -1, "effect": -1.0},
    {"circuit": "a", "site": "embed", "feature": 1, "effect": 3.0},
]
NODES_B: list[Row] = [  # per position: feature 1 sums to 4
    {"circuit": "b", "site": "embed", "pos": 0, "feature": 1, "effect": 1.0},
    {"circuit": "b", "site": "embed", "pos": 1, "feature": 1, "effect": 3.0},
    {"circuit": "b", "site": "resid_0", "pos": 1, "feature": 3, "effect": 3.0},
]
EDGES: list[Row] = [
    {"circuit": "a", "up_site": "embed", "up_feature": -1, "down_site": "y", "weight": 0.5},
    {"circuit": "a", "up_site": "embed", "up_feature": 1, "weight": -2.0}
    | {"down_site": "resid_0", "down_feature": 2},
]

SHIFT: list[Row] = [
    {"probe": "p", "edit": "oracle", "accuracy": 1.0, "leakage": 0.5, "worst_group": 1.0},
    {"probe": "p", "edit": "random", "seed": 1, "accuracy": 0.5, "leakage": 1.0}
    | {"n_nodes": 2, "leakage_low": 0.75, "leakage_high": 1.0},
    {"probe": "p", "edit": "random", "seed": 0, "accuracy": 0.75, "leakage": 0.75}
    | {"n_nodes": 2, "leakage_low": 0.625, "leakage_high": 0.875},
    {"probe": "p", "edit": "by_hand", "retrained": True, "accuracy": 1.0, "leakage": 0.5},
    {"probe": "p", "edit": "by_hand", "accuracy": 0.875, "leakage": 0.375, "n_nodes": 2},
    {"probe": "p", "edit": "none", "accuracy": 0.625, "leakage": 0.875, "worst_group": 0.25},
    {"probe": "q", "edit": "none", "accuracy": 0.5, "leakage": 1.0},
]
SHIFT_FEATURES: list[Row] = [
    EMBED | {"probe": "p", "feature": 3, "rank": 2, "effect": -1.0, "abs_effect": 1.0},
    EMBED | {"probe": "p", "feature": 2, "rank": 0, "effect": 3.0, "abs_effect": 3.0},
    EMBED
    | {"probe": "p", "feature": 1, "rank": 1, "effect": 2.0, "abs_effect": 2.5}
    | {"by_hand": True, "why": "she", "gender_correlation": 0.5},
]


def edge(up: str, down: str, weight: float, circuit: str = "g") -> Row:
    """An edge of a circuit between nodes such as embed/1, embed/1@3 or y."""
    row: Row = {"circuit": circuit, "weight": weight}
    for side, node in (("up", up), ("down", down)):
        place, _, pos = node.partition("@")
        site, _, feature = place.partition("/")
        row |= {f"{side}_site": site, f"{side}_feature": int(feature or 0)}
        row[f"{side}_pos"] = int(pos) if pos else None
    return row


GRAPH: list[Row] = [
    edge("embed/1", "attn_0/2", 1.0),
    edge("attn_0/2", "resid_0/3", -2.0),
    edge("embed/1", "resid_0/3", 0.5),
    edge("embed/1", "resid_0/-1", 0.125),
    edge("embed/9", "resid_0/4", 3.0),
    edge("resid_0/3", "y", 4.0),
    edge("resid_0/-1", "y", 0.25),
    edge("resid_0/4", "y", 5.0),
    edge("embed/7@3", "resid_0/8@4", 0.75),
    edge("embed/7@4", "resid_0/8@4", 0.625),
    edge("resid_0/8@4", "y", -0.0625),
]


def faithful(unit: str, value: float, faithfulness: float, n_nodes: int, **more: object) -> Row:
    """One evaluation of a circuit."""
    row = {"unit": unit, "selection": "top_n", "value": value, "faithfulness": faithfulness}
    row |= {"f_circuit": faithfulness, "f_model": 1.0}
    return row | {"n_nodes": n_nodes, "completeness": 0.25, "n_error_nodes": 4} | more


SKIPPING: Row = {"circuit": "skips", "edge_kind": "total", "n_edges": 9}
SKIPS: list[Row] = [
    edge(up, down, weight, "skips")
    for up, down, weight in (
        ("embed/1", "resid_2/5", -4.0),
        ("mlp_0/-1", "attn_1/2@3", 2.0),
        ("resid_0/4", "mlp_2/2", 1.0),
        ("embed/1", "mlp_0/-1", 9.0),
        ("embed/1", "resid_0/4", 9.0),
        ("mlp_0/-1", "resid_0/4", 9.0),
        ("resid_0/4", "attn_1/2@3", 9.0),
        ("attn_1/2@3", "resid_1/6", 9.0),
        ("embed/1", "y", 9.0),
    )
]


FAITHFULNESS: list[Row] = [
    faithful("feature", 10, 0.5, 10, low=0.375, high=0.625),
    faithful("feature", 100, 0.875, 100, n_error_nodes=7, low=0.75, high=0.9375),
    faithful("feature", 0.1, 0.9375, 60, selection="threshold", completeness=0.5),
    faithful("neuron", 10, 0.125, 10, low=0.0, high=0.25),
    faithful("neuron", 100, 0.75, 100, low=0.5, high=0.875),
    faithful("neuron", 200, 0.90625, 190),
    faithful("random", 10, 0.25, 10, seed=0),
    faithful("random", 10, 0.75, 10, seed=1),
]
SITE_EFFECTS: list[Row] = [
    {"method": "ig", "site": "embed", "sum_of_effects": 2.0, "true_change": -2.0, "residual": 0.0},
    {"method": "ig", "site": "mlp_0", "sum_of_effects": 1.5, "true_change": 1.0, "residual": 0.5},
]
