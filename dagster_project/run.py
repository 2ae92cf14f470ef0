"""Materialize one study end to end, in one process, in dependency order.

Runs the same assets as the Dagster UI, on the same instance (DAGSTER_HOME), one run a partition,
so that the UI shows the history; the model stays loaded between steps. Partitions that are fresh
are skipped, which is also how a killed run is taken up again: what it had committed stays.

    python -m dagster_project.run STUDY [--root LAKE] [--only STAGE …]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from rich.console import Console

from dagster_project import partitions
from dagster_project.assets.build import keys_of, study_assets
from dagster_project.assets.catalog import KEY as CATALOG
from dagster_project.assets.catalog import catalog_asset
from dagster_project.assets.flow import STAGES, chains, stages_of
from dagster_project.assets.stage import Stage
from dagster_project.lake.store import Lake
from dagster_project.lake.writer import alive, host
from dagster_project.provenance import Provenance
from dagster_project.resources import LakeResource, default_root
from dagster_project.studies.registry import load_studies
from dagster_project.studies.study import Study

PROCESS_TAG = ".dagster/circuit_lake_pid"  # hidden in the UI, as the prefix says


class RunError(RuntimeError):
    """A study's run that cannot go on; says which asset and why."""


@dataclass(frozen=True)
class Runner:
    """Materializes partitions of one study's stages."""

    study: Study
    lake: Lake
    instance: dg.DagsterInstance
    job: dg.JobDefinition  # all assets of the study

    @property
    def provenance(self) -> Provenance:
        """What is expected and stored now; read anew, since every step changes the lake."""
        return Provenance(self.study, self.lake, STAGES)

    def materialize(self, keys: Sequence[dg.AssetKey], partition: str) -> None:
        """One Dagster run. Raises RunError with the asset's own words."""
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        result = self.job.execute_in_process(
            run_config=quiet,
            instance=self.instance,
            partition_key=partition or None,
            asset_selection=list(keys),
            raise_on_error=False,
            tags={PROCESS_TAG: f"{host()}~{os.getpid()}"},
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

    def due(self, chain: Sequence[Stage], partition: str) -> list[Stage]:
        """The stages of a chain whose partition is missing or stale; the corpus always is, since
        only reading it can tell."""
        provenance = self.provenance
        return [
            stage
            for stage in chain
            if stage.name == "corpus" or not provenance.fresh(stage, partition)
        ]

    def wanted(self, stage: Stage) -> list[str]:
        """Partitions of a stage that belong to a run of the whole study."""
        if stage.partition != "task":
            return self.provenance.partitions(stage)
        largest = self.study.cluster_tasks.largest
        clusters = self.provenance.cluster_tasks(largest) if largest else []
        return [*self.study.tasks, *clusters]

    def run(self, only: Sequence[str], console: Console) -> None:
        """All stages in order, or those of `only`."""
        settle_abandoned_runs(self.instance)
        partitions.register(self.instance, self.provenance)
        stages = [s for s in stages_of(self.study) if not only or s.name in only]
        for chain in chains(stages):
            self._run_chain(chain, console)
        self.materialize([CATALOG], "")
        console.print(f"catalog: {self.lake.root / 'catalog.duckdb'}")

    def _run_chain(self, chain: Sequence[Stage], console: Console) -> None:
        names, started, made = ", ".join(s.name for s in chain), time.perf_counter(), 0
        wanted, failed = self.wanted(chain[0]), []
        for done, partition in enumerate(wanted):
            if due := self.due(chain, partition):
                where = f" {partition} ({done + 1} of {len(wanted)})" if partition else ""
                keys = [key for stage in due for key in keys_of(stage, self.study)]
                with console.status(", ".join(s.name for s in due) + where):
                    try:
                        self.materialize(keys, partition)
                        made += len(due)
                    except RunError as error:  # the other partitions do not depend on this one
                        failed.append(str(error))
        if failed:
            raise RunError("\n".join(failed))
        fresh = len(wanted) * len(chain) - made
        note = f"{made} materialized" + (f", {fresh} fresh" if fresh else "")
        console.print(f"{names}: {note}, {time.perf_counter() - started:.1f} s")


def runner(study: Study, root: str, instance: dg.DagsterInstance) -> Runner:
    """A Runner for a study and a lake."""
    definitions = dg.Definitions(
        assets=[*study_assets(study), catalog_asset([study])],
        resources={"lake": LakeResource(root=root)},
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    return Runner(study, LakeResource(root=root).lake, instance, job)


def settle_abandoned_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs of a process that was killed as failed, and free the places in pools that ended
    runs still hold: nothing else would, and the next run would wait for ever."""
    under_way = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(under_way):
        where, _, pid = run.tags.get(PROCESS_TAG, "").partition("~")
        if where == host() and not alive(int(pid)):
            instance.report_run_failed(run, message="The process of this run was killed.")
    storage = instance.event_log_storage
    for pool in storage.get_concurrency_keys():
        info = storage.get_concurrency_info(pool)
        for run_id in info.active_run_ids | info.pending_run_ids:
            found = instance.get_run_by_id(run_id)
            if found is None or found.is_finished:  # its places would be taken for ever
                storage.free_concurrency_slots_for_run(run_id)


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


def instance_home() -> None:
    """Use the folder .dagster beside the program's working directory unless DAGSTER_HOME is set."""
    home = Path(".dagster").resolve()
    if "DAGSTER_HOME" not in os.environ and (home / "dagster.yaml").is_file():
        os.environ["DAGSTER_HOME"] = str(home)
    if "DAGSTER_HOME" not in os.environ:
        raise RunError("DAGSTER_HOME is not set: name a folder for Dagster's history")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dagster_project.run", description=__doc__)
    parser.add_argument("study", help="name of a study, the stem of its TOML file")
    parser.add_argument("--root", default=default_root(), help="the lake")
    parser.add_argument("--only", nargs="+", default=[], choices=sorted(STAGES), metavar="STAGE")
    options = parser.parse_args(arguments)
    # Read when torch is first imported: waiting threads must leave the cores to those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    console = Console(stderr=True)
    found = load_studies()
    for error in found.errors:
        _tell(console, str(error))
    if options.study not in found.studies:
        names = ", ".join(found.studies) or "none"
        _tell(console, f'There is no study "{options.study}". Studies: {names}.')
        return 2
    try:
        instance_home()
        with dg.DagsterInstance.get() as instance:
            runner(found.studies[options.study], options.root, instance).run(options.only, console)
    except RunError as error:
        _tell(console, str(error))
        return 1
    except KeyboardInterrupt:
        _tell(console, "Stopped. The same command goes on from here.")
        return 130
    return 0


def _tell(console: Console, text: str) -> None:
    """An error as it is: its brackets are no markup, its lines are not cut."""
    console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
