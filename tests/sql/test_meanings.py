"""What features and circuits are about: answers computed by hand, on two documents."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from dagster_project.lake.catalog import connect, fetch
from dagster_project.lake.store import Lake
from tests.lake.frames import Row, put

TEXTS = {1: ("The", " banker", " is"), 2: ("A", " banker", " was", " banker")}


def example(feature: int, rank: int, doc_id: int, pos: int, activation: float) -> Row:
    row: Row = {"site": "embed", "feature": feature, "rank": rank}
    return row | {"doc_id": doc_id, "pos": pos, "activation": activation}


EXAMPLES: list[Row] = [
    example(1, 0, 2, 3, 4.0),
    example(1, 1, 1, 1, 2.0),
    example(1, 2, 1, 2, 1.0),
    example(1, 3, 2, 2, 0.5),
    example(2, 0, 1, 0, 3.0),
    example(2, 1, 2, 1, 1.0),
    example(7, 0, 1, 1, 9.0),  # in no circuit
]
FEATURES: list[Row] = [
    {"site": "embed", "feature": 1, "max_activation": 4.0, "label": "bankers", "density": 0.5},
    {"site": "embed", "feature": 2, "max_activation": 4.0, "density": 0.25},
]
LOGITS: list[Row] = [
    {"site": "embed", "feature": 1, "sign": sign, "rank": rank, "token": f"{word}{rank}"}
    for sign, word in ((1, "up"), (-1, "down"))
    for rank in reversed(range(6))
]
NODES: list[Row] = [  # Σ|effect| = |1 + 2| + |−4| + |−1| + 2, the error node apart from its place
    {"circuit": "c.ig.none", "site": "embed", "feature": 1, "pos": 0, "effect": 1.0},
    {"circuit": "c.ig.none", "site": "embed", "feature": 1, "pos": 1, "effect": 2.0},
    {"circuit": "c.ig.none", "site": "embed", "feature": -1, "pos": 1, "effect": -4.0},
    {"circuit": "c.ig.none", "site": "embed", "feature": 2, "pos": 1, "effect": -1.0},
    {"circuit": "c.ig.none", "site": "resid_0", "feature": 3, "pos": 1, "effect": 2.0},
]
PAIR: Row = {"clean_prefix": "The banker", "clean_answer": " is", "case": "singular"}
PATCH: Row = {"patch_prefix": "The bankers", "patch_answer": " are"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    made = Lake(tmp_path_factory.mktemp("meanings"))
    for study in ("s", "other"):  # which must not add up
        tokens: list[Row] = [
            {"doc_id": doc_id, "pos": pos, "token": token}
            for doc_id, text in TEXTS.items()
            for pos, token in enumerate(text)
        ]
        put(made, "tokens", tokens, study=study, shard="00000")
        put(made, "feature_examples", EXAMPLES, study=study)
        put(made, "features", FEATURES, study=study)
    put(made, "feature_logits", LOGITS, study="s")
    put(made, "circuit_nodes", NODES, study="s", task="c")
    for task in ("c", "d"):
        put(made, "circuits", [{"circuit": f"{task}.ig.none"}], study="s", task=task)
    test, train = ({"split": split, "example": i} for i, split in enumerate(("test", "train")))
    put(made, "pairs", [PAIR | PATCH | test, PAIR | PATCH | train], study="s", task="c")
    put(made, "pairs", [PAIR | train], study="s", task="d")
    with connect(made) as connection:
        yield connection


def test_features_that_fire_on_a_token(lake: duckdb.DuckDBPyConnection) -> None:
    columns = (
        "feature, on_token, share, mean_activation, max_activation, of_largest, label, density"
    )
    asked = "from queries.features_on_token where study = 's' and token = ' banker'"
    assert fetch(lake, f"select {columns} {asked}").rows() == [
        (1, 2, 0.5, 3.0, 4.0, 1.0, "bankers", 0.5),
        (7, 1, 1.0, 9.0, 9.0, None, None, None),
        (2, 1, 0.5, 1.0, 1.0, 0.25, None, 0.25),
    ]


def test_what_the_features_of_a_circuit_fire_on_and_raise(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    """Of equals the token that comes first; a feature without examples has none to show."""
    found = fetch(lake, "from queries.feature_meaning").drop("study", "density").rows()
    fives = [[f"{word}{rank}" for rank in range(5)] for word in ("up", "down")]
    one = ([" banker", " is", " was"], 0.5, "A banker was banker", *fives, "bankers")
    two = ([" banker", "The"], 0.5, "The", None, None, None)
    assert found == [
        ("c.ig.none", 1, "embed", 1, 3.0, 0.3, *one),
        ("c.ig.none", 2, "resid_0", 3, 2.0, 0.2, *[None] * 6),
        ("c.ig.none", 3, "embed", 2, -1.0, 0.1, *two),
    ]


def test_what_a_circuit_is_of(lake: duckdb.DuckDBPyConnection) -> None:
    found = fetch(lake, "from queries.circuit_examples").drop("study").rows()
    clean = ("singular", "The banker", " is")
    pair = (*clean, "The bankers", " are", "logit of ' are' − logit of ' is'")
    assert found == [
        ("c.ig.none", "c", "train", 1, *pair),
        ("c.ig.none", "c", "test", 0, *pair),
        ("d.ig.none", "d", "train", 1, *clean, None, None, "−log p or −logit of ' is'"),
    ]
