"""The snapshot at hand: built when asked for, anew when the lake has changed, gone at the end."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pytest

from dagster_project.lake.label_log import Label, append
from dagster_project.lake.store import Lake
from dashboards import data as module
from dashboards.data import Data
from dashboards.sandbox import keeper as keeping
from dashboards.sandbox.keeper import PREFIX, Keeper, Snapshot, Standing, sweep
from tests.lake.frames import put

K = {"study": "s", "shard": "00000"}


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for temporary files of the test's own; no rest between builds or looks."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(module, "FRESH", 0.0)
    monkeypatch.setattr(keeping, "REST", 0.0)
    return folder


def settled(keeper: Keeper, seconds: float = 120) -> Standing:
    """How things stand when nothing is being built."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        standing = keeper.look()
        if standing.building is None:
            return standing
        time.sleep(0.05)
    raise TimeoutError


def subsets(standing: Standing) -> list[str]:
    assert standing.snapshot is not None
    with duckdb.connect(str(standing.snapshot.file), read_only=True) as connection:
        return [
            name for (name,) in connection.sql("select pile_set_name from documents").fetchall()
        ]


def snapshot_of(standing: Standing) -> Snapshot:
    assert standing.snapshot is not None
    return standing.snapshot


def test_it_follows_the_lake_and_the_one_before_stands_in(root: Lake, apart: Path) -> None:
    put(root, "documents", [{"pile_set_name": "web"}], **K)
    keeper = Keeper(Data(root))
    first_look = keeper.look()
    assert first_look.snapshot is None
    assert first_look.building is not None
    first = settled(keeper)
    assert subsets(first) == ["web"]
    assert keeper.look() == first  # nothing has changed: nothing is built
    assert snapshot_of(first).bytes == snapshot_of(first).file.stat().st_size
    put(root, "documents", [{"pile_set_name": "books"}], **K)
    meanwhile = keeper.look()
    assert meanwhile.building is not None
    assert subsets(meanwhile) == ["web"]
    second = settled(keeper)
    assert subsets(second) == ["books"]
    put(root, "documents", [{"pile_set_name": "code"}], **K)
    assert subsets(settled(keeper)) == ["code"]
    assert not snapshot_of(first).file.exists()  # the last but one is not kept
    assert snapshot_of(second).file.exists()
    (folder,) = apart.iterdir()
    assert folder.stat().st_mode & 0o077 == 0  # for this user alone
    del keeper
    gc.collect()
    assert list(apart.iterdir()) == []


def test_labels_come_along_and_renew_it(root: Lake) -> None:
    put(root, "features", [{"site": "embed", "feature": 7}], study="s")
    keeper = Keeper(Data(root))
    settled(keeper)
    append(root, "s", [Label("embed", 7, "girls", "ann")])
    standing = settled(keeper)
    parts = {part["table"]: part["rows"] for part in snapshot_of(standing).parts}
    assert parts == {"features": 1, "labels": 1, "label_history": 1}
    with duckdb.connect(str(snapshot_of(standing).file), read_only=True) as connection:
        assert connection.sql("select label, author from labels").fetchall() == [("girls", "ann")]
        assert connection.sql("select label from features").fetchall() == [("girls",)]


def test_a_build_that_fails_is_said_and_the_snapshot_stays(
    root: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "documents", [{"pile_set_name": "web"}], **K)
    keeper = Keeper(Data(root))
    settled(keeper)
    monkeypatch.setattr(keeping, "REST", 60.0)
    monkeypatch.setattr(keeping, "MOST_SECONDS", 0.01)
    put(root, "documents", [{"pile_set_name": "books"}], **K)
    for _ in range(3):
        standing = settled(keeper)
        assert standing.fault == keeping.FAILED
        assert subsets(standing) == ["web"]


def test_no_room_for_temporary_files_is_said(
    root: Lake, apart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "documents", [{"pile_set_name": "web"}], **K)
    monkeypatch.setattr(tempfile, "tempdir", str(apart / "missing"))
    monkeypatch.setattr(keeping, "REST", 60.0)
    standing = settled(Keeper(Data(root)))
    assert standing.snapshot is None
    assert "No such file or directory" in standing.fault


def test_builds_rest_while_a_lake_is_being_filled(
    root: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "REST", 60.0)
    keeper = Keeper(Data(root))
    put(root, "documents", [{"pile_set_name": "web"}], **K)
    first = settled(keeper)
    put(root, "documents", [{"pile_set_name": "books"}], **K)
    assert keeper.look() == first


def test_an_empty_lake_has_an_empty_snapshot(empty_lake: Lake) -> None:
    assert snapshot_of(settled(Keeper(Data(empty_lake)))).parts == ()


def test_what_a_process_that_is_no_more_has_left_is_removed(apart: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, ours = apart / f"{PREFIX}{gone.pid}-x", apart / f"{PREFIX}{os.getpid()}-x"
    others = [apart / f"{PREFIX}name-x", apart / "other", apart / f"{PREFIX}{10**30}-x"]
    for folder in (left, ours, *others):
        folder.mkdir()
        (folder / "snapshot.duckdb").touch()
    linked = apart / f"{PREFIX}{gone.pid}-link"
    linked.symlink_to(apart / "other")
    sweep()
    assert sorted(apart.iterdir()) == sorted([ours, *others, linked])
    assert (apart / "other" / "snapshot.duckdb").exists()
