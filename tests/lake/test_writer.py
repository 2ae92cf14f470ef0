"""Writers that die, race or run out of disk, as real processes: what was committed stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from dagster_project.lake import writer
from dagster_project.lake.catalog import connect, fetch
from dagster_project.lake.store import Lake, LakeError
from tests.lake.frames import frame, losses

KEYS = {"study": "s", "shard": "00000"}

HANG = """
import sys, time
from dagster_project.lake import writer
from dagster_project.lake.store import Lake
from tests.lake.frames import losses
writer.GROUP_ROWS = 2
with Lake(sys.argv[1]).writer("losses", "v2", study="s", shard="00000") as out:
    out.append(losses(1, 8.0, 9.0))  # a row group on disk
    print("half way", flush=True)
    time.sleep(60)
"""

LOOP = """
import sys
import numpy as np
from dagster_project.lake.store import Lake
from tests.lake.frames import losses
rows = int(sys.argv[2])
noise = np.random.default_rng(rows).random(rows)  # so that the two files differ all over
for _ in range(40):
    with Lake(sys.argv[1]).writer("losses", sys.argv[2], study="s", shard="00000") as out:
        out.append(losses(1, *(rows + noise)))
"""

FULL = """
import resource, sys
import numpy as np
from dagster_project.lake.store import Lake, LakeError
from tests.lake.frames import losses
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    with Lake(sys.argv[1]).writer("losses", "v2", study="s", shard="00000") as out:
        out.append(losses(1, *np.random.default_rng(0).random(50_000)))
except LakeError as error:
    print(error)
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    found = Lake(tmp_path / "lake")
    commit(found, "v1", 0.5)
    return found


def commit(lake: Lake, version: str, *values: float) -> None:
    with lake.writer("losses", version, **KEYS) as out:
        out.append(losses(1, *values))


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def names(lake: Lake) -> list[str]:
    return [f.name for f in lake.file("losses", **KEYS).parent.iterdir()]


def test_row_groups_are_full_sorted_and_pruned(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GROUP_ROWS", 4)
    with lake.writer("losses", "v2", **KEYS) as out:
        for i in (2, 1, 3, 4):
            out.append(losses(i, 0.1, 0.2, 0.3))
    file = lake.file("losses", **KEYS)
    groups = [pq.ParquetFile(file).read_row_group(i).column("doc_id").to_pylist() for i in range(3)]
    assert groups == [[1, 2, 2, 2], [1, 1, 3, 3], [3, 4, 4, 4]]
    meta = pq.read_metadata(file)
    statistics = meta.row_group(2).column(0).statistics
    assert (statistics.min, statistics.max) == (3, 4)
    assert meta.row_group(0).column(0).compression == "ZSTD"
    assert lake.scan("losses").filter(pl.col("doc_id") == 4).collect().height == 3


def test_long_rows_are_written_before_the_group_is_full(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GROUP_BYTES", 1_000)
    text = frame("documents", [{"doc_id": 1, "text": "x" * 900}])
    with lake.writer("documents", "v", study="s", shard="0") as out:
        for _ in range(4):
            out.append(text)
        assert out.rows == 4
    meta = pq.read_metadata(lake.file("documents", study="s", shard="0"))
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [2, 2]


def test_a_killed_writer_leaves_the_old_partition_and_its_rest_is_removed(lake: Lake) -> None:
    process = start(HANG, str(lake.root))
    assert process.stdout is not None
    assert process.stdout.readline() == "half way\n"
    commit(lake, "v1", 0.5)  # beside a living writer, whose file is left alone
    assert len(names(lake)) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert lake.version("losses", **KEYS) == "v1"
    assert lake.scan("losses").collect()["loss"].to_list() == [0.5]
    assert connect(lake).sql("select loss from losses").fetchall() == [(0.5,)]
    commit(lake, "v3", 1.5)
    assert names(lake) == [writer.FILE_NAME]


def test_another_hosts_rest_is_removed_after_an_hour(lake: Lake) -> None:
    folder = lake.file("losses", **KEYS).parent
    old, young = (folder / f"part-0.elsewhere~1~{x}.tmp" for x in ("old", "young"))
    for file in (old, young):
        file.touch()
    os.utime(old, (0, time.time() - writer.LEFT_BEHIND - 1))
    commit(lake, "v2", 1.5)
    assert not old.exists()
    assert young.exists()


def test_two_writers_both_commit_and_no_reader_sees_a_torn_file(lake: Lake) -> None:
    commit(lake, "1", 1.5)
    writers = [start(LOOP, str(lake.root), rows) for rows in ("500", "3000")]
    reads = 0
    with connect(lake) as connection:
        while any(w.poll() is None for w in writers):
            sql = "select count(*), floor(min(loss)), floor(max(loss)) from losses"
            rows, least, most = fetch(connection, sql).row(0)
            assert rows in (1, 500, 3000)
            assert least == most == rows
            scanned = lake.scan("losses", **KEYS).collect()["loss"]
            assert scanned.floor().unique().to_list() == [len(scanned)]
            reads += 1
    assert [w.returncode for w in writers] == [0, 0]
    assert reads > 5
    rows = lake.rows("losses", **KEYS)
    assert lake.version("losses", **KEYS) == str(rows)
    assert rows in (500, 3000)
    assert names(lake) == [writer.FILE_NAME]


def test_a_full_disk_is_reported_and_changes_nothing(lake: Lake) -> None:
    process = start(FULL, str(lake.root))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "part-0.parquet: cannot be written" in output
    assert names(lake) == [writer.FILE_NAME]
    assert lake.scan("losses").collect()["loss"].to_list() == [0.5]


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LakeError, match="cannot be written"):
        commit(Lake(tmp_path / "file"), "v1", 0.5)


def test_floats_are_split_into_bytes_and_read_alike(lake: Lake) -> None:
    """In a column and in a list; whole numbers and texts by dictionary."""
    rows = [{"site": "embed", "pos": 3, "gradient": [0.5, -2.0, 1e-30]}] * 3
    keys = {"study": "s", "task": "t"}
    with lake.writer("mean_gradients", "v1", **keys) as out:
        out.append(frame("mean_gradients", rows))
    file = lake.file("mean_gradients", **keys)
    group = pq.read_metadata(file).row_group(0)
    leaves = [group.column(i) for i in range(group.num_columns)]
    split = {c.path_in_schema for c in leaves if "BYTE_STREAM_SPLIT" in c.encodings}
    assert split == {c.path_in_schema for c in leaves if c.physical_type in ("FLOAT", "DOUBLE")}
    assert any(".list." in path for path in split)
    with duckdb.connect() as connection:
        found = connection.execute(f"select gradient from read_parquet('{file}')").fetchall()
    stored = lake.scan("mean_gradients").collect()["gradient"]
    assert [row for (row,) in found] == stored.to_list() == [pytest.approx([0.5, -2.0, 1e-30])] * 3
    assert lake.size("mean_gradients") == file.stat().st_size


def test_duckdb_reads_statistics_and_documentation(lake: Lake) -> None:
    file = str(lake.file("losses", **KEYS))
    found = duckdb.execute("select key::varchar from parquet_kv_metadata(?)", [file]).fetchall()
    assert ("circuit_lake.data_version",) in found
