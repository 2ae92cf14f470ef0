"""Progress of a stage, told to whoever watches: the command line shows it as it comes.

Nobody watches a run that the UI has started: there a line goes into its log every EVERY seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeAlias

from dagster_project.assets.stage import StageRun

EVERY = 15.0  # seconds
Advance: TypeAlias = Callable[[int], None]


class Watcher(Protocol):
    """Who is told which stage is being made, and how far its long loop is."""

    def begin(self, stage: str) -> None: ...

    def loop(self, stage: str, unit: str, total: int | None) -> AbstractContextManager[Advance]: ...


WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def progress(run: StageRun, stage: str, unit: str, total: int | None = None) -> Iterator[Advance]:
    """A function to call with each portion of work done. total: None where it is not known."""
    if watcher := WATCHER.get():
        with watcher.loop(stage, unit, total) as advance:
            yield advance
    else:
        yield Lines(run.log, f"{stage} {run.partition}".rstrip(), unit, total, EVERY).advance


class Lines:
    """Progress in lines of text, one every so many seconds."""

    def __init__(
        self, tell: Callable[[str], None], name: str, unit: str, total: int | None, every: float
    ) -> None:
        self.tell, self.name, self.unit, self.total, self.every = tell, name, unit, total, every
        self.done = 0
        self.told = time.monotonic()

    def advance(self, done: int) -> None:
        self.done += done
        if time.monotonic() >= self.told + self.every:
            self.told = time.monotonic()
            self.tell(f"{self.name}: {amount(self.done, self.total, self.unit)}")


def amount(done: int, total: int | None, unit: str) -> str:
    """How far: `1,200 of 5,000 tokens`."""
    return f"{done:,} of {total:,} {unit}" if total else f"{done:,} {unit}"
