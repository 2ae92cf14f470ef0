"""Scratch: what is finished of work that is not yet whole, kept below the lake.

A computation that was killed finds what it had finished of its partition if its data version is
still the same; partitions that need the same find what the first of them has made.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from dagster_project.assets.stage import StageRun

NEEDED_BY = "needed_by"
"""File with the names of the partitions that share a folder."""


def folder(run: StageRun, stage: str) -> Path:
    """Where finished parts of this partition's data version lie."""
    return _of_version(_partition(run, stage), run.version)


def shared(run: StageRun, stage: str, version: str, partitions: Sequence[str]) -> Path:
    """Where what these partitions of a stage all need lies, of one version at a time."""
    place = _of_version(_shared(run, stage), version)
    place.mkdir(parents=True, exist_ok=True)
    (place / NEEDED_BY).write_text("\n".join(partitions), encoding="utf-8")
    return place


def discard_shared(run: StageRun, stage: str, whole: Callable[[str], bool]) -> None:
    """Remove what partitions of a stage have shared, once all that need it are whole."""
    for needed_by in _shared(run, stage).glob(f"*/{NEEDED_BY}"):
        if all(map(whole, needed_by.read_text(encoding="utf-8").splitlines())):
            shutil.rmtree(needed_by.parent, ignore_errors=True)


def discard(run: StageRun, stage: str) -> None:
    """Remove finished parts of all versions: the partition is whole, or failed its checks."""
    shutil.rmtree(_partition(run, stage), ignore_errors=True)


def _shared(run: StageRun, stage: str) -> Path:
    return run.lake.folder("_scratch", study=run.study.name) / f"shared-{stage}"


def _partition(run: StageRun, stage: str) -> Path:
    studys = run.lake.folder("_scratch", study=run.study.name)
    return studys / f"{stage}-{run.partition or 'whole'}"


def _of_version(place: Path, version: str) -> Path:
    """The version's folder; what other versions have left is removed."""
    for left in place.glob("*"):
        if left.name != version:
            shutil.rmtree(left, ignore_errors=True)
    return place / version
