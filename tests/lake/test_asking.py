"""What is asked at the command line: values are literals, and faults say what could be given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.lake.asking import statement_of, why_no_rows
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
    put(made, "tokens", [{"token": "b"}, {"pos": 1, "token": " banker"}], study="s", shard="00000")
    put(made, "shards", [{}], study="s")
    put(made, "shards", [{}], study="t")
    for task in ("rc", "simple", "nounpp"):
        put(made, "circuits", [{"circuit": f"{task}.ig.none"}], study="s", task=task)
    put(made, "dictionaries", [{"site": "embed"}, {"site": "resid_0"}], study="s")
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


def test_a_file_without_a_header_has_the_parameters_that_it_uses(
    lake: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """What stands in a comment, a text or a name is none; values take the type beside them."""
    file = tmp_path / "mine.sql"
    file.write_text(
        "-- $nothing\nselect loss, '$skill' as \"a $b\", $$ $c $$ as d from losses /* $e\n */\n"
        "where study = $study and pos > $after1 and loss < $most\n"
        "    and slot is not distinct from $slot"
    )
    asked = (str(file), "study=s", "after1=1", "most=4.5")
    row = {"a $b": "$skill", "d": " $c "}
    assert ask(lake, *asked, "slot=digit") == [{"loss": 2.0, **row}]
    assert ask(lake, *asked, "slot=null") == [{"loss": 4.0, **row}]
    for value in (HOSTILE, "a\nb"):
        assert ask(lake, *asked, f"slot={value}") == []
    with pytest.raises(LakeError, match=r"mine\.sql needs study, slot: .*mine\.sql study=… after1"):
        statement_of(lake, (str(file), "after1=1", "most=2"))
    with pytest.raises(LakeError, match=r"'skill' \(parameters: study, after1, most, slot\)"):
        statement_of(lake, (*asked, "slot=digit", "skill=sum"))


def test_a_table_is_asked_like_a_question(lake: duckdb.DuckDBPyConnection) -> None:
    assert [row["task"] for row in ask(lake, "circuits", "task=rc")] == ["rc"]


NO_ROWS = {
    ("loss_by_position", "study=u"): ["no study is 'u'; there are s, t"],
    ("loss_by_position", "study=s", "pos=9"): [],  # numbers are not listed
    ("excess_loss_by_skill", "study=s", "slot=digt"): ["no slot is 'digt'; there are digit"],
    ("excess_loss_by_skill", "skill=sum", "slot=nil", "study=null"): [
        "no slot is 'nil'; there are digit"
    ],
    ("circuit_difference", "one=rc", "other=simpel", "study=s"): [
        "no one is 'rc'; there are rc.ig.none, nounpp.ig.none, simple.ig.none",
        "no other is 'simpel'; there are simple.ig.none, rc.ig.none, nounpp.ig.none",
    ],
    ("feature_where", "study=s", "site=resid_9", "feature=1"): [
        "no site is 'resid_9'; there are resid_0, embed"
    ],
    ("feature_where", "study=t", "site=resid_0", "feature=1"): [],  # t has none at all
    ("tokens", "token=banker"): ["no token is 'banker'; there are ' banker', b"],
}


@pytest.mark.parametrize("asked", NO_ROWS)
def test_an_answer_without_rows_says_which_values_there_are(
    lake: duckdb.DuckDBPyConnection, asked: tuple[str, ...]
) -> None:
    assert ask(lake, *asked) == []
    assert why_no_rows(lake, asked) == NO_ROWS[asked]


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
