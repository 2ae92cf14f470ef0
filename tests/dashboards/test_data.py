"""Answers from the lake: fresh, bounded, bound to their parameters, and nothing but the lake."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import polars as pl
import pytest

from dagster_project.lake.errors import LakeError
from dagster_project.lake.label_log import Label, append
from dagster_project.lake.queries import SqlFile, shipped
from dagster_project.lake.store import Lake
from dashboards import data as module
from dashboards.data import Data, tables_of
from tests.dashboards.lakes import DOCUMENTS, fill
from tests.lake.frames import Row, put

K = {"study": "s", "shard": "00000"}
LABELLED = SqlFile("labelled", {}, "select feature, label from features where study = $study")


@pytest.fixture(autouse=True)
def always_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lake is looked over at every question."""
    monkeypatch.setattr(module, "FRESH", 0.0)


def sizes(data: Data) -> list[tuple[object, ...]]:
    return data.ask("subsets", study="s").rows()


def test_a_lake_that_fills_up_is_seen(root: Lake) -> None:
    data = Data(root)
    assert data.studies() == []
    assert sizes(data) == []
    put(root, "documents", [{"pile_set_name": "web"}], **K)  # the first of its table
    assert data.studies() == ["s"]
    assert sizes(data) == [("web", 1)]
    put(root, "documents", [{"pile_set_name": "web"}] * 3, **K)  # replaced
    assert sizes(data) == [("web", 3)]
    put(root, "documents", [{"pile_set_name": "books"}], study="s", shard="00001")
    assert sizes(data) == [("books", 1), ("web", 3)]


def test_an_answer_is_kept_while_what_it_reads_stays(root: Lake) -> None:
    data = Data(root)
    put(root, "documents", [{"pile_set_name": "web"}], **K)
    answer = data.ask("subsets", study="s")
    put(root, "losses", [{"pos": 1}], **K)
    assert data.ask("subsets", study="s") is answer
    assert data.ask("subsets", study="t") is not answer
    put(root, "documents", [{"pile_set_name": "web"}], **K)
    assert data.ask("subsets", study="s") is not answer


def test_a_label_is_seen(root: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shipped("dashboards"), "labelled", LABELLED)
    put(root, "features", [{"site": "embed", "feature": 3}], study="s")
    data = Data(root)
    assert data.ask("labelled", study="s").rows() == [(3, None)]
    for text in ("verbs", "verbs, past"):  # the first of its log, and another
        append(root, "s", [Label("embed", 3, text, "me")])
        assert data.ask("labelled", study="s").rows() == [(3, text)]
    assert set(data.holdings("s")) == {"features"}  # a log is no table
    assert data.holdings("s")["features"].unreadable == ()


def test_queries_with_parameters_are_asked_with_what_they_default_to(root: Lake) -> None:
    rows: list[Row] = [
        {"unit": "feature", "selection": "top_n", "value": n, "n_nodes": n, "faithfulness": share}
        for n, share in ((5, 0.5), (9, 0.875))
    ]
    put(root, "faithfulness", rows, study="s", task="t")
    assert shipped("queries")["smallest_faithful"].parameters
    assert Data(root).shared("smallest_faithful", "s")["n_nodes"].to_list() == [9]


def test_what_is_kept_is_bounded(root: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "documents", [{"pile_set_name": "x" * 10_000}], **K)
    monkeypatch.setattr(module, "MOST_BYTES", 30_000)
    data = Data(root)
    for number in range(20):
        data.ask("documents_by_loss", study="s", subset="", order=f"order {number}")
        data.ask("subsets", study="s" if number % 2 else f"{number}")
    assert module._size(data._kept) <= 30_000
    data.ask("subsets", study="s")
    assert len(data._kept) >= 1


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("from queries.dictionary_quality where study = $study", {"dictionaries"}),
        ("select decode_context($study, 1, 2, 3) as text", {"tokens"}),
        (  # queries and macros in macros
            "from feature_where($study, $site, $feature)",
            {"circuit_nodes", "circuit_edges", "cluster_members", "context_features", "contexts"},
        ),
        ("select label from features", {"features", "labels"}),  # a view on a view
    ],
)
def test_tables_are_found_through_views_queries_and_macros(sql: str, tables: set[str]) -> None:
    """One too many, named for another reason, does no harm."""
    assert tables_of(sql) >= tables
    assert "losses" not in tables_of(sql)


def test_tables_that_are_not_read_are_not_waited_for() -> None:
    assert tables_of("select 1 from losses join documents using (doc_id)") == {
        "losses",
        "documents",
    }


def test_parameters_are_values_not_sql(root: Lake) -> None:
    put(root, "documents", [{"pile_set_name": "web"}], **K)
    assert Data(root).ask("subsets", study="s' or 'a' = 'a").is_empty()


@pytest.mark.parametrize(
    "sql",
    [
        "from read_text('{outside}')",
        "copy (select 1) to '{outside}.csv'",
        "attach '{outside}.duckdb'",
        "set memory_limit = '100GB'",
        "set enable_external_access = true",
        "install httpfs",
        "load httpfs",
        "from read_csv('https://example.com/x.csv')",
    ],
)
def test_nothing_but_the_lake_is_within_reach(root: Lake, tmp_path: Path, sql: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    fill(root, "s")
    data = Data(root)
    data.ask("subsets", study="s")
    assert data._connection is not None
    with pytest.raises(duckdb.Error):
        data._connection.cursor().sql(sql.format(outside=outside)).fetchall()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lake", "outside"]


def test_what_is_being_asked_is_not_asked_again_but_waited_for(
    root: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root, "s")
    data, begun, go_on = Data(root), threading.Event(), threading.Event()
    asked: list[int] = []

    def slow(action: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        asked.append(1)
        begun.set()
        assert go_on.wait(60)
        return action()

    monkeypatch.setattr("dashboards.data.patiently", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(data.ask, "subsets", study="s")
        assert begun.wait(60)
        second = pool.submit(data.ask, "subsets", study="s")
        go_on.set()
        assert first.result(60) is second.result(60)
    assert asked == [1]


def test_a_question_that_fails_is_asked_anew(root: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root, "s")
    data = Data(root)

    def fail(_: object) -> None:
        raise duckdb.Error("no")

    with monkeypatch.context() as patch:
        patch.setattr("dashboards.data.patiently", fail)
        with pytest.raises(duckdb.Error, match="no"):
            data.ask("subsets", study="s")
    assert data.ask("subsets", study="s").height > 0


def test_threads_share_it(root: Lake) -> None:
    fill(root, "s")
    data, found = Data(root), list[int]()

    def ask() -> None:
        found.extend(data.ask("subsets", study="s").height for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 160


def test_a_file_that_is_no_parquet_is_told_not_hidden(root: Lake) -> None:
    fill(root, "s")
    root.file("losses", **K).write_bytes(b"no parquet")
    data = Data(root)
    assert data.holdings("s")["losses"].unreadable == ("00000",)
    with pytest.raises((LakeError, duckdb.Error)):
        data.ask("losses_by_position", study="s")
    assert data.holdings("s")["tokens"].unreadable == ()


def test_holdings_count_what_there_is(root: Lake) -> None:
    fill(root, "s")
    held = Data(root).holdings("s")
    assert held["documents"].rows == DOCUMENTS
    assert held["faithfulness"].parts == ("agreement", "bracket")
    assert held["dictionaries"].parts == ("",)
    assert held["losses"].oldest <= held["losses"].newest
    assert "features" not in held
    assert Data(root).holdings("t") == {}
