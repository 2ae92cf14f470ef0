"""Dagster's history as a study's run writes it: the one that the UI shows, held open.

Dagster's own SQLite storage opens, compiles for and closes a database at each of the 70 events of
a task's run, and mirrors what a run prints by four processes: a second beside the work of its four
stages, a third of that so. A power failure may cost the last events, never the database; what a
run prints goes to where the command was started, not into the UI. Other storages are left alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import dagster as dg
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import QueuePool

CODE_LOCATION = "circuit-lake"  # as in pyproject.toml
NO_MIRROR = ConfigurableClassData(
    "dagster._core.storage.noop_compute_log_manager", "NoOpComputeLogManager", "{}"
)
HELD = 8  # databases: that of all runs, that of all events, and one of each recent run


@contextmanager
def history(ref: InstanceRef) -> Iterator[dg.DagsterInstance]:
    """An instance for a process that makes many short runs."""
    engines = Engines()
    here = ConfigurableClassData(__name__, StudyInstance.__name__, "{}")
    changed = ref._replace(compute_logs_data=NO_MIRROR, custom_instance_class_data=here)
    with (
        patch.object(sqlite_event_log, "create_engine", engines),
        patch.object(sqlite_run_storage, "create_engine", engines),
    ):
        try:
            with dg.DagsterInstance.from_ref(changed) as instance:
                yield instance
        finally:
            engines.close()


class StudyInstance(dg.DagsterInstance):
    """Knows where its runs' code lies, or the UI's timeline would not show them."""

    def create_run_for_job(self, job_def: dg.JobDefinition, **options: Any) -> dg.DagsterRun:  # type: ignore[override]
        location = RegisteredCodeLocationOrigin(CODE_LOCATION)
        repository = RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME)
        origin = RemoteJobOrigin(repository, job_def.name)
        return super().create_run_for_job(job_def, remote_job_origin=origin, **options)


class Engines:
    """In place of `create_engine`: the same engine for the same database, the last HELD of them."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Engine] = OrderedDict()

    def __call__(self, url: str, **options: Any) -> Engine:
        if url not in self._held:
            self._held[url] = create_engine(url, **options | {"poolclass": _KeptPool})
            event.listen(self._held[url], "connect", _log_ahead)
        self._held.move_to_end(url)
        if len(self._held) > HELD:
            _, oldest = self._held.popitem(last=False)
            _close(oldest)
        return self._held[url]

    def close(self) -> None:
        """Close all connections."""
        while self._held:
            _close(self._held.popitem()[1])


class _KeptPool(QueuePool):
    """Connections that outlive `engine.dispose()`, which Dagster calls after each event."""

    def dispose(self) -> None:
        """Nothing: see `_close`."""

    def recreate(self) -> QueuePool:
        return self


def _close(engine: Engine) -> None:
    QueuePool.dispose(engine.pool)  # type: ignore[arg-type]


def _log_ahead(connection: DBAPIConnection, _record: object) -> None:
    """As Dagster sets it later, and then without a sync a commit, which such a log can spare."""
    cursor = connection.cursor()
    cursor.execute("pragma journal_mode = wal")
    cursor.execute("pragma synchronous = normal")
    cursor.close()
