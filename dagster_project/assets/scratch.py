"""Scratch: what is finished of work that is not yet whole, kept below the lake.

A computation that was killed finds what it had finished of its partition if its data version is
still the same; partitions that need the same find what the first of them has made.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from dagster_project.assets.stage import StageRun

SHARED = "shared-"
NEEDED_BY = "needed_by.json"
"""File that lists the partitions that share a folder."""


class Part(NamedTuple):
    """A partition of a stage of the study."""

    stage: str
    partition: str


def folder(run: StageRun, stage: str) -> Path:
    """Where finished parts of this partition's data version lie."""
    return _of_version(_partition(run, stage), run.version)


def shared(run: StageRun, name: str, version: str, needed_by: Sequence[Part]) -> Path:
    """Where what these partitions all need lies, of one version at a time."""
    place = _of_version(_studys(run) / f"{SHARED}{name}", version)
    place.mkdir(parents=True, exist_ok=True)
    temporary = place / f"{NEEDED_BY}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps(needed_by), encoding="utf-8")
    temporary.replace(place / NEEDED_BY)
    return place


def discard_shared(run: StageRun, whole: Callable[[Part], bool]) -> None:
    """Remove what partitions have shared, once all that need it are whole."""
    for file in _studys(run).glob(f"{SHARED}*/*/{NEEDED_BY}"):
        needed_by = json.loads(file.read_text(encoding="utf-8"))
        if all(whole(Part(*part)) for part in needed_by):
            shutil.rmtree(file.parent, ignore_errors=True)


def discard(run: StageRun, stage: str) -> None:
    """Remove finished parts of all versions: the partition is whole, or failed its checks."""
    shutil.rmtree(_partition(run, stage), ignore_errors=True)


def _studys(run: StageRun) -> Path:
    return run.lake.folder("_scratch", study=run.study.name)


def _partition(run: StageRun, stage: str) -> Path:
    return _studys(run) / f"{stage}-{run.partition or 'whole'}"


def _of_version(place: Path, version: str) -> Path:
    """The version's folder; what other versions have left is removed."""
    for left in place.glob("*"):
        if left.name != version:
            shutil.rmtree(left, ignore_errors=True)
    return place / version
