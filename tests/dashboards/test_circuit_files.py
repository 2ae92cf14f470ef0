"""Circuits as files: what other programs read of them."""

from __future__ import annotations

import json
import re
from typing import Any

import polars as pl
import pytest

from dagster_project.lake.store import Lake
from dashboards import circuit_files, graph
from dashboards.circuit_files import named
from dashboards.data import Data
from dashboards.graph import Circuit, Group
from tests.dashboards.circuits import fill_circuits
from tests.dashboards.lakes import HOSTILE


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    lake = fill_circuits(Lake(tmp_path_factory.mktemp("files")))
    return Data(fill_circuits(lake, "hostile", HOSTILE))


def circuit(data: Data, study: str = "plain", task: str = "order") -> Circuit:
    (facts,) = data.ask("circuit_list", study=study).filter(task=task).to_dicts()
    return graph.read(data, study, facts)


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ("resid_5.3036", "resid_5/3036"),
        ("embed.3.1", "embed/3@1"),
        ("resid_0.error.3", "resid_0/error@3"),
        ("y", "y"),
    ],
)
def test_nodes_are_called_as_in_the_paper(node: str, name: str) -> None:
    assert named(node) == name


REQUIRED = {  # by circuit_tracer.frontend.graph_models, schema version 1
    "metadata": {"slug", "scan", "transcoder_list", "prompt_tokens", "prompt"},
    "qParams": {"pinnedIds", "supernodes", "linkType", "clickedId", "sg_pos"},
    "nodes": {"node_id", "feature", "layer", "ctx_idx", "feature_type", "jsNodeId", "clerp"},
    "links": {"source", "target", "weight"},
}


def graph_of(circuit: Circuit, *groups: Group) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(circuit_files.as_json(circuit, groups).content)
    for part, keys in REQUIRED.items():
        for row in made[part] if isinstance(made[part], list) else [made[part]]:
            assert keys <= row.keys()
    assert len(made["metadata"]["prompt_tokens"]) >= 2  # else the viewer drops all nodes
    ids = [node["node_id"] for node in made["nodes"]]
    assert len(ids) == len(set(ids)) == len({node["jsNodeId"] for node in made["nodes"]})
    assert {link[end] for link in made["links"] for end in ("source", "target")} <= set(ids)
    return made


def test_json_is_a_graph_of_the_viewer(data: Data) -> None:
    """Effects 3, 2, −1 and −.5; rows: embed 0, resid_0 3, y above."""
    made = graph_of(circuit(data), Group("subjects", ("embed.3.1", "gone")))
    shown = ("node_id", "name", "layer", "ctx_idx", "feature", "feature_type", "clerp")
    feature, error = "cross layer transcoder", "mlp reconstruction error"
    assert [tuple(node[key] for key in shown) for node in made["nodes"]] == [
        ("3_5_3", "resid_0/5@3", "3", 3, 41, feature, "resid_0/5@3"),  # 8 · 9 / 2 + 5
        ("0_3_1", "embed/3@1", "0", 1, 9, feature, "embed/3@1 plural"),  # 3 · 4 / 2 + 3
        ("3_-1_3", "resid_0/error@3", "3", 3, -1, error, "resid_0/error@3"),
        ("0_4_1", "embed/4@1", "0", 1, 14, feature, "embed/4@1"),  # 4 · 5 / 2 + 4
        ("4_0_3", "y", "4", 3, 0, "logit", 'Output "y" (p=1.000)'),
    ]
    influences = [node["influence"] for node in made["nodes"]]
    assert influences == [*map(pytest.approx, (3 / 6.5, 5 / 6.5, 6 / 6.5, 1.0)), None]
    assert made["metadata"]["prompt_tokens"] == ["The", " girl", " was", " happy"]
    assert made["metadata"]["circuit"]["total_effect"] == 6.0
    assert made["qParams"]["supernodes"] == [["subjects", "0_3_1"]]
    assert len(made["links"]) == 5
    (link,) = (e for e in made["links"] if (e["source"], e["target"]) == ("0_3_1", "3_5_3"))
    assert link["weight"] == 1.5


def test_sites_between_and_before_attention_have_rows_of_their_own(data: Data) -> None:
    """No two sites share a row, and rows are in the order of the forward pass."""
    sites = ["embed", "z_0", "attn_0", "mid_0", "mlp_0", "resid_0", "attn_1", "resid_1"]
    whole = circuit(data)
    nodes = pl.concat([whole.nodes.head(1).with_columns(site=pl.lit(site)) for site in sites])
    made = graph_of(whole._replace(nodes=nodes, edges=whole.edges.clear()))
    rows = [int(node["layer"]) for node in made["nodes"]]
    assert rows == [0, 1, 2, 3, 4, 5, 7, 10, 11]


def test_a_circuit_summed_over_positions_has_one_column(data: Data) -> None:
    made = graph_of(circuit(data, task="copy"))
    assert made["metadata"]["prompt_tokens"] == ["(all positions)", ""]
    assert {node["ctx_idx"] for node in made["nodes"]} == {0}
    assert [node["name"] for node in made["nodes"]] == ["mlp_0/9", "embed/3", "y"]


def test_labels_of_the_lake_are_visible_in_json(data: Data) -> None:
    made = graph_of(circuit(data, "hostile"))
    assert not re.search(
        r"[\u202a-\u202e\u2066-\u2069\x00]", "".join(n["clerp"] for n in made["nodes"])
    )


QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


@pytest.mark.parametrize("study", ["plain", "hostile"])
def test_dot_has_nothing_of_the_lake_outside_quotes(data: Data, study: str) -> None:
    name = '"]; evil [URL="https://example.com" \\'
    group = Group(name + "\n\u202e\x00", ("embed.3.1", "gone"))
    dot = str(circuit_files.as_dot(circuit(data, study), [group]).content)
    bare = QUOTED.sub("Q", dot)
    assert '"' not in bare
    assert "URL" not in bare
    assert "evil" not in bare
    words = set(re.findall(r"[A-Za-z]\w*", bare))
    assert words <= {
        *("digraph", "subgraph", "cluster_0", "rankdir", "node", "style", "fontcolor", "fontname"),
        *("fontsize", "shape", "label", "fillcolor", "tooltip", "rank", "color", "penwidth"),
        *("y", "Q"),
    }
    assert "\u202e" not in dot
    assert "\x00" not in dot
    assert bare.count("->") == 5


def test_dot_shows_errors_signs_and_labels(data: Data) -> None:
    dot = str(circuit_files.as_dot(circuit(data), []).content)
    assert '"resid_0/error@3" [shape="triangle"' in dot
    assert 'label="embed/3@1\\nplural"' in dot
    assert re.search(r'"resid_0/error@3" -> "y" \[color="#d4572b"', dot)
    assert re.search(r'"resid_0/5@3" -> "y" \[color="#2f7fd6"', dot)


def test_a_circuit_without_edges_is_drawn_all_the_same(data: Data) -> None:
    shown = graph.above(circuit(data), 0.0, 1e9)
    assert "->" not in str(circuit_files.as_dot(shown, []).content)
