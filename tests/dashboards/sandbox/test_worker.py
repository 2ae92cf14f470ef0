"""Each bound of the worker holds without the others: the locked database answers statements that
were never looked through, the confined process writes nothing that DuckDB would have let it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dashboards.sandbox.worker import Task, answer, kind_of, opened
from tests.dashboards.sandbox import ways_out

LOCKED = (
    *ways_out.COPIES,
    *ways_out.READS,
    *ways_out.ATTACHES[:2],
    *ways_out.EXTENSIONS,
    *ways_out.SETTINGS,
)


def task(file: Path, sql: str = "", **bounds: Any) -> Task:
    usual = {"rows": 100, "cell": 50, "bytes": 10_000, "memory": 2**28, "seconds": 60}
    return Task(file=str(file), sql=sql, study="plain", **{**usual, **bounds})  # type: ignore[typeddict-item]


@pytest.fixture
def locked(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[duckdb.DuckDBPyConnection]:
    monkeypatch.chdir(snapshot.parent)
    with opened(task(snapshot)) as connection:
        yield connection


@pytest.mark.parametrize("sql", LOCKED)
def test_the_database_itself_lets_nothing_out(
    locked: duckdb.DuckDBPyConnection, tmp_path: Path, sql: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a,b\ntreasure,1\n")
    named = sql.format(out=tmp_path / "out", secret=secret, folder=tmp_path)
    found = ""
    with suppress(duckdb.Error):
        for statement in locked.extract_statements(named):
            found += str(locked.execute(statement).fetchall())
    assert "treasure" not in found
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]


def test_settings_stay(locked: duckdb.DuckDBPyConnection) -> None:
    asked = "select name, value from duckdb_settings() order by name"
    before = locked.execute(asked).fetchall()
    for sql in ways_out.SETTINGS[:9]:
        with pytest.raises(duckdb.Error):
            locked.execute(sql.format(out="out", folder="folder"))
    assert locked.execute(asked).fetchall() == before


def test_the_snapshot_is_read_only(locked: duckdb.DuckDBPyConnection) -> None:
    (before,) = locked.execute("select count(*) from losses").fetchall()
    for sql in ("delete from losses", "insert into losses from losses", "drop table losses"):
        with pytest.raises(duckdb.Error):
            locked.execute(sql)
    assert locked.execute("select count(*) from losses").fetchall() == [before]


CONFINED = """
import json, os, sys
from pathlib import Path
from dashboards.sandbox.worker import confine
confine(json.loads(sys.argv[1]))
said = {"environment": dict(os.environ), "folder": os.getcwd()}
try:
    with open(sys.argv[2], "w") as file:
        file.write("x")
        file.flush()
    said["wrote"] = True
except OSError:
    said["wrote"] = False
try:
    bytearray(1 << 31)
    said["held"] = True
except MemoryError:
    said["held"] = False
print(json.dumps(said), flush=True)
"""


def confined(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SECRET": "treasure"},
        timeout=60,
    )


def test_the_process_gives_up_files_memory_and_environment(snapshot: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = confined(CONFINED, json.dumps(task(snapshot)), str(out))
    said = json.loads(ended.stdout)
    assert said["environment"] == {}
    assert said["folder"] == str(snapshot.parent)
    assert not said["wrote"]
    assert out.read_text() == ""
    assert not said["held"]  # 2 GiB, of 3 × 256 MiB


def test_the_process_ends_by_itself(snapshot: Path) -> None:
    """Even where nobody kills it and it never comes back from one call."""
    forever = (
        "import json, sys; from dashboards.sandbox.worker import confine; "
        "confine(json.loads(sys.argv[1])); [None] * 100 == [x for x in iter(int, 1)]"
    )
    ended = confined(forever, json.dumps(task(snapshot, seconds=1, memory=2**34)))
    assert ended.returncode < 0  # by a signal


def test_values_are_what_a_browser_holds(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(snapshot.parent)
    sql = """
    select 1::utinyint as small, 9007199254740992 as exact, 9007199254740993 as beyond,
        0.1::float as short, 'nan'::double as lost, '-inf'::double as low, 1.5::decimal(9, 4) as d,
        170141183460469231731687303715884105727 as huge, null as none, true as yes,
        date '2020-01-02' as day, [1, 2] as list, {'a': '<b>'} as struct, '\\x00'::blob as bytes,
        repeat('x', 51) as long, [1.5::decimal(3, 1)] as decimals
    """
    found = answer(task(snapshot, sql))
    assert dict(zip([c["name"] for c in found["columns"]], found["rows"][0], strict=True)) == {
        "small": 1,
        "exact": 9007199254740992,
        "beyond": "9007199254740993",
        "short": 0.1,
        "lost": "NaN",
        "low": "-Infinity",
        "d": "1.5000",
        "huge": "170141183460469231731687303715884105727",
        "none": None,
        "yes": "true",
        "day": "2020-01-02",
        "list": "[1, 2]",
        "struct": "{'a': <b>}",
        "bytes": "\\x00",
        "long": "x" * 50 + "…",
        "decimals": "[1.5]",
    }
    kinds = [column["kind"] for column in found["columns"]]
    assert kinds[:8] == ["whole"] * 3 + ["real"] * 3 + ["large"] * 2
    assert kinds[9:] == ["text"] * 7
    json.dumps(found, allow_nan=False)
    assert kind_of("DECIMAL(3,1)[]") == "text"


def test_rows_end_where_a_bound_is_met(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(snapshot.parent)
    found = answer(task(snapshot, "from range(100)"))
    assert (len(found["rows"]), found["more"]) == (100, False)
    found = answer(task(snapshot, "from range(101)"))
    assert (len(found["rows"]), found["more"]) == (100, True)
    found = answer(task(snapshot, "select repeat('x', 50) from range(100)", bytes=1000))
    assert (len(found["rows"]), found["more"]) == (20, True)
    found = answer(task(snapshot, "from losses where false"))
    assert (found["rows"], found["more"]) == ([], False)
    wide = ", ".join(f"{i} as c{i}" for i in range(257))
    assert "257 columns; at most 256" in answer(task(snapshot, f"select {wide}"))["error"]


def test_columns_of_one_name_and_hostile_names_are_kept_apart(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(snapshot.parent)
    found = answer(task(snapshot, """select 1 as a, 'x' as a, 2 as "b""#1; --", 3 as "(" """))
    assert [list(row) for row in found["rows"]] == [[1, "x", 2, 3]]
    assert [column["name"] for column in found["columns"]][::2] == ["a", 'b"#1; --']


def test_order_is_kept_and_errors_tell_no_paths(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(snapshot.parent)
    found = answer(task(snapshot, "select i from range(1000) t(i) order by i desc"))
    assert [row[0] for row in found["rows"]] == list(range(999, 899, -1))
    for sql in ("select nothing from losses", "selekt 1", "select 1 / 'x'", "select error('no')"):
        said = answer(task(snapshot, sql))["error"]
        assert said
        assert str(snapshot.parent) not in said
