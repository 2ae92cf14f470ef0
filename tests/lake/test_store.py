"""The lake on local disk: what is committed is what was appended, found by key and version."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dagster_project.lake import writer
from dagster_project.lake.schemas import TABLES
from dagster_project.lake.store import Held, Lake, LakeError, SchemaError
from tests.lake.frames import frame, losses, put


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake [1]")


def write(lake: Lake, *frames: pl.DataFrame, version: str = "v1", shard: str = "00000") -> Path:
    with lake.writer("losses", version, study="s", shard=shard) as out:
        for rows in frames:
            out.append(rows)
    return lake.file("losses", study="s", shard=shard)


def test_what_is_appended_is_scanned(lake: Lake) -> None:
    write(lake, losses(1, 0.5, 1.5), losses(2, 2.0))
    write(lake, losses(1_000_000, 3.0), shard="00001")
    found = lake.scan("losses", study="s").collect()
    assert found.schema == TABLES["losses"].schema
    assert found["shard"].to_list() == ["00000"] * 3 + ["00001"]
    assert found["loss"].to_list() == [0.5, 1.5, 2.0, 3.0]
    assert lake.scan("losses", study="s", shard="00001").collect()["loss"].to_list() == [3.0]
    assert lake.rows("losses") == 4
    assert lake.rows("losses", study="s", shard="00000") == 3
    assert lake.partitions("losses", "s") == ["00000", "00001"]
    assert lake.studies("losses") == ["s"]


def test_no_data_is_typed_and_empty(lake: Lake) -> None:
    for name, table in TABLES.items():
        found = lake.scan(name).collect()
        assert found.schema == table.schema
        assert found.height == 0
    assert lake.partitions("losses", "s") == lake.studies("losses") == []
    assert lake.rows("losses") == 0
    assert lake.version("losses", study="s", shard="00000") is None


def test_a_partition_without_rows_is_committed_all_the_same(lake: Lake) -> None:
    write(lake)
    assert lake.version("losses", study="s", shard="00000") == "v1"
    assert lake.scan("losses").collect().schema == TABLES["losses"].schema


def test_a_table_of_whole_studies(lake: Lake) -> None:
    assert lake.partitions("contexts", "s") == []
    put(lake, "contexts", [{"context_id": 1}], study="s")
    assert lake.partitions("contexts", "s") == [""]
    assert lake.studies("contexts") == ["s"]


def test_a_frame_that_does_not_fit_leaves_the_old_partition(lake: Lake) -> None:
    file = write(lake, losses(1, 0.5))
    with pytest.raises(SchemaError, match=r"losses\.x"):
        write(lake, losses(1, 9.0), losses(1, 9.0).with_columns(x=1), version="v2")
    assert lake.version("losses", study="s", shard="00000") == "v1"
    assert lake.scan("losses").collect()["loss"].to_list() == [0.5]
    assert [f.name for f in file.parent.iterdir()] == [writer.FILE_NAME]


PROGRAM = """
import sys
from dagster_project.lake.store import Lake
from tests.lake.frames import losses
with Lake(sys.argv[1]).writer("losses", "v1", study="s", shard="00000") as out:
    out.append(losses(1, 0.5, 1.5))
"""


def test_the_same_frames_and_version_give_the_same_bytes(lake: Lake, tmp_path: Path) -> None:
    def digest(of: Lake) -> str:
        file = of.file("losses", study="s", shard="00000")
        return hashlib.sha256(file.read_bytes()).hexdigest()

    write(lake, losses(1, 0.5, 1.5))
    other = Lake(tmp_path / "other")
    subprocess.run([sys.executable, "-c", PROGRAM, str(other.root)], check=True)
    assert digest(other) == digest(lake)
    write(lake, losses(1, 0.5, 1.5), version="v2")
    assert digest(other) != digest(lake)


@pytest.mark.parametrize("cut", [0, 3, 100, -1])
def test_a_truncated_file_has_no_version_and_spares_the_others(lake: Lake, cut: int) -> None:
    file = write(lake, losses(1, 0.5))
    write(lake, losses(2, 1.5), shard="00001")
    file.write_bytes(file.read_bytes()[:cut])
    assert lake.version("losses", study="s", shard="00000") is None
    assert lake.scan("losses", study="s", shard="00001").collect()["loss"].to_list() == [1.5]
    with pytest.raises(LakeError, match=r"shard=00000/part-0\.parquet: truncated"):
        lake.scan("losses", study="s")
    write(lake, losses(1, 7.0))
    assert lake.scan("losses").collect()["loss"].to_list() == [7.0, 1.5]


def test_a_foreign_file_is_named(lake: Lake) -> None:
    file = write(lake, losses(1, 0.5))
    frame("losses", []).write_parquet(file)
    with pytest.raises(LakeError, match=r"not written by the lake as a part of losses"):
        lake.scan("losses")
    assert lake.version("losses", study="s", shard="00000") is None


def test_a_file_of_another_contract_is_none_of_ours(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(writer, "CONTRACT_VERSION", 0)
        write(lake, losses(1, 0.5))
    assert lake.version("losses", study="s", shard="00000") is None
    with pytest.raises(LakeError, match="contract version 0, expected 1"):
        lake.scan("losses")


def test_a_nullable_column_that_came_later_reads_as_null(lake: Lake) -> None:
    file = write(lake, losses(1, 0.5))
    stored = pq.read_table(file)
    pq.write_table(stored.drop(["slot"]), file)  # keeps the footer's metadata
    write(lake, losses(2, 1.5).with_columns(slot=pl.lit("verb")), shard="00001")
    assert lake.scan("losses").collect()["slot"].to_list() == [None, "verb"]


def test_a_partition_of_the_same_version_is_linked(lake: Lake) -> None:
    first = write(lake, losses(1, 0.5))
    second = lake.file("losses", study="t", shard="00000")
    assert not lake.link("losses", "v2", study="t", shard="00000")
    assert not lake.link("losses", "v1", study="t", shard="00001")
    assert lake.link("losses", "v1", study="t", shard="00000")
    assert lake.link("losses", "v1", study="t", shard="00000")  # again: nothing is left over
    assert second.samefile(first)
    assert [f.name for f in second.parent.iterdir()] == [writer.FILE_NAME]
    write(lake, losses(1, 9.0), version="v2")  # replaces one name, not the shared file
    found = lake.scan("losses", study="t").collect()
    assert found.select("study", "loss").rows() == [("t", 0.5)]


def test_where_links_are_impossible_it_is_copied(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("cross-device link")

    first = write(lake, losses(1, 0.5))
    monkeypatch.setattr("os.link", refuse)
    assert lake.link("losses", "v1", study="t", shard="00000")
    assert not lake.file("losses", study="t", shard="00000").samefile(first)
    assert lake.rows("losses", study="t") == 1


def test_what_is_held_is_committed_or_set_aside(lake: Lake) -> None:
    held: list[Held] = []
    for value in (0.5, 1.5):
        with lake.held_writer(held, "losses", "v1", study="s", shard="00000") as out:
            out.append(losses(1, value))
    assert lake.rows("losses") == 0
    first, second = held
    kept = first.set_aside()
    second.commit()
    assert pq.read_metadata(kept).num_rows == first.rows == 1
    assert lake.scan("losses").collect()["loss"].to_list() == [1.5]


def test_marks_of_stages_without_tables(lake: Lake) -> None:
    assert lake.marked("model", "s") is None
    lake.mark("model", "s", "v1")
    lake.mark("model", "s", "v2")
    assert lake.marked("model", "s") == "v2"
    assert lake.marked("model", "t") is None


def test_folders_for_files_that_are_not_tables(lake: Lake) -> None:
    folder = lake.folder("_dictionaries", study="s")
    assert folder == lake.root / "_dictionaries/study=s"
    assert folder.is_dir()


@pytest.mark.parametrize("value", ["", "a/b", "..", ".x", "a b", "ä", "a=b", "*", "a\n"])
def test_values_that_are_not_plain_are_refused(lake: Lake, value: str) -> None:
    for act in (lake.writer, lake.link):
        with pytest.raises(LakeError, match="must be letters, digits"):
            act("losses", "v", study="s", shard=value)
    with pytest.raises(LakeError, match="must be letters, digits"):
        lake.scan("losses", study=value)
    with pytest.raises(LakeError, match="must be letters, digits"):
        lake.folder(value)


def test_wrong_keys_tables_and_versions_are_named(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"losses: keys are study, shard, found \['study'\]"):
        lake.writer("losses", "v", study="s")
    with pytest.raises(LakeError, match="losses: keys are study, shard"):
        lake.scan("losses", task="x")
    with pytest.raises(LakeError, match="no table 'loses' in the lake's contract, expected"):
        lake.scan("loses")
    with pytest.raises(LakeError, match="needs a data version"):
        lake.writer("losses", "", study="s", shard="0")
    with pytest.raises(LakeError, match="is not open"):
        lake.writer("losses", "v", study="s", shard="0").append(losses(1, 1.0))


@pytest.mark.parametrize("root", ["s3://bucket/lake", Path("s3://bucket/lake"), "gs://b"])
def test_only_local_folders(root: Path | str) -> None:
    with pytest.raises(LakeError, match="only local folders can hold a lake as yet"):
        Lake(root)  # type: ignore[arg-type]


def test_a_root_that_reads_as_partition_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="may not have = in their names"):
        Lake(tmp_path / "study=x")


SHORT = st.lists(st.floats(0, 50, width=32), max_size=6)


@settings(max_examples=25)
@given(st.lists(SHORT, max_size=4))
def test_any_frames_come_back(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[float]]
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    frames = [losses(i, *values) for i, values in enumerate(parts)]
    write(lake, *frames)
    found = lake.scan("losses", study="s", shard="00000").drop("study", "shard").collect()
    assert_frame_equal(found, pl.concat([frame("losses", []), *frames]))
