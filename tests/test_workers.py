"""Worker processes: the same lake as without them, and no loss but what one was at when it died."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
import torch
from polars.testing import assert_frame_equal

from dagster_project import resources
from dagster_project.assets.flow import STAGES
from dagster_project.display import Display
from dagster_project.lake.schemas import TABLES
from dagster_project.lake.store import Lake
from dagster_project.partition_run import RunError
from dagster_project.run import Part, runner, waves
from dagster_project.studies.study import Study, read_study
from dagster_project.workers import Work, Worker, WorkerLostError, Workers
from tests.conftest import history_in, write_tiny_study

REPOSITORY = Path(__file__).parents[1]
MADE = ("corpus", "model", "documents", "tokens", "losses", "dictionaries", "contexts", "features")


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with history_in(tmp_path_factory.mktemp("dagster")) as made:
        yield made


def tiny(folder: Path, workers: int) -> Study:
    """The tiny study for so many processes, without dictionaries to train."""
    file = write_tiny_study(folder, dictionaries="identity")
    text = file.read_text()
    assert 'device = "cpu"' in text
    file.write_text(text.replace('device = "cpu"', f'device = "cpu"\nworkers = {workers}'))
    return read_study(file)


def silent(_: str) -> None:
    pass


def test_two_processes_make_the_same_as_one(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "cores", lambda: 2)
    one, two, study = tmp_path / "one", tmp_path / "two", tiny(tmp_path, 2)
    alone = replace(study, compute=replace(study.compute, workers=1))
    runner(alone, str(one), instance).run(Part(MADE), Display(silent))
    seen = {r.run_id for r in instance.get_runs()}
    made = runner(study, str(two), instance)
    assert made.workers == 2
    made.run(Part(MADE), Display(silent))
    for table in TABLES:
        first, second = (Lake(root).scan(table).collect() for root in (one, two))
        assert_frame_equal(*(f.drop("seconds", strict=False) for f in (first, second)))
    processes = {
        value
        for r in instance.get_runs()
        if r.run_id not in seen
        for name, value in r.tags.items()
        if name.endswith("circuit_lake_pid")
    }
    assert len(processes) == 2, "both had something to do"


def test_a_share_of_the_cores_whoever_materializes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "cores", lambda: 8)
    for workers, share in ((2, 4), (3, 2), (8, 1), (100, 1)):
        with resources.share_of_cores(tiny(tmp_path, workers)):
            assert torch.get_num_threads() == share
    before = torch.get_num_threads()
    with resources.share_of_cores(tiny(tmp_path, 1)):
        assert torch.get_num_threads() == before


def test_a_worker_that_is_killed_is_named_with_what_it_was_at(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    work = Work(tiny(tmp_path, 2), str(tmp_path / "lake"), instance.get_ref(), {})
    worker = Worker.start(work)
    worker.process.kill()
    with pytest.raises(WorkerLostError, match=r"corpus: its process ended \(killed; out of"):
        worker.make([STAGES["corpus"]], "")


def test_a_worker_tells_what_failed_and_goes_on(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    work = Work(tiny(tmp_path, 2), str(tmp_path / "lake"), instance.get_ref(), {})
    with Workers(lambda: work, 1) as workers:
        (worker,) = workers.up_to(5)
        with pytest.raises(RunError, match=r"tiny/dictionaries: .* is missing"):
            worker.make([STAGES["dictionaries"]], "")
        worker.make([STAGES["corpus"]], "")
        assert workers.up_to(1) == [worker]
    assert worker.process.exitcode == 0
    assert Lake(tmp_path / "lake").rows("shards", study="tiny")


def test_what_one_partition_fails_at_does_not_keep_the_others_from_being_made(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "cores", lambda: 2)
    made = runner(tiny(tmp_path, 2), str(tmp_path / "lake"), instance)
    made.run(Part(MADE[:1]), Display(silent))
    first = tmp_path / "corpus" / "0.jsonl"
    first.write_text(first.read_text().replace("girl", "boy", 1))
    with pytest.raises(RunError) as caught:
        made.run(Part(("model", "documents")), Display(silent))
    assert "documents 00000" in str(caught.value)
    assert made.lake.partitions("documents", "tiny")


def test_stages_wait_for_what_they_read() -> None:
    chain = [
        STAGES[name] for name in ("dictionaries", "dictionary_quality", "features", "contexts")
    ]
    found = [[stage.name for (stage,) in wave] for wave in waves(chain)]
    assert found == [["dictionaries", "contexts"], ["dictionary_quality", "features"]]


def test_a_stopped_run_leaves_no_process_and_goes_on(tmp_path: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("two processes need two cores")
    study, home, root = tiny(tmp_path, 2), tmp_path / "dagster", tmp_path / "lake"
    home.mkdir()
    shutil.copy(REPOSITORY / ".dagster" / "dagster.yaml", home)
    environment = os.environ | {
        "DAGSTER_HOME": str(home),
        "CIRCUIT_LAKE_ROOT": str(root),
        "CIRCUIT_LAKE_STUDIES": str(study.file.parent),
    }
    command = [sys.executable, "-m", "dagster_project.run", "tiny"]
    started = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
    deadline = time.monotonic() + 120
    while not (root / "losses").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = [int(pid) for pid in children.read_text().split()]
    assert workers, "a worker has been started"
    started.send_signal(signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130, told
    assert "Stopped" in told
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline, "a process outlives the run"
        time.sleep(0.01)
    again = [*command, "--only", *MADE[:5]]
    subprocess.run(again, env=environment, check=True, capture_output=True, timeout=300)
    assert Lake(root).partitions("losses", "tiny") == ["00000", "00001", "00002", "00003"]
