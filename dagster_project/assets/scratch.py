"""Scratch: what a stage has finished of a partition, kept below the lake until it is whole.

A computation that was killed finds it again if its data version is still the same.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from dagster_project.assets.stage import StageRun


def folder(run: StageRun, stage: str) -> Path:
    """Where finished parts of this data version lie; what other versions have left is removed."""
    place = _place(run, stage)
    for left in place.glob("*"):
        if left.name != run.version:
            shutil.rmtree(left, ignore_errors=True)
    return place / run.version


def discard(run: StageRun, stage: str) -> None:
    """Remove finished parts of all versions: the partition is whole, or failed its checks."""
    shutil.rmtree(_place(run, stage), ignore_errors=True)


def _place(run: StageRun, stage: str) -> Path:
    studys = run.lake.folder("_scratch", study=run.study.name)
    return studys / f"{stage}-{run.partition or 'whole'}"
