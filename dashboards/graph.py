"""A circuit as its page has it: nodes and edges by name, and groups of nodes.

A node's name in addresses is `site.feature` or `site.feature.pos`, with `error` for the error node,
and `y` for the metric. Groups (supernodes) are kept in the address, as `name~node~node*name~node`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from dashboards.data import Data

MOST_NODES, MOST_EDGES = 1_500, 10_000  # of a circuit, the strongest
METRIC = "y"
LONGEST_NAME = 60  # characters of a group's
BETWEEN, WITHIN = "*", "~"
_KINDS = {"resid": 4, "mlp": 3, "mid": 2, "attn": 1, "z": 0, "embed": -1}  # order within a layer


class Circuit(NamedTuple):
    """What the lake has of a circuit."""

    facts: Mapping[str, Any]  # its row of circuit_list
    nodes: pl.DataFrame  # of circuit_nodes_drawn
    edges: pl.DataFrame  # of circuit_edges_drawn, between these nodes
    prompt: pl.DataFrame  # of circuit_prompt; no rows where it is summed over positions


class Group(NamedTuple):
    """Nodes that are taken together."""

    name: str
    members: tuple[str, ...]


def read(data: Data, study: str, facts: Mapping[str, Any]) -> Circuit:
    """A circuit of the lake, by its row of circuit_list."""
    of = {"study": study, "task": facts["task"], "circuit": facts["circuit"]}
    nodes = data.ask("circuit_nodes_drawn", **of, most=MOST_NODES)
    edges = data.ask("circuit_edges_drawn", **of, most=MOST_EDGES)
    prompt = pl.DataFrame(schema={"pos": pl.Int64, "token": pl.String})
    if nodes["pos"].is_not_null().any():
        prompt = data.ask("circuit_prompt", study=study, task=facts["task"])
    known = [*nodes["node"], METRIC]
    edges = edges.filter(pl.col("up").is_in(known) & pl.col("down").is_in(known))
    return Circuit(facts, nodes, edges, prompt)


def above(circuit: Circuit, nodes: float, edges: float) -> Circuit:
    """The part of a circuit with |effect| and |weight| of at least so much."""
    kept = circuit.nodes.filter(pl.col("effect").abs() >= nodes)
    known = [*kept["node"], METRIC]
    passing = circuit.edges.filter(
        (pl.col("weight").abs() >= edges) & pl.col("up").is_in(known) & pl.col("down").is_in(known)
    )
    return circuit._replace(nodes=kept, edges=passing)


def level(site: str) -> tuple[int, int]:
    """Place of a site in the order of the forward pass."""
    kind, _, layer = site.partition("_")
    return (int(layer) if layer.isdecimal() else -1, _KINDS.get(kind, -2))


def connections(edges: pl.DataFrame, members: Sequence[str], side: str) -> pl.DataFrame:
    """The nodes at the other end of the members' edges, strongest first.

    side: "up", where they come from, or "down". Rows: node, weight (summed over the members),
    share of Σ|weight|; share_above, low and high of the bootstrap for a single member, else null.
    """
    here, there = ("down", "up") if side == "up" else ("up", "down")
    found = edges.filter(pl.col(here).is_in(members) & ~pl.col(there).is_in(members))
    single = pl.len() == 1
    bootstrap = [
        pl.when(single).then(pl.col(name).first()).alias(name)
        for name in ("share_above", "low", "high")
    ]
    summed = found.group_by(pl.col(there).alias("node")).agg(pl.col("weight").sum(), *bootstrap)
    return summed.with_columns(_share("weight")).sort(["share", "node"], descending=[True, False])


def shared(nodes: pl.DataFrame) -> pl.DataFrame:
    """Nodes with their share of Σ|effect|."""
    return nodes.with_columns(_share("effect"))


def _share(name: str) -> pl.Expr:
    """Of the sum of a column's sizes; none of a sum of nothing, as of the metric pinned alone."""
    size = pl.col(name).abs()
    return (size / size.sum()).fill_nan(0.0).alias("share")


def read_names(text: str) -> list[str]:
    """Nodes of an address, each once."""
    return list(dict.fromkeys(name for name in text.split(WITHIN) if name))


def write_names(names: Iterable[str]) -> str:
    return WITHIN.join(names)


def read_groups(text: str) -> list[Group]:
    """Groups of an address; a node is in the first that names it."""
    groups, taken = list[Group](), set[str]()
    for part in text.split(BETWEEN):
        name, *names = part.split(WITHIN)
        members = tuple(n for n in dict.fromkeys(names) if n and n not in taken)
        taken.update(members)
        if members:
            groups.append(Group(name[:LONGEST_NAME] or "group", members))
    return groups


def write_groups(groups: Iterable[Group]) -> str:
    parts = ([re.sub(r"[*~]", " ", group.name), *group.members] for group in groups)
    return BETWEEN.join(WITHIN.join(part) for part in parts)
