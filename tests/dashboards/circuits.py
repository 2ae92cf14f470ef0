"""Two small circuits, made by hand: one per position, one summed; and their page."""

from __future__ import annotations

from collections.abc import Sequence

from playwright.sync_api import Locator, Page, expect

from dagster_project.lake.store import Lake
from tests.browser import Visit
from tests.dashboards.lakes import PLAIN, fill
from tests.lake.frames import Row, put

ORDER = "/circuit?study=plain&circuit=order.ig.none"
EMBED: Row = {"site": "embed", "pos": 1}
RESID: Row = {"site": "resid_0", "pos": 3}
NODES: list[Row] = [
    EMBED | {"feature": 3, "effect": 2.0, "patch_only": 0.5},
    EMBED | {"feature": 4, "effect": -0.5, "patch_only": 0.0},
    RESID | {"feature": 5, "effect": 3.0, "patch_only": 0.25},
    RESID | {"feature": -1, "effect": -1.0, "patch_only": 0.0},
]
SUMMED: list[Row] = [
    {"site": "embed", "feature": 3, "effect": 1.0},
    {"site": "mlp_0", "feature": 9, "effect": 4.0},
]


def fill_circuits(lake: Lake, study: str = "plain", texts: tuple[str, ...] = PLAIN) -> Lake:
    """A whole study with circuits `order.ig.none`, of the task order, `copy.ig.sum`, and
    `paths.ig.sum.total`, the same with an edge past a site.

    The first has the study's first text in its name where that is not the plain one.
    """
    fill(lake, study, texts)
    name = "order.ig.none" if texts is PLAIN else f"order {texts[0]}"
    order, copy = {"study": study, "task": "order"}, {"study": study, "task": "copy"}
    common: Row = {"method": "ig", "edge_kind": "direct", "node_threshold": 0.1}
    sizes: Row = {"n_nodes": 4, "n_error_nodes": 1, "n_edges": 5, "total_effect": 6.0}
    put(lake, "circuits", [common | sizes | {"circuit": name, "aggregation": "none"}], **order)
    put(lake, "circuit_nodes", [row | {"circuit": name} for row in NODES], **order)
    put(lake, "circuit_edges", [row | {"circuit": name} for row in _edges()], **order)
    put(lake, "node_effects", _effects(), **order)
    put(lake, "pairs", _pairs(texts), **order)
    put(lake, "faithfulness", _faithfulness(), **order)
    sizes = {"n_nodes": 2, "n_edges": 2}
    put(
        lake,
        "circuits",
        [common | sizes | {"circuit": "copy.ig.sum", "aggregation": "sum"}],
        **copy,
    )
    put(lake, "circuit_nodes", [row | {"circuit": "copy.ig.sum"} for row in SUMMED], **copy)
    edges = [_edge(SUMMED[0], SUMMED[1], 0.5), _edge(SUMMED[1], None, 4.0)]
    put(lake, "circuit_edges", [row | {"circuit": "copy.ig.sum"} for row in edges], **copy)
    total: Row = {"circuit": "paths.ig.sum.total"}
    facts: Row = {"aggregation": "sum", "edge_kind": "total", "edge_threshold": 0.25}
    edges.append(_edge(SUMMED[0], None, 1.0))
    for table, rows in (
        ("circuits", [common | sizes | facts]),
        ("circuit_nodes", SUMMED),
        ("circuit_edges", edges),
    ):
        put(lake, table, [row | total for row in rows], study=study, task="paths")
    label = "plural" if texts is PLAIN else texts[0]
    known: Row = {"density": 0.125, "mean_activation": 1.5, "max_activation": 6.0}
    put(lake, "features", [{"site": "embed", "feature": 3, "label": label} | known], study=study)
    put(lake, "feature_logits", _logits(texts), study=study)
    found: Row = {"site": "embed", "feature": 3}
    examples: list[Row] = [
        found | {"rank": 0, "doc_id": 1, "pos": 2, "activation": 6.0},
        found | {"rank": 1, "doc_id": 0, "pos": 0, "activation": 1.0},
    ]
    put(lake, "feature_examples", examples, study=study)
    return lake


def _edges() -> list[Row]:
    three, four, five, error = NODES
    return [
        _edge(three, five, 1.5),
        _edge(four, five, -0.5),
        _edge(three, error, 0.25),
        _edge(five, None, 3.0),
        _edge(error, None, -1.0),
    ]


def _edge(up: Row, down: Row | None, weight: float) -> Row:
    """down: None is the metric."""
    end = down or {"site": "y", "feature": 0}
    ends = {f"up_{key}": up.get(key) for key in ("site", "pos", "feature")}
    ends |= {f"down_{key}": end.get(key) for key in ("site", "pos", "feature")}
    return ends | {"weight": weight, "share_above": 1.0, "low": weight - 0.1, "high": weight + 0.1}


def _effects() -> list[Row]:
    common: Row = {"method": "ig", "aggregation": "none", "share_above": 0.75}
    return [
        common | EMBED | {"feature": 3, "effect": 2.0, "low": 1.5, "high": 2.5},
        common | EMBED | {"feature": 3, "pos": 2, "effect": 0.01, "low": 0.0, "high": 0.02},
    ]


def _pairs(texts: Sequence[str]) -> list[Row]:
    """Three prompts that differ at position 1, and one of the other split; patched there too."""
    prompts: Sequence[Sequence[int]] = ([0, 1, 2, 3], [0, 2, 2, 3], [0, 2, 2, 3], [0, 4, 4, 4])
    return [
        {
            "example": i,
            "split": "test" if i == 3 else "train",
            "case": texts[0],
            "clean_ids": list(ids),
            "clean_prefix": "".join(texts[j] for j in ids),
            "patch_prefix": "".join(texts[j] for j in (ids[0], 3, *ids[2:])),
            "clean_answer": texts[2],
            "patch_answer": texts[1],
        }
        for i, ids in enumerate(prompts)
        if max(ids) < len(texts)
    ]


def _faithfulness() -> list[Row]:
    common: Row = {"method": "ig", "aggregation": "none", "split": "test", "unit": "feature"}
    common |= {"errors": "default", "start_layer": -1}
    there: Row = {"selection": "threshold", "value": 0.1}
    return [
        common | there | {"ablation": "mean", "faithfulness": 0.75, "completeness": 0.25},
        common | there | {"ablation": "zero", "faithfulness": 0.5},
        common | there | {"ablation": "mean", "errors": "remove", "faithfulness": 0.625},
        common | there | {"ablation": "mean", "unit": "neuron", "faithfulness": 0.125},
        common | {"selection": "threshold", "value": 0.2, "ablation": "mean", "faithfulness": 0.1},
        common | {"selection": "top_n", "value": 0.1, "ablation": "mean", "faithfulness": 0.2},
    ]


def _logits(texts: tuple[str, ...]) -> list[Row]:
    found: Row = {"site": "embed", "feature": 3}
    return [
        found | {"sign": 1, "rank": 0, "token": texts[0], "logit": 2.0},
        found | {"sign": 1, "rank": 1, "token": texts[1], "logit": 1.0},
        found | {"sign": -1, "rank": 0, "token": texts[2], "logit": -3.0},
    ]


def node(page: Page, name: str) -> Locator:
    return page.locator(f".circuit .node[data-node='{name}']")


def opened(visit: Visit, path: str = ORDER) -> Page:
    page = visit.open(path)
    expect(page.locator(".circuit .node").first).to_be_visible()
    return page
