"""Statements asked of real workers: whatever they try, an answer or an error comes back in time."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import psutil
import pytest

from dashboards.sandbox.runner import FILED, PATIENCE, SHOWN, Runner
from tests.dashboards.sandbox import ways_out

MOST_SECONDS = 20  # on a machine that is busy
ENDLESS = (
    "select count(*) from range(10_000_000) a, range(10_000_000) b where a.range + b.range = 1",
    "with recursive n as (select 1 as i union all select i + 1 from n) select count(*) from n",
    "select list_sum(list_transform(range(10_000_000), lambda x: list_sum(range(10_000))))",
)


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if is_worker(child)]


def is_worker(process: psutil.Process) -> bool:
    try:
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and any("sandbox.worker" in a for a in process.cmdline())
    except psutil.NoSuchProcess:  # ended meanwhile
        return False


@pytest.mark.parametrize(
    "sql",
    [
        ways_out.COPIES[0],
        ways_out.COPIES[2],
        ways_out.COPIES[7],
        ways_out.COPIES[8],
        "from read_text('{secret}')",
        "from read_csv('{secret}')",
        "from read_parquet('{secret}')",
        "from glob('{folder}/*')",
        "from '{secret}'",
        "attach '{out}.duckdb'",
        "install httpfs",
        "load httpfs",
        "set memory_limit = '100GB'",
        "pragma enable_profiling",
        "export database '{out}'",
        "select getenv('HOME')",
    ],
)
def test_no_way_out(runner: Runner, snapshot: Path, tmp_path: Path, sql: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("treasure")
    named = sql.format(out=tmp_path / "out", secret=secret, folder=tmp_path)
    found = runner.ask(snapshot, named, "plain")
    assert found["error"]
    assert "treasure" not in str(found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]


@pytest.mark.parametrize(
    "sql",
    [
        "select list(range) from range(1_000_000_000)",
        "select count(distinct (a.range, b.range)) from range(100_000) a, range(100_000) b",
        "select length(repeat('x', 4_000_000_000))",
        "select list_sum(list_resize([1], 1_000_000_000, 1))",
    ],
)
def test_memory_is_bounded(snapshot: Path, sql: str) -> None:
    """Out of memory, or out of time where it is slow in filling it: never more of it than asked."""
    runner, held = Runner(seconds=MOST_SECONDS, memory=2**27), list[int]()

    def watch() -> None:
        while not done.wait(0.05):
            for worker in workers():
                try:
                    held.append(worker.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue

    done = threading.Event()
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        assert runner.ask(snapshot, sql, "plain")["error"]
    finally:
        done.set()
        watching.join()
    assert max(held, default=0) < 3 * 2**27


@pytest.mark.parametrize("sql", ENDLESS)
def test_time_is_bounded(snapshot: Path, sql: str) -> None:
    began = time.monotonic()
    found = Runner(seconds=2).ask(snapshot, sql, "plain")
    assert found["error"] == "Stopped: it took longer than 2 seconds."
    assert time.monotonic() - began < MOST_SECONDS


def test_rows_and_bytes_are_bounded(runner: Runner, snapshot: Path) -> None:
    found = runner.ask(snapshot, "from range(1_000_000_000_000)", "plain")
    assert (len(found["rows"]), found["more"]) == (SHOWN.rows, True)
    found = runner.ask(snapshot, "select repeat('x', 1_000_000) from range(9)", "plain")
    assert {len(row[0]) for row in found["rows"]} == {SHOWN.cell + 1}
    cells = ", ".join(f"repeat('é', 300) as c{i}" for i in range(200))
    found = runner.ask(snapshot, f"select {cells} from range(5000)", "plain")
    assert found["more"]
    assert sum(len(c) for row in found["rows"] for c in row) <= SHOWN.bytes
    found = runner.ask(snapshot, "from range(200_000)", "plain", FILED)
    assert (len(found["rows"]), found["more"]) == (FILED.rows, True)


@pytest.mark.parametrize(
    "sql",
    [
        "select " + "(" * 20_000 + "1" + ")" * 20_000,
        "select " + "1+" * 24_000 + "1",
        "select " + "case when 1 then " * 2_000 + "1" + " end" * 2_000,
        "\ud800",
        "select '\0'",
        "x" * 60_000,
        "select error('x')",
        "',\"",
    ],
)
def test_nothing_breaks_it(runner: Runner, snapshot: Path, sql: str) -> None:
    assert runner.ask(snapshot, sql, "plain")["error"]
    assert runner.ask(snapshot, "select $study as s", "plain")["rows"] == [["plain"]]


def test_the_study_is_a_value_not_sql(runner: Runner, snapshot: Path) -> None:
    study = "x' or 'a' = 'a"
    sql = "select $study, count(*) from losses where study = $study"
    assert runner.ask(snapshot, sql, study)["rows"] == [[study, 0]]


def test_a_file_that_is_no_snapshot_is_an_error(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"x" * 5000)
    for name in ("other", "missing"):
        assert runner.ask(tmp_path / name, "select 1", "plain")["error"]
    assert not (tmp_path / "missing").exists()


def test_one_at_a_time_and_what_runs_is_stopped_by_its_name(snapshot: Path) -> None:
    runner, found = Runner(seconds=MOST_SECONDS), list[dict[str, object]]()
    endless = ENDLESS[0]
    asking = threading.Thread(
        target=lambda: found.append(runner.ask(snapshot, endless, "", run="a"))
    )
    asking.start()
    while runner._running is None:
        time.sleep(0.01)
    began = time.monotonic()
    assert "one at a time" in runner.ask(snapshot, "select 1", "")["error"]
    assert time.monotonic() - began < PATIENCE + MOST_SECONDS / 2
    runner.stop("b")
    runner.stop("")
    assert asking.is_alive()
    runner.stop("a")
    asking.join(MOST_SECONDS)
    assert found == [{"error": "Stopped before it had an answer."}]
    assert runner.ask(snapshot, "select 1 as x", "")["rows"] == [[1]]


def test_a_worker_answers_once_and_none_is_left_behind(snapshot: Path) -> None:
    before = {worker.pid for worker in workers()}
    runner = Runner(seconds=60)
    for _ in range(3):
        assert runner.ask(snapshot, "select 1 as x", "")["rows"] == [[1]]
        assert len({worker.pid for worker in workers()} - before) <= 1  # the one that waits
    for worker in workers():
        if worker.pid not in before:
            worker.kill()  # one that waits may come to an end
            worker.wait()
    assert runner.ask(snapshot, "select 1 as x", "")["rows"] == [[1]]
    del runner
    gc.collect()
    assert {worker.pid for worker in workers()} <= before
