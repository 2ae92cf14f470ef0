"""What is asked at the command line: values are literals, and faults say what could be given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.lake.asking import statement_of
from dagster_project.lake.catalog import connect, fetch
from dagster_project.lake.errors import LakeError
from dagster_project.lake.queries import literal
from dagster_project.lake.store import Lake
from tests.lake.frames import Row, put

HOSTILE = "'; drop view losses; -- $at_least \\ \u202e"
LOSSES: list[Row] = [
    {"doc_id": 1, "pos": 1, "loss": 1.0, "skill": HOSTILE, "surprisal": 0.5},
    {"doc_id": 1, "pos": 2, "loss": 2.0, "skill": "sum", "slot": "digit", "surprisal": 0.5},
    {"doc_id": 1, "pos": 3, "loss": 4.0, "skill": "sum", "surprisal": 0.5, "piece": 1},
]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    made = Lake(tmp_path_factory.mktemp("asked"))
    put(made, "losses", LOSSES, study="s", shard="00000")
    put(made, "losses", LOSSES[:1], study="t", shard="00000")
    put(made, "tokens", [{"token": "b"}], study="s", shard="00000")
    with connect(made) as connection:
        yield connection


def ask(connection: duckdb.DuckDBPyConnection, *asked: str) -> list[dict[str, object]]:
    return fetch(connection, statement_of(connection, asked)).to_dicts()


def test_a_column_keeps_rows(lake: duckdb.DuckDBPyConnection) -> None:
    rows = ask(lake, "loss_by_position", "study=s", "pos=2")
    assert [(row["study"], row["pos"], row["mean_loss"]) for row in rows] == [("s", 2, 2.0)]
    assert len(ask(lake, "queries.loss_by_position")) == 4
    assert [r["excess"] for r in ask(lake, "excess_loss_by_skill", "skill=sum", "slot=null")] == [
        3.5
    ]


def test_a_parameter_is_filled_in_and_the_rest_are_columns(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    rows = ask(lake, "loss_by_token", "at_least=1", "study=s", "easiest=true")
    assert [(row["token"], row["predictions"]) for row in rows] == [("b", 3)]
    assert ask(lake, "loss_by_token", "study=s") == []  # at least 20


def test_macros_are_asked_like_questions(lake: duckdb.DuckDBPyConnection) -> None:
    assert ask(lake, "layer_of", "site=mlp_3") == [{"layer_of": 3}]
    assert ask(lake, "feature_where", "study=s", "site=embed", "feature=1", "kind=circuit") == []


def test_a_file_may_have_parameters_of_its_own(
    lake: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    file = tmp_path / "mine.sql"
    file.write_text(
        "-- question: Which?\n-- parameters:\n--   least float = 1.5: nats\n"
        "select loss from losses where study = 's' and loss > $least order by loss;\n"
    )
    assert ask(lake, str(file)) == [{"loss": 2.0}, {"loss": 4.0}]
    assert ask(lake, str(file), "least=3") == [{"loss": 4.0}]
    with pytest.raises(LakeError, match=r"no parameter or column 'lest' \(parameters: least\)"):
        statement_of(lake, (str(file), "lest=3"))


def test_values_are_no_sql(lake: duckdb.DuckDBPyConnection) -> None:
    (row,) = ask(lake, "excess_loss_by_skill", f"skill={HOSTILE}", "study=t")
    assert row["skill"] == HOSTILE


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_literals_give_the_text_back(text: str) -> None:
    if "\0" not in text:
        assert duckdb.execute(f"select {literal(text, 'varchar')}").fetchall() == [(text,)]


FAULTS = {
    ("loss_by_subset", "study"): "expected name=value, found 'study'",
    ("loss_by_subset", "study=a", "study=b"): "study is given twice",
    ("loss_by_subset", "studdy=a"): r"no parameter or column 'studdy' \(columns: study, pile_set_",
    ("loss_by_token", "atleast=3"): "Did you mean at_least?",
    ("loss_by_token", "at_least=x"): "loss_by_token: at_least is bigint, found 'x'",
    ("loss_by_position", "pos=first"): "pos is usmallint, found 'first'",
    (
        "feature_where",
        "site=embed",
    ): "feature_where needs study, feature: feature_where study=… site",
    ("layer_of", "site=embed", "layer=1"): r"no parameter or column 'layer' \(parameters: site\)",
    ("loss_by_subet",): "Did you mean loss_by_subset?",
}


@pytest.mark.parametrize("asked", FAULTS)
def test_faults_say_what_could_be_given(
    lake: duckdb.DuckDBPyConnection, asked: tuple[str, ...]
) -> None:
    with pytest.raises(LakeError, match=FAULTS[asked]):
        statement_of(lake, asked)
