"""Dagster's history, held open: the same records in the same place, whoever reads them."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from sqlalchemy import text

from dagster_project import history as module
from dagster_project.history import Engines, history

CONFIGURATION = """
telemetry: {enabled: false}
concurrency: {pools: {granularity: op, default_limit: 1}}
"""


@pytest.fixture
def home(tmp_path: Path) -> InstanceRef:
    (tmp_path / "dagster.yaml").write_text(CONFIGURATION)
    return InstanceRef.from_dir(str(tmp_path))


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def counted() -> dg.MaterializeResult[None]:
    os.write(1, b"printed\n")
    return dg.MaterializeResult(metadata={"rows": 7})


def make(instance: dg.DagsterInstance, partition: str) -> str:
    """Materialize the asset; the run's id."""
    return dg.materialize([counted], instance=instance, partition_key=partition).run_id


def test_what_it_writes_any_other_process_reads(home: InstanceRef) -> None:
    with history(home) as instance:
        ids = [make(instance, partition) for partition in "ab"]
    with dg.DagsterInstance.from_ref(home) as plain:
        assert {run.run_id for run in plain.get_runs()} == set(ids)
        assert all(run.is_finished for run in plain.get_runs())
        key = counted.key
        assert plain.get_materialized_partitions(key) == {"a", "b"}
        (event,) = plain.fetch_materializations(key, limit=1).records
        assert event.asset_materialization
        assert event.asset_materialization.metadata["rows"].value == 7
        written = {e.dagster_event_type for e in plain.all_logs(ids[0])}
    with dg.DagsterInstance.from_ref(home) as plain:  # and the same as Dagster's own way
        usual = {e.dagster_event_type for e in plain.all_logs(make(plain, "a"))}
    assert written == usual


def test_the_ui_can_read_while_it_writes(home: InstanceRef) -> None:
    with history(home) as instance, dg.DagsterInstance.from_ref(home) as plain:
        run_id = make(instance, "a")
        assert plain.get_run_by_id(run_id)
        assert plain.get_materialized_partitions(counted.key) == {"a"}


def test_its_runs_name_their_code_location(home: InstanceRef) -> None:
    with history(home) as instance:
        run = instance.get_run_by_id(make(instance, "a"))
    assert run
    assert run.remote_job_origin
    location = run.remote_job_origin.repository_origin.code_location_origin.location_name
    assert location == "circuit-lake"
    pyproject = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert f'code_location_name = "{location}"' in pyproject


def test_what_a_run_prints_goes_where_the_command_was_started(
    home: InstanceRef, capfd: pytest.CaptureFixture[str]
) -> None:
    with history(home) as instance:
        make(instance, "a")
    assert "printed" in capfd.readouterr().out


def test_dagster_opens_its_databases_as_before_afterwards(home: InstanceRef) -> None:
    before = vars(sqlite_event_log)["create_engine"]
    with history(home):
        assert vars(sqlite_event_log)["create_engine"] is not before
    with pytest.raises(KeyboardInterrupt), history(home):
        raise KeyboardInterrupt
    assert vars(sqlite_event_log)["create_engine"] is before


def test_the_same_database_stays_open_and_few_of_them(tmp_path: Path) -> None:
    engines = Engines()
    urls = [f"sqlite:///{tmp_path}/{n}.db" for n in range(module.HELD + 1)]
    first = engines(urls[0])
    assert engines(urls[0]) is first
    first.dispose()
    with first.connect() as connection:
        assert connection.scalar(text("pragma journal_mode")) == "wal"
        kept = connection.connection.dbapi_connection
    first.dispose()
    with first.connect() as connection:
        assert connection.connection.dbapi_connection is kept
    for url in urls[1:]:
        engines(url)
    assert engines(urls[0]) is not first
    engines.close()
