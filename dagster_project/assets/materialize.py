"""One materialization: inputs that are fit, a computation, its checks, and then one commit.

Inputs that are missing or stale are refused, before the computation and again after it, since
another run may replace them meanwhile. What the computation writes is held back until its checks
have passed, so that a partition in the lake is one that passed them; what failed is set aside,
and what was committed before stays. Parts that a killed computation has finished serve the next
of the same data version.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from dagster_project import memory
from dagster_project.assets import scratch
from dagster_project.assets.flow import STAGES
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.lake.store import Held, Lake
from dagster_project.provenance import Provenance
from dagster_project.resources import same_bits, share_of_cores
from dagster_project.studies.study import Study


class UnfitError(RuntimeError):
    """A partition that cannot be materialized as its inputs are; says which of them and why."""


class Materialized(NamedTuple):
    """What was done."""

    result: StageResult
    version: str  # data version
    rows: dict[str, int]  # by table
    sizes: dict[str, int]  # bytes, by table
    seconds: float
    peak: dict[str, int]  # memory, as `memory.peak`


def materialize(
    stage: Stage, study: Study, lake: Lake, partition: str, log: Callable[[str], None]
) -> Materialized:
    """Compute, check and commit one partition, or link another study's. Raises UnfitError."""
    version = _fit_version(stage, study, lake, partition)
    shards = tuple(Provenance(study, lake, STAGES).shards(stage))
    run = StageRun(study, lake, partition, version, log, shards)
    started = time.perf_counter()
    memory.forget_peak()
    result = _link(stage, run)
    if result is None:
        result = _compute(stage, run)
    scratch.discard(run, stage.name)
    scratch.discard_shared(run, lambda part: _whole(run, part))
    keys = run.keys(stage.partition)
    passed = all(check.passed for check in result.checks)
    tables = stage.tables if passed else ()
    rows = {t: lake.rows(t, **keys) for t in tables}
    sizes = {t: lake.size(t, **keys) for t in tables}
    seconds = time.perf_counter() - started
    return Materialized(result, version, rows, sizes, seconds, memory.peak())


def _whole(run: StageRun, part: scratch.Part) -> bool:
    """Whether a partition is as it should be, or is not asked for any more."""
    provenance = Provenance(run.study, run.lake, STAGES)
    stage = STAGES.get(part.stage)
    if stage is None or part.partition not in provenance.partitions(stage):
        return True
    return provenance.fresh(stage, part.partition)


def _compute(stage: Stage, run: StageRun) -> StageResult:
    held: list[Held] = []
    try:
        with share_of_cores(run.study), same_bits(run.study):
            result = stage.compute(replace(run, held=held))
        if not all(check.passed for check in result.checks):
            for finished in held:
                run.log(f"{finished.table} failed a check; it was kept as {finished.set_aside()}")
            return result
        _check_unchanged(stage, run)
        for finished in held:
            finished.commit()
    finally:
        for finished in held:
            finished.drop()
    if not stage.tables:
        run.lake.mark(stage.name, run.study.name, run.version)
    return result


def _link(stage: Stage, run: StageRun) -> StageResult | None:
    """Results of another study with the same data version, linked; None where there are none."""
    keys = run.keys(stage.partition)
    if not stage.tables or not stage.linkable:
        return None
    if not all(run.lake.link(table, run.version, **keys) for table in stage.tables):
        return None
    passed = [Check(name, True, {"linked": True}) for name in stage.checks]
    return StageResult({"linked": True}, passed)


def _fit_version(stage: Stage, study: Study, lake: Lake, partition: str) -> str:
    """The data version to be written. Raises UnfitError where an input is missing or stale."""
    provenance = Provenance(study, lake, STAGES)
    unfit = list(provenance.unfit_inputs(stage, partition))
    if unfit:
        what = "; ".join(unfit[:5]) + ("; …" if len(unfit) > 5 else "")
        raise UnfitError(f"{study.name}/{stage.name} {partition}: {what}. Materialize first.")
    return provenance.expected(stage, partition)


def _check_unchanged(stage: Stage, run: StageRun) -> None:
    """Nothing that was read has been replaced meanwhile. Raises UnfitError.

    A stage without inputs vouches for what it reads itself.
    """
    if stage.inputs and _fit_version(stage, run.study, run.lake, run.partition) != run.version:
        where = f"{run.study.name}/{stage.name} {run.partition}"
        raise UnfitError(f"{where}: an input changed during the computation; nothing was kept.")
