"""Circuits by size, threshold and chance."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest

from dagster_project.interp.node_selection import (
    Circuit,
    by_size,
    by_threshold,
    random_circuits,
    ranked,
)

SITES = ["embed", "mlp_0", "resid_0"]


def _effects(rows: Sequence[tuple[str, int | None, int, float]]) -> pl.DataFrame:
    schema = {"site": pl.String, "pos": pl.Int16, "feature": pl.Int32, "effect": pl.Float32}
    return pl.DataFrame(rows, schema=schema, orient="row")


EFFECTS = _effects(
    [
        ("resid_0", None, 3, -4.0),
        ("embed", None, 0, 1.0),
        ("embed", None, -1, 3.0),
        ("mlp_0", None, 2, 0.0),
        ("mlp_0", None, 5, -1.0),
        ("attn_0", None, 1, 9.0),
        ("embed", None, 7, 0.5),
    ]
)


def _nodes(circuit: Circuit) -> list[tuple[str, int]]:
    assert circuit.nodes is not None
    return [(site, feature) for site, feature in circuit.nodes.select("site", "feature").rows()]


def test_ranked_by_size_then_site_order() -> None:
    """Zero effects and other sites are left out; of equal effects the earlier site is first."""
    nodes = ranked(EFFECTS, SITES)
    assert nodes.select("site", "feature").rows() == [
        ("resid_0", 3),
        ("embed", -1),
        ("embed", 0),
        ("mlp_0", 5),
        ("embed", 7),
    ]


def test_sizes_and_thresholds() -> None:
    nodes = ranked(EFFECTS, SITES)
    none, two, many = by_size("feature", nodes, (0, 2, 99))
    assert _nodes(none) == []
    assert _nodes(two) == [("resid_0", 3), ("embed", -1)]
    assert (many.value, len(_nodes(many))) == (99, 5)
    (above,) = by_threshold("feature", nodes, (1.0,))  # strictly above
    assert _nodes(above) == [("resid_0", 3), ("embed", -1)]


def test_node_sets_hold_positions_and_errors() -> None:
    effects = _effects([("embed", 2, -1, 1.0), ("embed", 0, 4, 2.0), ("mlp_0", 1, 0, 3.0)])
    (circuit,) = by_size("feature", ranked(effects, SITES), (3,))
    kept = circuit.node_set()
    assert kept.nodes["embed"].tolist() == [[0, 4], [2, -1]]
    assert kept.nodes["mlp_0"].tolist() == [[1, 0]]
    (summed,) = by_size("feature", ranked(EFFECTS, SITES), (1,))
    assert summed.node_set().nodes["resid_0"].tolist() == [[-1, 3]]
    assert Circuit("feature", "top_n", 9, None).node_set().complement


def test_random_circuits_have_the_same_shape() -> None:
    rows = [
        (s, None, f, float(100 * i + f + 2)) for i, s in enumerate(SITES) for f in range(-1, 30)
    ]
    nodes = ranked(_effects(rows), SITES)
    small, large = by_size("feature", nodes, (20, 60))
    drawn = list(random_circuits((small, large), nodes, 7))
    for circuit, found in zip((small, large), drawn, strict=True):
        assert (found.unit, found.seed, found.value) == ("random", 7, circuit.value)
        assert _counts(found) == _counts(circuit)
        assert _errors(found) == _errors(circuit)
        assert len(set(_nodes(found))) == len(_nodes(found))
        assert set(_nodes(found)) <= set(nodes.select("site", "feature").rows())
    assert set(_nodes(drawn[0])) <= set(_nodes(drawn[1]))
    assert set(_nodes(drawn[0])) != set(_nodes(small))
    (other,) = random_circuits((small,), nodes, 8)
    (same,) = random_circuits((small,), nodes, 7)
    assert _nodes(other) != _nodes(drawn[0])
    assert _nodes(same) == _nodes(drawn[0])


@pytest.mark.parametrize("per_position", [True, False])
def test_a_random_circuit_of_all_nodes_is_all_nodes(per_position: bool) -> None:
    effects = EFFECTS.with_columns(pos=pl.lit(1 if per_position else None, pl.Int16))
    nodes = ranked(effects, SITES)
    (whole,) = by_size("feature", nodes, (5,))
    (drawn,) = random_circuits((whole,), nodes, 0)
    assert set(_nodes(drawn)) == set(_nodes(whole))


def _counts(circuit: Circuit) -> list[tuple[str, int]]:
    assert circuit.nodes is not None
    return circuit.nodes.group_by("site").len().sort("site").rows()


def _errors(circuit: Circuit) -> list[tuple[str, int]]:
    return sorted(node for node in _nodes(circuit) if node[1] == -1)
