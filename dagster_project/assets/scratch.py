"""Scratch: what is finished of work that is not yet whole, kept below the lake.

A computation that was killed finds what it had finished of its partition if its data version is
still the same; partitions that need the same find what the first of them has made.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from dagster_project.assets.stage import StageRun


def folder(run: StageRun, stage: str) -> Path:
    """Where finished parts of this partition's data version lie."""
    return _of_version(_partition(run, stage), run.version)


def shared(run: StageRun, name: str, version: str) -> Path:
    """Where what several partitions of a study need lies, of one version at a time."""
    return _of_version(_shared(run, name), version)


def drop_shared(run: StageRun, name: str) -> None:
    """Remove what several partitions of a study have needed, of all versions."""
    shutil.rmtree(_shared(run, name), ignore_errors=True)


def discard(run: StageRun, stage: str) -> None:
    """Remove finished parts of all versions: the partition is whole, or failed its checks."""
    shutil.rmtree(_partition(run, stage), ignore_errors=True)


def _shared(run: StageRun, name: str) -> Path:
    return run.lake.folder("_scratch", study=run.study.name) / name


def _partition(run: StageRun, stage: str) -> Path:
    studys = run.lake.folder("_scratch", study=run.study.name)
    return studys / f"{stage}-{run.partition or 'whole'}"


def _of_version(place: Path, version: str) -> Path:
    """The version's folder; what other versions have left is removed."""
    for left in place.glob("*"):
        if left.name != version:
            shutil.rmtree(left, ignore_errors=True)
    return place / version
