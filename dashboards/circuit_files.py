"""Circuits as files: a graph for circuit-tracer's viewer, one for Graphviz, and groups alone.

In files a node is called as Marks et al. call it, `resid_5/3036`, with `@3` where it stands at
position 3; the error node is `resid_5/error`, the metric `y`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dashboards.components.palette import NEGATIVE, POSITIVE
from dashboards.graph import METRIC, Circuit, Group, level
from dashboards.page import Download
from dashboards.text import clip, visible

EVERYWHERE = "(all positions)"  # the one column of a circuit that is summed over positions
LEAST_TOKENS = 2  # of fewer the viewer takes every node for one that is always active: it drops all
UNUSED = {"run_idx": 0, "reverse_ctx_idx": 0, "activation": None}  # of a node, in the schema


def named(node: str) -> str:
    """The name in files of a node that addresses call `site.feature` or `site.feature.pos`."""
    site, *place = node.split(".")
    return "@".join([f"{site}/{place[0]}", *place[1:]]) if place else node


def as_json(circuit: Circuit, groups: Sequence[Group]) -> Download:
    """A circuit in the schema that circuit-tracer's viewer reads (attribution graphs, version 1).

    A site is a row of the viewer: embed is 0, then attn, mlp and resid of each layer, then y; z and
    mid have rows of their own in a circuit that has nodes there.
    influence: share of Σ|effect| of a node and all stronger ones, by which the viewer prunes.
    Groups are its supernodes. Beyond the schema: the circuit's figures in the metadata; name,
    site, pos, effect, patch_only and density of a node; the bootstrap of a link.
    """
    ids = {METRIC: f"{_last(circuit)}_0_{_column(circuit, None)}"}
    nodes = [*_tracer_nodes(circuit, ids), _tracer_metric(circuit, ids[METRIC])]
    tokens = [token or "" for token in circuit.prompt["token"]] or [EVERYWHERE]
    tokens += [""] * (LEAST_TOKENS - len(tokens))
    facts = circuit.facts
    content = {
        "metadata": {
            "slug": facts["circuit"],
            "scan": facts.get("study") or "",
            "transcoder_list": [],
            "prompt_tokens": tokens,
            "prompt": "".join(tokens),
            "node_threshold": facts.get("node_threshold"),
            "schema_version": 1,
            "circuit": dict(facts),
        },
        "qParams": {
            "pinnedIds": [],
            "supernodes": [
                [group.name, *(ids[node] for node in group.members if node in ids)]
                for group in groups
            ],
            "linkType": "both",
            "clickedId": "",
            "sg_pos": "",
        },
        "nodes": nodes,
        "links": [
            {"source": ids[edge.pop("up")], "target": ids[edge.pop("down")], **edge}
            for edge in circuit.edges.to_dicts()
        ],
    }
    return Download(json.dumps(content, indent=1), "application/json", facts["circuit"])


def _tracer_nodes(circuit: Circuit, ids: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Nodes as the viewer has them; their ids are added to ids."""
    rows = _rows(circuit)
    whole, so_far = float(circuit.nodes["effect"].abs().sum()) or 1.0, 0.0
    for node in circuit.nodes.iter_rows(named=True):  # strongest first
        row, feature, column = rows[node["site"]], node["feature"], _column(circuit, node["pos"])
        so_far += abs(node["effect"])
        is_error = feature < 0
        ids[node["node"]] = f"{row}_{feature}_{column}"
        name = named(node["node"])
        yield {
            "node_id": ids[node["node"]],
            "feature": -1 if is_error else _paired(row, feature),
            "layer": str(row),
            "ctx_idx": column,
            "feature_type": "mlp reconstruction error" if is_error else "cross layer transcoder",
            "token_prob": 0.0,
            "is_target_logit": False,
            "jsNodeId": f"{row}_{feature}-{column if is_error else 0}",
            "clerp": f"{name} {visible(clip(node['label'], 200))}" if node["label"] else name,
            "influence": so_far / whole,
            "name": name,
            **UNUSED,
            **{key: node[key] for key in ("site", "pos", "effect", "patch_only", "density")},
        }


def _tracer_metric(circuit: Circuit, name: str) -> dict[str, Any]:
    """y, where the viewer has the logit of an answer, whose probability it reads from the text."""
    return {
        "node_id": name,
        "feature": 0,
        "layer": str(_last(circuit)),
        "ctx_idx": _column(circuit, None),
        "feature_type": "logit",
        "token_prob": 1.0,
        "is_target_logit": True,
        "jsNodeId": f"L_0-{_column(circuit, None)}",
        "clerp": f'Output "{METRIC}" (p=1.000)',
        "influence": None,
        "name": METRIC,
        **UNUSED,
    }


def _rows(circuit: Circuit) -> dict[str, int]:
    """The viewer's row of each site that has nodes."""
    levels = {site: level(site) for site in circuit.nodes["site"]}
    usual = {level(site)[1] for site in ("attn_0", "mlp_0", "resid_0")}
    kinds = sorted(usual | {kind for layer, kind in levels.values() if layer >= 0})
    return {
        site: 1 + len(kinds) * layer + kinds.index(kind) if layer >= 0 else 0
        for site, (layer, kind) in levels.items()
    }


def _last(circuit: Circuit) -> int:
    """The row of y, above all sites."""
    return max(_rows(circuit).values(), default=0) + 1


def _column(circuit: Circuit, pos: int | None) -> int:
    """A node's token; that of y and of sums is the last."""
    return max(0, circuit.prompt.height - 1) if pos is None else pos


def _paired(row: int, feature: int) -> int:
    """One number of both (Cantor's), from which the viewer has them back."""
    both = row + feature
    return both * (both + 1) // 2 + feature


def as_groups(circuit: Circuit, groups: Sequence[Group]) -> Download:
    """Groups as JSON, as the page reads them back."""
    content = {
        "circuit": circuit.facts["circuit"],
        "groups": [{"name": group.name, "nodes": list(group.members)} for group in groups],
    }
    return Download(json.dumps(content, indent=1), "application/json", circuit.facts["circuit"])


def as_dot(circuit: Circuit, groups: Sequence[Group]) -> Download:
    """A circuit for Graphviz: a rank a site, groups as clusters, colours by sign."""
    lines = [
        f"digraph {_quoted(circuit.facts['circuit'])} {{",
        '  rankdir="BT";',
        '  node [style="filled", fontcolor="#ffffff", fontname="Helvetica", fontsize=10];',
        f'  "{METRIC}" [shape="diamond", label="{METRIC}", fillcolor="#1a1e23"];',
    ]
    lines += [_dot_node(row) for row in circuit.nodes.iter_rows(named=True)]
    for _, rows in circuit.nodes.group_by("site", maintain_order=True):
        names = "; ".join(_name(node) for node in rows["node"])
        lines.append(f'  {{ rank="same"; {names} }}')
    shown = set(circuit.nodes["node"])
    for place, group in enumerate(groups):
        names = "; ".join(_name(node) for node in group.members if node in shown)
        lines.append(f"  subgraph cluster_{place} {{ label={_quoted(group.name)}; {names} }}")
    widest = float(circuit.edges["weight"].abs().max() or 1.0)  # type: ignore[arg-type]
    lines += [
        f"  {_name(up)} -> {_name(down)} "
        f'[color="{_colour(weight)}", penwidth={0.5 + 4 * abs(weight) / widest:.2f}, '
        f'tooltip="{weight:.5g}"];'
        for up, down, weight in circuit.edges.select("up", "down", "weight").iter_rows()
    ]
    text = "\n".join([*lines, "}", ""])
    return Download(text, "text/vnd.graphviz", circuit.facts["circuit"])


def _dot_node(row: Mapping[str, Any]) -> str:
    shape = "triangle" if row["feature"] < 0 else "ellipse"
    shown = "\n".join(part for part in (named(row["node"]), row["label"]) if part)
    return (
        f'  {_name(row["node"])} [shape="{shape}", label={_quoted(shown)}, '
        f'fillcolor="{_colour(row["effect"])}", tooltip="{row["effect"]:.5g}"];'
    )


def _name(node: str) -> str:
    return _quoted(named(node))


def _colour(value: float) -> str:
    return POSITIVE if value > 0 else NEGATIVE


def _quoted(text: str) -> str:
    """A string of DOT: its lines apart, what would end or escape it escaped."""
    lines = (visible(line) for line in clip(text, 200).split("\n"))
    return '"' + "\\n".join(re.sub(r'(["\\])', r"\\\1", line) for line in lines) + '"'
