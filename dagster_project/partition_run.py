"""One Dagster run: a partition of stages that follow each other, in this process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from dagster_project.assets.build import keys_of, study_assets
from dagster_project.assets.catalog import catalog_asset
from dagster_project.assets.stage import Stage
from dagster_project.lake.writer import host
from dagster_project.pools import PROCESS_TAG
from dagster_project.resources import LakeResource
from dagster_project.studies.study import Study


class RunError(RuntimeError):
    """A study's run that cannot go on; says which asset and why."""


@dataclass(frozen=True)
class PartitionRunner:
    """Materializes partitions of one study's assets."""

    study: Study
    instance: dg.DagsterInstance
    job: dg.JobDefinition  # all assets of the study
    tags: Mapping[str, str] = field(default_factory=dict)  # of every run

    def make(self, stages: Sequence[Stage], partition: str) -> None:
        """A partition of stages. Raises RunError with the failed asset's own words."""
        self.materialize([key for s in stages for key in keys_of(s, self.study)], partition)

    def materialize(self, keys: Sequence[dg.AssetKey], partition: str) -> None:
        """A partition of assets. Raises RunError as `make` does."""
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        result = self.job.execute_in_process(
            run_config=quiet,
            instance=self.instance,
            partition_key=partition or None,
            asset_selection=list(keys),
            raise_on_error=False,
            tags={PROCESS_TAG: f"{host()}~{os.getpid()}", **self.tags},
        )
        name = f"{keys[0].to_user_string()} {partition}".strip()
        failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
        if failed:
            what = "; ".join(_failed_check(e) for e in failed)
            raise RunError(f"{name} failed a check: {what} (run {result.run_id})")
        if not result.success:
            if _interrupted(result):
                raise KeyboardInterrupt
            raise RunError(f"{name}: {_reason(result)} (run {result.run_id})")


def partition_runner(
    study: Study,
    root: str,
    instance: dg.DagsterInstance,
    tags: Mapping[str, str] | None = None,
    *,
    pooled: bool = True,
) -> PartitionRunner:
    """A PartitionRunner for a study and a lake. pooled: its stages wait for places in pools."""
    definitions = dg.Definitions(
        assets=[*study_assets(study, pooled=pooled), catalog_asset([study])],
        resources={"lake": LakeResource(root=root)},
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    return PartitionRunner(study, instance, job, tags or {})


def _interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """The run ended because somebody stopped it; Dagster makes a step's failure of that."""
    errors = [e.step_failure_data.error for e in result.all_events if e.is_step_failure]
    names = [error.cls_name for error in errors if error]
    return any(name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt") for name in names)


def _failed_check(evaluation: dg.AssetCheckEvaluation) -> str:
    """The check's asset and name, and what it measured."""
    figures = ", ".join(f"{name} = {m.value}" for name, m in evaluation.metadata.items())
    return f"{evaluation.asset_key.path[-1]}: {evaluation.check_name} ({figures})"


def _reason(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            if failure.user_failure_data and failure.user_failure_data.description:
                return failure.user_failure_data.description
            error = failure.error and (failure.error.cause or failure.error)  # the asset's own
            return error.message.strip() if error else "failed"
    return "failed"
