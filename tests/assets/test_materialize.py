"""Materializations: what fails a check or loses an input on the way leaves the lake as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dagster_project.assets import documents, scratch
from dagster_project.assets.flow import STAGES
from dagster_project.assets.materialize import UnfitError, materialize
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.interp.kept import Kept
from dagster_project.lake.store import Lake
from dagster_project.provenance import Provenance
from dagster_project.studies.study import Study, read_study
from tests.conftest import TINY_STUDY
from tests.lake.frames import frame

SHARD = "00000"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY_STUDY.replace("{dictionaries}", "identity"))
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "0.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    return read_study(file)


@pytest.fixture
def lake(study: Study, tmp_path: Path) -> Iterator[Lake]:
    lake = Lake(tmp_path / "lake")
    make(STAGES["corpus"], study, lake, "")
    make(documents.STAGE, study, lake)
    yield lake
    assert not list(lake.root.rglob("*.tmp"))


def make(stage: Stage, study: Study, lake: Lake, partition: str = SHARD) -> StageResult:
    return materialize(stage, study, lake, partition, lambda _: None).result


def texts(lake: Lake) -> list[str]:
    return lake.scan("documents", study="tiny").collect()["text"].to_list()


def instead(compute: Callable[[StageRun], StageResult]) -> Stage:
    """The stage `documents` with another computation."""
    return replace(documents.STAGE, compute=compute, checks={"good": "It is."})


def write(run: StageRun, text: str) -> None:
    with run.writer("documents", kind="shard") as writer:
        writer.append(frame("documents", [{"doc_id": 0, "text": text}]))


def test_what_fails_a_check_is_set_aside_and_the_old_partition_stays(
    study: Study, lake: Lake
) -> None:
    def compute(run: StageRun) -> StageResult:
        write(run, "bad")
        return StageResult(checks=[Check("good", False, {})])

    assert not make(instead(compute), study, lake).checks[0].passed
    assert texts(lake) == ["a", "b"]
    (kept,) = lake.root.rglob("*.rejected")
    assert pl.read_parquet(kept)["text"].to_list() == ["bad"]


def test_an_error_after_a_table_was_written_commits_nothing(study: Study, lake: Lake) -> None:
    def compute(run: StageRun) -> StageResult:
        write(run, "half")
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        make(instead(compute), study, lake)
    assert texts(lake) == ["a", "b"]


def test_an_input_that_changes_meanwhile_is_noticed(study: Study, lake: Lake) -> None:
    def compute(run: StageRun) -> StageResult:
        write(run, "of the old shard")
        corpus = study.file.parent / "corpus"
        (corpus / "0.jsonl").write_text('{"text": "new"}\n{"text": "b"}\n')
        make(STAGES["corpus"], study, lake, "")
        return StageResult(checks=[Check("good", True, {})])

    with pytest.raises(UnfitError, match="an input changed during the computation"):
        make(instead(compute), study, lake)
    assert texts(lake) == ["a", "b"]


def test_missing_and_stale_inputs_are_named(study: Study, lake: Lake) -> None:
    with pytest.raises(UnfitError, match="tiny/losses 00000: tokens 00000 is missing; model is"):
        make(STAGES["losses"], study, lake)


def killed(run: StageRun) -> StageResult:
    """A computation that keeps what it has finished, and is killed."""
    Kept(scratch.folder(run, "documents")).put(0, pl.DataFrame({"of": [run.version]}))
    raise KeyboardInterrupt


def kept_files(lake: Lake) -> list[str]:
    return [str(f.relative_to(lake.root)) for f in lake.root.rglob("*.arrow")]


def test_finished_parts_are_found_again_until_the_partition_is_whole(
    study: Study, lake: Lake
) -> None:
    place = lake.root / "_scratch" / "study=tiny" / "documents-00000"
    with pytest.raises(KeyboardInterrupt):
        make(instead(killed), study, lake)
    (file,) = kept_files(lake)

    def compute(run: StageRun) -> StageResult:
        found = Kept(scratch.folder(run, "documents")).get(0)
        assert found is not None
        write(run, found["of"][0])
        return StageResult(checks=[Check("good", found["of"][0] == run.version, {})])

    assert make(instead(compute), study, lake).checks[0].passed
    assert file.startswith(f"_scratch/study=tiny/documents-00000/{texts(lake)[0]}/")
    assert not place.exists()


def test_finished_parts_of_another_version_are_removed(study: Study, lake: Lake) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(instead(killed), study, lake)
    (before,) = kept_files(lake)
    with pytest.raises(KeyboardInterrupt):
        make(replace(instead(killed), code_version="other"), study, lake)
    (after,) = kept_files(lake)
    assert before != after


def test_finished_parts_that_failed_a_check_are_not_taken_again(study: Study, lake: Lake) -> None:
    def compute(run: StageRun) -> StageResult:
        Kept(scratch.folder(run, "documents")).put(0, pl.DataFrame())
        write(run, "bad")
        return StageResult(checks=[Check("good", False, {})])

    make(instead(compute), study, lake)
    assert kept_files(lake) == []


def test_what_partitions_share_goes_when_all_of_them_are_whole(study: Study, lake: Lake) -> None:
    (study.file.parent / "corpus" / "1.jsonl").write_text('{"text": "c"}\n')
    make(STAGES["corpus"], study, lake, "")
    both = [scratch.Part("documents", shard) for shard in ("00000", "00001")]

    def compute(run: StageRun) -> StageResult:
        kept = Kept(scratch.shared(run, "documents", "of both", both))
        found.append(kept.get(0) is not None)
        kept.put(0, pl.DataFrame())
        write(run, run.partition)
        return StageResult(checks=[Check("good", good, {})])

    found, good, stage = list[bool](), True, instead(compute)
    make(stage, study, lake, "00000")
    assert len(kept_files(lake)) == 1
    good = False
    make(stage, study, lake, "00001")
    assert len(kept_files(lake)) == 1  # it is still to be made
    good = True
    make(stage, study, lake, "00001")
    assert kept_files(lake) == []
    assert found == [False, True, True]


def test_a_manifest_is_never_linked(study: Study, lake: Lake) -> None:
    """Two studies with one corpus register its files in the order in which each met them."""
    folder = study.file.parent
    twin = replace(study, name="twin")
    make(STAGES["corpus"], twin, lake, "")
    for name, text in (("a", "first"), ("b", "second")):
        (folder / "corpus" / f"{name}.jsonl").write_text(f'{{"text": "{text}"}}\n')
        if name == "a":
            make(STAGES["corpus"], twin, lake, "")
    make(STAGES["corpus"], study, lake, "")
    make(STAGES["corpus"], twin, lake, "")
    for name in ("tiny", "twin"):
        rows = lake.scan("shards", study=name).collect()
        assert rows["ordinal"].to_list() == [0, 1, 2]
    twins = lake.scan("shards", study="twin").collect()["path"]
    assert twins.str.ends_with("a.jsonl").to_list() == [False, True, False]


def test_a_result_of_another_study_is_linked(study: Study, lake: Lake) -> None:
    twin = replace(study, name="twin")
    make(STAGES["corpus"], twin, lake, "")
    assert make(documents.STAGE, twin, lake).figures == {"linked": True}
    assert Provenance(twin, lake, STAGES).fresh(documents.STAGE, SHARD)
