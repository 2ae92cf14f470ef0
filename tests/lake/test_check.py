"""Checks of a lake: what is damaged is found, what is well is left alone."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.exceptions import PanicException, PolarsError

from dagster_project.lake import check
from dagster_project.lake.check import Finding, damage, findings, main
from dagster_project.lake.schemas import TABLES
from dagster_project.lake.store import Lake
from dagster_project.lake.writer import host

FLIPS = 4000


def tokens(n: int, first: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "doc_id": [i // 100 for i in range(n)],
            "pos": [i % 100 for i in range(n)],
            "token_id": [(7 * i + first) % 5000 for i in range(n)],
            "token": [f"t{(7 * i + first) % 5000}" for i in range(n)],
        },
        schema_overrides={"doc_id": pl.Int64, "pos": pl.UInt16, "token_id": pl.UInt32},
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake")
    for shard in ("00000", "00001"):
        with made.writer("tokens", "v", study="s", shard=shard) as writer:
            writer.append(tokens(3000, int(shard)))
    return made


def file_of(lake: Lake) -> Path:
    return lake.file("tokens", study="s", shard="00000")


def only(lake: Lake) -> Finding:
    (found,) = findings(lake)
    return found


def test_a_lake_as_it_should_be_has_no_findings(lake: Lake) -> None:
    (lake.root / "catalog.duckdb").touch()
    lake.folder("_scratch", study="s")
    assert list(findings(lake)) == []
    assert main(["--root", str(lake.root)]) == 0


def test_any_flipped_bit_is_found_or_changes_no_row(lake: Lake) -> None:
    """Rows, and what statistics let a reader skip, are what they were, or the file is damaged: of
    headers of pages, which have no checksum, at worst a reader refuses it."""
    file, chosen = file_of(lake), random.Random(0)
    whole, table, rows = file.read_bytes(), TABLES["tokens"], pl.read_parquet(file_of(lake))
    unnoticed = refused = 0
    for _ in range(FLIPS):
        place = chosen.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        if damage(table, file) is None:
            unnoticed += 1
            try:
                assert pl.read_parquet(file).equals(rows), place
                some = pl.scan_parquet(file).filter(pl.col("doc_id") == 17).collect()
                assert some.equals(rows.filter(pl.col("doc_id") == 17)), place
            except (PanicException, PolarsError):
                refused += 1
    assert unnoticed < FLIPS / 4
    assert refused < FLIPS / 200


@pytest.mark.parametrize("kept", [0, 3, 200, -9, -1])
def test_a_truncated_file_is_found_and_set_aside(
    lake: Lake, kept: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file = file_of(lake)
    file.write_bytes(file.read_bytes()[:kept])
    assert only(lake).kind == "damaged"
    assert main(["--root", str(lake.root)]) == 1
    assert file.exists()
    assert main(["--root", str(lake.root), "--mend"]) == 0
    assert "set aside as part-0.damaged: materialize the partition again" in capsys.readouterr().out
    assert lake.scan("tokens").collect().height == 3000  # the other shard's
    assert lake.version("tokens", study="s", shard="00000") is None
    assert only(lake).kind == "set aside"


def test_statistics_that_lie_are_found(lake: Lake) -> None:
    """A file whose footer is of other rows would have readers skip what is there."""
    file = file_of(lake)
    honest = pq.read_metadata(file)
    with lake.writer("tokens", "v", study="s", shard="00002") as writer:
        writer.append(tokens(3000).with_columns(pl.col("doc_id") + 100))
    other = lake.file("tokens", study="s", shard="00002")
    assert pq.read_metadata(other).num_rows == honest.num_rows
    low = honest.row_group(0).column(0).statistics.max.to_bytes(8, "little")
    content = file.read_bytes()
    assert content.count(low) >= 1
    file.write_bytes(content.replace(low, (3).to_bytes(8, "little")))
    assert "doc_id" in only(lake).what or "checksum" in only(lake).what


def test_rows_of_another_table_are_found(lake: Lake) -> None:
    file = file_of(lake)
    pl.DataFrame({"a": [1]}).write_parquet(file)
    assert "not written by the lake as a part of tokens" in only(lake).what


def test_what_dead_writers_left_is_told_from_what_live_ones_write(lake: Lake) -> None:
    folder = file_of(lake).parent
    says = [sys.executable, "-c", "import os; print(os.getpid())"]
    dead = subprocess.run(says, capture_output=True, check=True)
    left = folder / f"part-0.{host()}~{int(dead.stdout)}~abc.tmp"
    left.touch()
    (folder / f"part-0.{host()}~{os.getpid()}~abc.tmp").touch()
    assert only(lake) == Finding("unfinished", left, "its writer is dead")
    assert main(["--root", str(lake.root), "--mend"]) == 0
    assert list(findings(lake)) == []
    assert len(list(folder.iterdir())) == 2


def test_what_is_none_of_the_lakes_is_told_and_left(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    (lake.root / "notes.txt").touch()
    (lake.root / "tokens" / "study=s" / "shard=00000" / "part-1.parquet").touch()
    (lake.root / "tokens" / "lost").mkdir()
    assert main(["--root", str(lake.root), "--mend"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[:3] == [
        "foreign: tokens/lost: neither a partition nor a folder of partitions",
        "foreign: tokens/study=s/shard=00000/part-1.parquet: neither a partition nor a folder of "
        "partitions",
        "foreign: notes.txt: not a table of the lake",
    ]
    assert (lake.root / "notes.txt").exists()


def test_a_partition_that_was_replaced_meanwhile_is_left(lake: Lake) -> None:
    file = file_of(lake)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    found = only(lake)
    other = file.with_name("other")
    other.write_bytes(whole)
    other.replace(file)
    assert check.mend(found) == ""
    assert lake.version("tokens", study="s", shard="00000") == "v"


def test_no_lake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path / "none")]) == 2
    assert "expected a lake, found no folder" in capsys.readouterr().err
