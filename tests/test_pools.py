"""Pools: who holds their places, and runs that a killed process has left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef

from dagster_project.lake.writer import host
from dagster_project.pools import PROCESS_TAG, places_taken, settle_abandoned_runs


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\nconcurrency: {pools: {granularity: op, default_limit: 1}}\n"
    )
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path))) as made:
        yield made


def test_who_holds_a_pool_is_named(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    assert places_taken(instance, ["gpu"]) is None
    storage.initialize_concurrency_limit_to_default("gpu")
    assert places_taken(instance, ["gpu"]) is None
    storage.claim_concurrency_slot("gpu", "other-run", "step")
    assert places_taken(instance, ["gpu"]) == (
        "Waiting for a place in the pool gpu, held by run other-run."
    )
    assert places_taken(instance, []) is None


def test_runs_of_a_killed_process_do_not_stay_under_way(instance: dg.DagsterInstance) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    processes = [f"{host()}~{gone.pid}", f"{host()}~{os.getpid()}", f"elsewhere~{gone.pid}"]
    for number, process in enumerate(processes):
        run_id = f"00000000-0000-0000-0000-{number:012d}"
        instance.add_run(
            dg.DagsterRun(
                "job", run_id, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: process}
            )
        )
    settle_abandoned_runs(instance)
    status = {r.tags[PROCESS_TAG]: r.status for r in instance.get_runs()}
    assert [status[process] for process in processes] == [
        dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.STARTED,
    ]
