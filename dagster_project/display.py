"""What a study's run shows of itself: which step of how many, how far it is, what it has made.

A step is a few stages with the same partitions. `Display` writes lines of text, for a pipe or the
log of a run in the UI: one when a step starts, one when it ends, and between them one at most
every few seconds. `Terminal` keeps two moving lines below those of the finished steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from dagster_project.assets.progress import WATCHER, Advance, Lines, amount

EVERY = 5.0  # seconds


class Display:
    """Lines of text. Also the `Watcher` of the stages, while `watching`."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self._told = time.monotonic()
        self._place = self._partition = ""  # where the run is
        self._of = ""  # which partition of how many

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follow what this thread materializes."""
        before = WATCHER.set(self)
        try:
            yield
        finally:
            WATCHER.reset(before)

    @contextmanager
    def step(self, place: str, stages: Sequence[str], parts: int) -> Iterator[list[str]]:
        """A step at its place (`2 of 7`), in so many parts. Takes what is to be said of it."""
        names, notes, started = ", ".join(stages), list[str](), time.perf_counter()
        self._place, self._partition = place, ""
        with self._shown(f"{place}  {names}", parts * len(stages)):
            yield notes
        self.tell(f"{place}  {names}: {', '.join(notes)}, {time.perf_counter() - started:.1f} s")

    @contextmanager
    def _shown(self, title: str, _stages: int) -> Iterator[None]:
        self.tell(f"{title} …")
        self._told = time.monotonic()
        yield

    def part(self, number: int, of: int, partition: str) -> None:
        """Work on a partition of the step, one of so many, starts."""
        self._partition, self._of = partition, f"({number} of {of})" if partition else ""

    def begin(self, stage: str) -> None:
        """Work on a stage starts."""
        if time.monotonic() >= self._told + EVERY:
            self._told = time.monotonic()
            self.tell(f"{self._place}  {stage} {self._partition} {self._of}".rstrip())

    @contextmanager
    def loop(self, stage: str, unit: str, total: int | None) -> Iterator[Advance]:
        """The long loop of a stage."""
        name = f"{self._place}  {stage} {self._partition}".rstrip()
        yield Lines(self.tell, name, unit, total, EVERY).advance


class Terminal(Display):
    """Two moving lines: the step with its partitions, and the stage with its loop."""

    def __init__(self, console: Console) -> None:
        super().__init__(lambda text: console.print(text, markup=False, highlight=False))
        self.live = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[amount]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._step = self.live.add_task("", visible=False, amount="")
        self._stage = self.live.add_task("", visible=False, amount="")
        self._stages = self._done = 0  # of the step, in all its partitions

    @contextmanager
    def watching(self) -> Iterator[None]:
        with super().watching(), self.live:
            yield

    @contextmanager
    def _shown(self, title: str, stages: int) -> Iterator[None]:
        self._stages, self._done = stages, -1
        self.live.reset(self._step, description=title, total=stages, visible=True, amount="")
        try:
            yield
        finally:
            self.live.update(self._step, visible=False)
            self.live.update(self._stage, visible=False, refresh=True)

    def part(self, number: int, of: int, partition: str) -> None:
        self._done = self._stages * (number - 1) // of - 1
        where = f"{partition} ({number} of {of})" if partition else ""
        self.live.update(self._step, amount=where)

    def begin(self, stage: str) -> None:
        self._done += 1
        self.live.update(self._step, completed=self._done)
        self.live.reset(self._stage, description=f"    {stage}", visible=True, amount="")

    @contextmanager
    def loop(self, stage: str, unit: str, total: int | None) -> Iterator[Advance]:
        self.live.reset(self._stage, description=f"    {stage}", total=total, amount="")
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            self.live.update(self._stage, completed=done, amount=amount(done, total, unit))

        yield advance
