"""Progress of a stage's long loop: a bar where a person watches a terminal, else nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm  # type: ignore[import-untyped]

from dagster_project.assets.stage import StageRun


@contextmanager
def progress(
    run: StageRun, stage: str, unit: str, total: int | None = None
) -> Iterator[Callable[[int], None]]:
    """A function to call with each portion of work done. total: None where it is not known."""
    name = f"{run.study.name}/{stage} {run.partition}".rstrip()
    with tqdm(total=total, desc=name, unit=f" {unit}", unit_scale=True, disable=None) as bar:

        def advance(done: int) -> None:
            bar.update(done)

        yield advance
