"""Groups in addresses, connections, and circuits as files."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.lake.store import Lake
from dashboards import graph
from dashboards.data import Data
from dashboards.graph import Circuit, Group
from tests.dashboards.circuits import fill_circuits
from tests.dashboards.lakes import HOSTILE


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    lake = fill_circuits(Lake(tmp_path_factory.mktemp("graph")))
    return Data(fill_circuits(lake, "hostile", HOSTILE))


def circuit(data: Data, study: str = "plain") -> Circuit:
    """The one of the task order."""
    (facts,) = data.ask("circuit_list", study=study).filter(task="order").to_dicts()
    return graph.read(data, study, facts)


def test_sites_stand_in_the_order_of_the_forward_pass() -> None:
    sites = ["resid_10", "embed", "resid_2", "attn_2", "mlp_2", "attn_10"]
    order = ["embed", "attn_2", "mlp_2", "resid_2", "attn_10", "resid_10"]
    assert sorted(sites, key=graph.level) == order


def test_connections_are_shares_of_what_flows_in_or_out(data: Data) -> None:
    """Into resid_0.5.3: 1.5 and −0.5."""
    edges = circuit(data).edges
    up = graph.connections(edges, ["resid_0.5.3"], "up")
    assert up.select("node", "weight", "share").rows() == [
        ("embed.3.1", 1.5, 0.75),
        ("embed.4.1", -0.5, 0.25),
    ]
    assert graph.connections(edges, ["resid_0.5.3"], "down")["node"].to_list() == ["y"]


def test_what_has_no_effect_has_no_share() -> None:
    """0 of 0: a number all the same, which JSON can hold."""
    metric = pl.DataFrame({"node": ["y"], "effect": [0.0]})
    assert graph.shared(metric)["share"].to_list() == [0.0]


def test_connections_of_a_group_leave_out_its_own_and_are_summed(data: Data) -> None:
    """Both embed nodes: 1.5 − 0.5 into resid_0.5.3, 0.25 into the error; nothing comes in."""
    edges = circuit(data).edges
    down = graph.connections(edges, ["embed.3.1", "embed.4.1"], "down")
    assert down.select("node", "weight", "share", "low").rows() == [
        ("resid_0.5.3", 1.0, pytest.approx(0.8), None),
        ("resid_0.error.3", 0.25, pytest.approx(0.2), pytest.approx(0.15)),
    ]
    assert graph.connections(edges, ["embed.3.1", "resid_0.5.3"], "down")["node"].to_list() == [
        "y",
        "resid_0.error.3",
    ]


def test_thresholds_take_nodes_and_their_edges(data: Data) -> None:
    shown = graph.above(circuit(data), 1.0, 0.2)
    assert shown.nodes["node"].to_list() == ["resid_0.5.3", "embed.3.1", "resid_0.error.3"]
    assert shown.edges["weight"].to_list() == [3.0, 1.5, -1.0, 0.25]
    assert graph.above(circuit(data), 1.0, 1.1).edges["weight"].to_list() == [3.0, 1.5]


NODE = st.builds("embed.{}.{}".format, st.integers(-1, 20), st.integers(0, 3))
MEMBERS = st.lists(NODE, min_size=1, max_size=4)


@given(st.lists(st.tuples(st.text(max_size=80), MEMBERS), max_size=4))
def test_groups_are_read_back_as_they_were_written(made: list[tuple[str, list[str]]]) -> None:
    groups = [Group(name, tuple(nodes)) for name, nodes in made]
    once = graph.read_groups(graph.write_groups(groups))
    assert graph.read_groups(graph.write_groups(once)) == once
    named = [node for group in once for node in group.members]
    assert len(named) == len(set(named))  # a node is in one group
    assert set(named) == {node for _, nodes in made for node in nodes}


@given(st.text())
def test_whatever_an_address_says_of_groups_is_no_error(text: str) -> None:
    for group in graph.read_groups(text):
        assert group.members
    graph.read_names(text)
