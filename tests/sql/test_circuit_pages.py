"""The questions of the circuit pages, on circuits made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_project.lake.store import Lake
from dashboards.data import Data, Value
from tests.dashboards.circuits import fill_circuits
from tests.lake.frames import Row, put

STUDY = {"study": "plain"}
ORDER = {**STUDY, "task": "order"}
CIRCUIT = {**ORDER, "circuit": "order.ig.none"}
FEATURE: dict[str, Value] = {**STUDY, "site": "embed", "feature": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    lake = fill_circuits(Lake(tmp_path_factory.mktemp("circuits")))
    return Data(fill_circuits(lake, "other"))  # of which nothing may come into an answer


def test_circuits_have_the_faithfulness_of_their_own_threshold(data: Data) -> None:
    """Of features, error nodes by the circuit, mean ablation: 0.75, not 0.5, 0.625, 0.125, …"""
    rows = data.ask("circuit_list", **STUDY)
    shown = rows.select("task", "circuit", "n_nodes", "faithfulness", "completeness").rows()
    assert ("order", "order.ig.none", 4, 0.75, 0.25) in shown
    assert ("copy", "copy.ig.sum", 2, None, None) in shown
    assert ("paths", "paths.ig.sum.total", 2, None, None) in shown
    assert rows["circuit"].n_unique() == rows.height == 5


def test_what_a_total_graph_has_besides_was_never_measured(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    found: Row = {"method": "ig", "aggregation": "none"}
    circuits = [
        found | {"node_threshold": 0.1, "circuit": kind, "edge_kind": kind}
        for kind in ("direct", "total")
    ]
    put(lake, "circuits", circuits, study="s", task="t")
    measured: Row = {"split": "test", "unit": "feature", "selection": "threshold", "value": 0.1}
    measured |= {"ablation": "mean", "errors": "default", "faithfulness": 0.5}
    put(lake, "faithfulness", [found | measured], study="s", task="t")
    rows = Data(lake).ask("circuit_list", study="s").select("circuit", "faithfulness").rows()
    assert rows == [("direct", 0.5), ("total", None)]


def test_nodes_come_strongest_first_with_their_names_and_labels(data: Data) -> None:
    rows = data.ask("circuit_nodes_drawn", **CIRCUIT, most=9)
    assert rows.select("node", "effect", "patch_only", "label", "density").rows() == [
        ("resid_0.5.3", 3.0, 0.25, None, None),
        ("embed.3.1", 2.0, 0.5, "plural", 0.125),
        ("resid_0.error.3", -1.0, 0.0, None, None),
        ("embed.4.1", -0.5, 0.0, None, None),
    ]
    assert data.ask("circuit_nodes_drawn", **CIRCUIT, most=1)["node"].to_list() == ["resid_0.5.3"]
    summed = {**STUDY, "task": "copy", "circuit": "copy.ig.sum"}
    names = data.ask("circuit_nodes_drawn", **summed, most=9)["node"].to_list()
    assert names == ["mlp_0.9", "embed.3"]


def test_edges_come_strongest_first_and_end_at_y(data: Data) -> None:
    rows = data.ask("circuit_edges_drawn", **CIRCUIT, most=4)
    assert rows.select("up", "down", "weight").rows() == [
        ("resid_0.5.3", "y", 3.0),
        ("embed.3.1", "resid_0.5.3", 1.5),
        ("resid_0.error.3", "y", -1.0),
        ("embed.4.1", "resid_0.5.3", -0.5),
    ]


def test_a_prompt_has_the_first_examples_tokens_and_what_else_stands_there(data: Data) -> None:
    """Position 1: token 1 in the first prompt, token 2 in the two others."""
    assert data.ask("circuit_prompt", **ORDER).rows() == [
        (0, "The", 1, []),
        (1, " girl", 2, [" was"]),
        (2, " was", 1, []),
        (3, " happy", 1, []),
    ]


def test_a_node_has_its_own_bootstrap_and_its_features_figures(data: Data) -> None:
    how = {"method": "ig", "aggregation": "none"}
    (row,) = data.ask("circuit_node", **ORDER, **how, site="embed", feature=3, pos=1).rows()
    assert row == (0.75, 1.5, 2.5, 0.125, 1.5, 6.0, "plural")
    (row,) = data.ask("circuit_node", **ORDER, **how, site="resid_0", feature=-1, pos=3).rows()
    assert row == (None,) * 7


def test_tokens_of_a_feature_come_raised_first(data: Data) -> None:
    rows = data.ask("circuit_feature_tokens", **FEATURE, most=1).rows()
    assert rows == [(1, 0, "The", 2.0), (-1, 0, " was", -3.0)]


def test_examples_of_a_feature_have_the_tokens_around_them(data: Data) -> None:
    """A document has five tokens: all of them are within twelve before and four after."""
    rows = data.ask("circuit_feature_examples", **FEATURE, most=2).rows()
    tokens = ["The", " girl", " was", " happy", ".\n"]
    assert rows == [(0, 1, 2, 6.0, 0, tokens), (1, 0, 0, 1.0, 0, tokens)]


def test_two_circuits_are_compared_over_positions(data: Data) -> None:
    pair = {"other_task": "copy", "other": "copy.ig.sum"}
    assert data.ask("circuit_pair", **CIRCUIT, **pair).rows() == [
        ("mlp_0", 9, None, 4.0, None),
        ("resid_0", 5, 3.0, None, None),
        ("embed", 3, 2.0, 1.0, "plural"),
        ("resid_0", -1, -1.0, None, None),
        ("embed", 4, -0.5, None, None),
    ]


def test_a_folder_of_no_circuits_answers_nothing(tmp_path: Path) -> None:
    data = Data(Lake(tmp_path))
    assert data.ask("circuit_list", **STUDY).is_empty()
    assert data.ask("circuit_prompt", **ORDER).is_empty()
