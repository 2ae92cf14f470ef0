"""A whole study in one process: every table filled, nothing done twice, nothing mixed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bench.queries import chosen, timed
from dagster_project.assets.flow import STAGES, stages_of
from dagster_project.display import Display
from dagster_project.lake.catalog import connect
from dagster_project.lake.queries import in_order
from dagster_project.lake.schemas import TABLES
from dagster_project.lake.store import Lake
from dagster_project.partition_run import RunError
from dagster_project.provenance import Provenance
from dagster_project.run import Part, Runner, runner
from dagster_project.studies.study import read_study
from tests.conftest import history_in, write_tiny_study

REPOSITORY = Path(__file__).parents[1]
SPARSE = {"excess_loss_by_skill", "cluster_skills", "clusterings_compared"}  # need known rules
SPARSE |= {"skipping_edges", "dictionary_pareto"}  # need a total-effect graph, and a sweep
KILLED_AT = ("losses", "dictionaries", "cluster_members", "faithfulness")
FLOW = [t for stage in STAGES.values() for t in stage.tables]


class Finished(NamedTuple):
    """A study that has been run."""

    folder: Path
    runner: Runner


def run(study_file: Path, root: Path, instance: dg.DagsterInstance, *only: str) -> Runner:
    """Run a study, or stages of it; what it shows goes nowhere."""
    made = runner(read_study(study_file), str(root), instance)
    made.run(Part(stages=only), Display(lambda _: None))
    return made


def runs_of(instance: dg.DagsterInstance) -> int:
    return instance.get_runs_count()


def snapshot(lake: Lake) -> dict[str, pl.DataFrame]:
    """Every table, without the columns that hold times."""
    frames = {name: lake.scan(name).collect() for name in TABLES}
    return {name: frame.drop("seconds", strict=False) for name, frame in frames.items()}


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with history_in(tmp_path_factory.mktemp("dagster")) as made:
        yield made


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("tiny")
    with history_in(tmp_path_factory.mktemp("dagster")) as made:
        yield Finished(folder, run(write_tiny_study(folder), folder / "lake", made))


def test_every_table_of_the_flow_is_filled(finished: Finished) -> None:
    lake = finished.runner.lake
    rows = {name: lake.rows(name, study="tiny") for name in TABLES}
    assert {name for name, n in rows.items() if n == 0} == {"dictionary_sweep"}  # not asked for


def test_every_partition_is_fresh_and_says_so_to_dagster(finished: Finished) -> None:
    made = finished.runner
    provenance = made.provenance
    for stage in stages_of(made.study):
        for partition in made.wanted(stage):
            assert provenance.fresh(stage, partition), f"{stage.name} {partition}"
    record = made.instance.get_latest_data_version_record(
        dg.AssetKey(["tiny", "losses"]), partition_key="00000"
    )
    assert record is not None
    assert record.asset_event is not None
    tags = record.asset_event.tags or {}
    expected = provenance.expected(STAGES["losses"], "00000")
    assert tags["dagster/data_version"] == expected


def test_the_catalog_answers_sql(finished: Finished) -> None:
    catalog = finished.runner.lake.root / "catalog.duckdb"
    with duckdb.connect(str(catalog), read_only=True) as connection:
        n_losses, mean = connection.sql("select count(*), avg(loss) from losses").fetchall()[0]
        n_tokens, n_documents = connection.sql(
            "select count(*), count(distinct doc_id) from tokens"
        ).fetchall()[0]
    assert n_losses == n_tokens - n_documents
    assert mean > 0


def test_every_shipped_question_has_an_answer(finished: Finished) -> None:
    """Values are taken from the study, so that each question is about something that is there."""
    with connect(finished.runner.lake) as connection:
        values = chosen(connection)
        rows = {f.name: timed(connection, f, values, 1).rows for f in in_order()}
    assert {name for name, n in rows.items() if n == 0} <= SPARSE


def test_a_second_run_materializes_only_the_corpus_and_the_catalog(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    file = write_tiny_study(tmp_path, dictionaries="identity")
    run(file, tmp_path / "lake", instance)
    before = runs_of(instance)
    run(file, tmp_path / "lake", instance)
    names = {
        key.to_user_string()
        for r in instance.get_runs(limit=runs_of(instance) - before)
        for key in r.asset_selection or ()
    }
    assert names == {"tiny/corpus", "catalog"}


def stale(study_file: Path, root: Path) -> set[str]:
    """Stages of a study with a partition that is not fresh."""
    study = read_study(study_file)
    provenance = Provenance(study, Lake(root), STAGES)
    return {
        stage.name
        for stage in stages_of(study)
        if stage.tables
        for partition in provenance.partitions(stage)
        if provenance.stored(stage, partition) and not provenance.fresh(stage, partition)
    }


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("edge_threshold = 0.001", "edge_threshold = 0.002", {"circuits"}),
        ("random_seeds = 2", "random_seeds = 3", {"faithfulness"}),
        (
            "n_clusters = 3",
            "n_clusters = 4",
            {"clusterings", "pairs", "node_effects", "circuits", "faithfulness"},
        ),
        ('device = "cpu"', 'device = "auto"', set()),
    ],
)
def test_a_change_makes_stale_only_what_reads_it(
    finished: Finished, old: str, new: str, expected: set[str]
) -> None:
    file = finished.folder / "tiny.toml"
    text = file.read_text()
    assert old in text
    try:
        file.write_text(text.replace(old, new))
        assert stale(file, finished.runner.lake.root) == expected
    finally:
        file.write_text(text)


def test_a_fault_is_told_in_the_words_of_whoever_found_it(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    file = write_tiny_study(tmp_path)
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(RunError, match=r"tiny/model: .*model: neither a folder with a model nor"):
        run(file, tmp_path / "lake", instance, "model")
    (tmp_path / "corpus" / "0.jsonl").write_text("no document\n" * 200)
    with pytest.raises(RunError, match=r"tiny/documents 00000: .*expected at most 1\.00%"):
        run(file, tmp_path / "lake", instance, "corpus", "documents")


def test_an_asset_refuses_stale_inputs(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    file = write_tiny_study(tmp_path)
    run(file, tmp_path / "lake", instance, "corpus", "model", "documents", "tokens")
    file.write_text(file.read_text().replace("max_tokens = 32", "max_tokens = 16"))
    with pytest.raises(RunError, match="tokens 00000 is stale"):
        run(file, tmp_path / "lake", instance, "losses")


def test_another_study_with_the_same_inputs_links(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    first = write_tiny_study(tmp_path)
    second = first.with_name("twin.toml")
    second.write_text(first.read_text().replace("random_seeds = 2", "random_seeds = 3"))
    stages = ("corpus", "model", "documents", "tokens", "losses")
    lake = run(first, tmp_path / "lake", instance, *stages).lake
    run(second, tmp_path / "lake", instance, *stages)
    one, two = (lake.file("losses", study=s, shard="00001") for s in ("tiny", "twin"))
    assert one.samefile(two)
    assert lake.scan("losses", study="twin").select("study").collect()["study"][0] == "twin"


def test_a_growing_corpus_adds_shards_and_a_changed_file_makes_its_own_stale(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    file, root = write_tiny_study(tmp_path), tmp_path / "lake"
    stages = ("corpus", "model", "documents", "tokens", "losses")
    lake = run(file, root, instance, *stages).lake
    assert lake.partitions("losses", "tiny") == ["00000", "00001", "00002", "00003"]
    corpus = tmp_path / "corpus"
    (corpus / "2.jsonl").write_text(json.dumps({"text": "the girl was happy"}) + "\n")
    changed = (corpus / "1.jsonl").read_text().replace("cat", "dog", 1)
    (corpus / "1.jsonl").write_text(changed)
    before = {s: lake.version("losses", study="tiny", shard=s) for s in ("00000", "00001")}
    run(file, root, instance, *stages)
    assert lake.partitions("losses", "tiny")[-1] == "00004"
    assert {s: lake.version("losses", study="tiny", shard=s) for s in before} == before
    rows = lake.scan("shards", study="tiny").collect()
    assert rows["path"].str.ends_with("0.jsonl").sum() == 2


def test_a_broken_partition_is_computed_again(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    file, root = write_tiny_study(tmp_path), tmp_path / "lake"
    stages = ("corpus", "model", "documents", "tokens")
    lake = run(file, root, instance, *stages).lake
    unbroken = snapshot(lake)["tokens"]
    victim = lake.file("tokens", study="tiny", shard="00001")
    victim.write_bytes(victim.read_bytes()[:-100])
    run(file, root, instance, *stages)
    assert_frame_equal(snapshot(lake)["tokens"], unbroken)


def killed_run(environment: dict[str, str], log: Path, ready: Callable[[], bool]) -> None:
    """Start a run, and SIGKILL it as soon as `ready` holds."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster_project.run", "tiny"],
            env=environment,
            stdout=output,
            stderr=output,
        )
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline and not ready():
            time.sleep(0.002)
        finished_itself = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not finished_itself, f"ended before it could be killed:\n{log.read_text()}"


def test_a_killed_run_is_taken_up_again_and_gives_the_same(
    finished: Finished, tmp_path: Path
) -> None:
    """Killed while it writes each of KILLED_AT in turn, then run to its end."""
    home, root = tmp_path / "dagster", tmp_path / "lake"
    home.mkdir()
    shutil.copy(REPOSITORY / ".dagster" / "dagster.yaml", home)  # with its pool of one place
    environment = os.environ | {
        "DAGSTER_HOME": str(home),
        "CIRCUIT_LAKE_ROOT": str(root),
        "CIRCUIT_LAKE_STUDIES": str(finished.folder),
    }
    log = tmp_path / "log"
    for table in KILLED_AT:
        folder = root / table
        killed_run(environment, log, lambda folder=folder: any(folder.rglob("*.tmp")))  # type: ignore[misc]
    command = [sys.executable, "-m", "dagster_project.run", "tiny"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    expected, found = snapshot(finished.runner.lake), snapshot(Lake(root))
    for table in FLOW:
        assert_frame_equal(found[table], expected[table])
    assert not list(root.rglob("*.tmp"))
