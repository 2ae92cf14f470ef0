"""Hands statements to workers, and ends the one whose time is up; one at a time.

A worker answers once and is ended. The next is started meanwhile and waits, with its imports done:
a statement then takes 0.1 s beside its own time, not 0.3. The answer is whatever the worker wrote,
up to a size, and is kept nowhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dashboards.sandbox.worker import Task

MEMORY = 512 * 2**20  # bytes
SECONDS = 10
PATIENCE = 2.0  # seconds that a statement waits for the one before it, which may just be ending
BUSY = "Another statement is being answered; this server answers one at a time. Try again soon."


class Bounds(NamedTuple):
    """How much of an answer is fetched."""

    rows: int
    cell: int  # characters
    bytes: int


SHOWN = Bounds(rows=2_000, cell=300, bytes=4 * 2**20)
FILED = Bounds(rows=100_000, cell=32_000, bytes=32 * 2**20)  # a spreadsheet's cell holds 32,767


class Runner:
    """Answers statements. Safe to share between threads."""

    def __init__(self, seconds: int = SECONDS, memory: int = MEMORY) -> None:
        self.seconds = seconds
        self.memory = memory
        self._lock = threading.Lock()
        self._running: tuple[str, subprocess.Popen[bytes]] | None = None  # name, worker
        self._waiting: list[subprocess.Popen[bytes]] = []  # at most one
        weakref.finalize(self, _end, self._waiting)

    def ask(
        self, file: Path, sql: str, study: str, bounds: Bounds = SHOWN, run: str = ""
    ) -> dict[str, Any]:
        """Columns and rows of a statement, or an error's text. run: a name to stop it by."""
        if not self._lock.acquire(timeout=PATIENCE):
            return {"error": BUSY}
        try:
            task = Task(
                file=str(file),
                sql=sql,
                study=study,
                rows=bounds.rows,
                cell=bounds.cell,
                bytes=bounds.bytes,
                memory=self.memory,
                seconds=self.seconds,
            )
            return self._answered(task, run)
        finally:
            self._running = None
            self._lock.release()

    def stop(self, run: str) -> None:
        """End what is being answered, if that is its name."""
        running = self._running
        if running is not None and run and run == running[0]:
            running[1].kill()

    def _answered(self, task: Task, run: str) -> dict[str, Any]:
        most = 8 * task["bytes"] + 2**20  # a character in JSON takes six bytes at most
        process = self._taken()
        self._running = (run, process)
        over = threading.Event()

        def end() -> None:
            over.set()
            process.kill()

        clock = threading.Timer(task["seconds"], end)
        clock.start()
        try:
            said = _exchange(process, json.dumps(task).encode(), most)
        finally:
            clock.cancel()
            process.kill()
            process.wait()
        return _read(said, most, task["seconds"] if over.is_set() else 0)

    def _taken(self) -> subprocess.Popen[bytes]:
        """The worker that waits, and another in its place."""
        waiting = self._waiting.pop() if self._waiting else started()
        self._waiting.append(started())
        return waiting if waiting.poll() is None else started()


def started() -> subprocess.Popen[bytes]:
    """A worker without a task. It ends with its standard input, so when the server does."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "dashboards.sandbox.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C is the server's to handle
    )


def _end(waiting: list[subprocess.Popen[bytes]]) -> None:
    for process in waiting:
        process.kill()
        _exchange(process, b"", 0)
        process.wait()


def _exchange(process: subprocess.Popen[bytes], task: bytes, most: int) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError), process.stdin, process.stdout:  # broken: ended before asked
        process.stdin.write(task)
        process.stdin.close()
        return process.stdout.read(most + 1)
    return b""


def _read(said: bytes, most: int, seconds: int) -> dict[str, Any]:
    if seconds:
        return {"error": f"Stopped: it took longer than {seconds} seconds."}
    if len(said) > most:
        return {"error": "The answer is too large."}
    try:
        answer: dict[str, Any] = json.loads(said)
    except ValueError:
        return {"error": "Stopped before it had an answer."}
    return answer
