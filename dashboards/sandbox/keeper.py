"""Keeps a snapshot of the lake at hand: built in the background when first asked for, and again
when the lake has changed; the one before stands in until then.

It lies in a private folder for temporary files that goes with the process; what a process that was
killed has left is removed by the next.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dashboards.data import Data
from dashboards.sandbox.snapshot import Order, Part, wanted

PREFIX = "circuit-lake-sql-"
MOST_SECONDS = 600  # for a whole snapshot
REST = 30.0  # seconds between builds: a lake that is being filled changes all the time
FAILED = "The snapshot of the lake could not be built."


class Snapshot(NamedTuple):
    """A file of tables, and what they hold of the lake."""

    file: Path
    bytes: int
    state: int  # of the lake, when it was taken
    made: float  # seconds since 1970
    parts: tuple[Part, ...]


class Standing(NamedTuple):
    """What there is to answer from, and what is under way."""

    snapshot: Snapshot | None
    building: tuple[int, int] | None  # parts that are done, and all
    fault: str  # of the last build


class Keeper:
    """The snapshot of one lake. Safe to share between threads."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self._lock = threading.Lock()
        self._standing = Standing(None, None, "")
        self._folder: Path | None = None
        self._rested = time.monotonic()  # when the next build may start

    def look(self) -> Standing:
        """How things stand; starts a build where the lake has changed."""
        state = self.data.state()
        with self._lock:
            snapshot, building, _ = self._standing
            fresh = snapshot is not None and snapshot.state == state
            rested = time.monotonic() >= self._rested
            if rested and not fresh and building is None:
                self._standing = Standing(snapshot, (0, 0), "")
                threading.Thread(target=self._renew, args=(state,), daemon=True).start()
            return self._standing

    def _renew(self, state: int) -> None:
        """Build a snapshot and put it in place of the one before."""
        before, made = self._standing.snapshot, time.time()
        snapshot, why = None, FAILED
        held = {study: self.data.holdings(study) for study in self.data.studies()}
        try:
            file = self._file()
            order = Order(root=str(self.data.lake.root), file=str(file), wants=wanted(held))
            parts = self._built_by(_started(), order)
            if parts is not None:
                snapshot = Snapshot(file, file.stat().st_size, state, made, tuple(parts))
        except OSError as error:  # no room for temporary files
            why = f"{FAILED} {error.strerror}."
        with self._lock:
            self._rested = time.monotonic() + REST
            self._standing = Standing(snapshot or before, None, "" if snapshot else why)
        self._tidy(*(kept.file for kept in (before, snapshot) if kept))

    def _file(self) -> Path:
        """A place for the next snapshot."""
        if self._folder is None:
            sweep()
            self._folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=self._folder)) / "snapshot.duckdb"

    def _tidy(self, *kept: Path) -> None:
        """Remove all but what is in use, or may just be being opened."""
        for folder in self._folder.iterdir() if self._folder else ():
            if folder not in {file.parent for file in kept}:
                shutil.rmtree(folder, ignore_errors=True)

    def _built_by(self, process: subprocess.Popen[str], order: Order) -> list[Part] | None:
        """The parts of a snapshot that a process has built in time; None where it has not."""
        ended = weakref.finalize(self, process.kill)
        clock = threading.Timer(MOST_SECONDS, process.kill)
        clock.daemon = True
        clock.start()
        try:
            return self._followed(process, order)
        finally:
            clock.cancel()
            ended()
            process.wait()

    def _followed(self, process: subprocess.Popen[str], order: Order) -> list[Part] | None:
        """Pass the order on and its progress back."""
        assert process.stdin is not None
        assert process.stdout is not None
        parts: list[Part] | None = None
        with suppress(BrokenPipeError), process.stdin, process.stdout:
            json.dump(order, process.stdin)
            process.stdin.close()
            for told in _read(process.stdout):
                if "parts" in told:
                    parts = told["parts"]
                    continue
                with self._lock:
                    self._standing = self._standing._replace(building=(told["done"], told["of"]))
        return parts


def sweep() -> None:
    """Remove the folders of processes of ours that are no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        process = folder.name.removeprefix(PREFIX).partition("-")[0]
        if process.isdecimal() and not _lives(int(process)) and _ours(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _ours(folder: Path) -> bool:
    return not folder.is_symlink() and folder.stat().st_uid == os.getuid()


def _started() -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "dashboards.sandbox.snapshot"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
        start_new_session=True,
    )


def _read(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:  # cut off where the process was killed
            return
