"""Processes that make partitions beside a run's own process.

A model of a million parameters leaves cores idle: two processes of one thread each make a study's
partitions 1.7 times as fast as one process of two threads. Each worker holds its own model and
dictionaries, starts when there is first something for it to do, and ends with the run; one that
dies loses the partition that it was making, and no other.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import NamedTuple

from dagster._core.instance.ref import InstanceRef

from dagster_project.assets.flow import STAGES
from dagster_project.assets.stage import Stage
from dagster_project.history import history
from dagster_project.partition_run import RunError, partition_runner
from dagster_project.processes import leave, stand_by_the_first
from dagster_project.studies.study import Study

PATIENCE = 20.0
"""Seconds that a worker has to leave what it is doing."""


class WorkerLostError(RunError):
    """A worker that ended unasked."""


class Work(NamedTuple):
    """What a worker needs to make partitions of a study as the run itself does."""

    study: Study
    root: str  # the lake's
    instance: InstanceRef
    tags: Mapping[str, str]  # of every Dagster run


class Workers:
    """Up to n worker processes. A context manager, which ends them."""

    def __init__(self, work: Callable[[], Work], n: int) -> None:
        self._work, self._n = work, n
        self._workers: list[Worker] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def up_to(self, n: int) -> Sequence[Worker]:
        """So many workers, or all there may be; those that are not yet are started."""
        self._workers = [worker for worker in self._workers if worker.process.is_alive()]
        while len(self._workers) < min(n, self._n):
            self._workers.append(Worker.start(self._work()))
        return self._workers[: max(0, n)]


class Worker(NamedTuple):
    """One worker, which makes a partition at a time."""

    process: SpawnProcess
    connection: Connection

    @classmethod
    def start(cls, work: Work) -> Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is ours alone
        try:
            process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        theirs.close()
        return cls(process, ours)

    def make(self, stages: Sequence[Stage], partition: str) -> None:
        """A partition of stages. Raises RunError, WorkerLostError where the process ended."""
        try:
            self.connection.send(([stage.name for stage in stages], partition))
            error = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            what = f"{', '.join(s.name for s in stages)} {partition}".rstrip()
            how = f"exit code {self.process.exitcode}"
            if self.process.exitcode == -signal.SIGKILL:
                how = "killed; out of memory?"
            raise WorkerLostError(f"{what}: its process ended ({how})") from None
        if error:
            raise RunError(error)

    def end(self) -> None:
        """Stop it; what it was making, if anything, is not kept."""
        self.connection.close()
        self.process.terminate()
        self.process.join(PATIENCE)
        self.process.kill()


def _serve(connection: Connection, work: Work) -> None:
    """What a worker does: partitions, as they are asked for, until nobody can ask any more."""
    stand_by_the_first()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with history(work.instance) as instance:
        runner = partition_runner(work.study, work.root, instance, work.tags, pooled=False)
        with suppress(EOFError, KeyboardInterrupt):
            _answer(connection, runner.make)
    leave()


def _answer(connection: Connection, make: Callable[[Sequence[Stage], str], None]) -> None:
    while True:
        names, partition = connection.recv()
        try:
            make([STAGES[name] for name in names], partition)
        except RunError as error:
            connection.send(str(error))
        else:
            connection.send(None)
