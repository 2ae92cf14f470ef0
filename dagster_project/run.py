"""Materialize one study end to end, in one process, in dependency order.

Runs the same assets as the Dagster UI, on the same instance (DAGSTER_HOME), one run a partition of
stages that follow each other, so that the UI shows the history; the model stays loaded between
steps. Partitions that are fresh are skipped, which is also how a killed run is taken up again: what
it had committed stays. Dagster's own part is about 0.1 s a stage and partition.

    python -m dagster_project.run STUDY [--root LAKE] [--only STAGE …]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from rich.console import Console

from dagster_project import partitions
from dagster_project.assets.build import keys_of, study_assets
from dagster_project.assets.catalog import KEY as CATALOG
from dagster_project.assets.catalog import catalog_asset
from dagster_project.assets.flow import STAGES, USUAL, chains, stages_of
from dagster_project.assets.stage import Stage
from dagster_project.display import Display, Terminal
from dagster_project.history import history
from dagster_project.lake.store import Lake
from dagster_project.lake.writer import host
from dagster_project.pools import PROCESS_TAG, places_taken, settle_abandoned_runs
from dagster_project.provenance import Provenance
from dagster_project.resources import LakeResource, default_root
from dagster_project.studies.registry import load_studies
from dagster_project.studies.study import Study


class RunError(RuntimeError):
    """A study's run that cannot go on; says which asset and why."""


class Part(NamedTuple):
    """What of a study a run is to make; by default all of it."""

    stages: Sequence[str] = ()  # their names; empty: all but the recipe's
    shards: int = 0  # the first so many; 0: all
    tasks: Sequence[str] = ()  # their names; empty: the study's own and the largest clusters


EVERYTHING = Part()


@dataclass(frozen=True)
class Runner:
    """Materializes partitions of one study's stages."""

    study: Study
    lake: Lake
    instance: dg.DagsterInstance
    job: dg.JobDefinition  # all assets of the study
    tags: Mapping[str, str] = field(default_factory=dict)  # of every run

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

    def due(self, chain: Sequence[Stage], partition: str) -> list[Stage]:
        """The stages of a chain whose partition is missing or stale; the corpus always is, since
        only reading it can tell."""
        provenance = self.provenance
        return [
            stage
            for stage in chain
            if stage.name == "corpus" or not provenance.fresh(stage, partition)
        ]

    def wanted(self, stage: Stage, part: Part = EVERYTHING) -> list[str]:
        """Partitions of a stage that belong to a run of the study, or of part of it."""
        if stage.partition == "shard":
            return self.provenance.shards()[: part.shards or None]
        if stage.partition != "task":
            return self.provenance.partitions(stage)
        largest = self.study.cluster_tasks.largest
        clusters = self.provenance.cluster_tasks(largest) if largest else []
        return list(part.tasks) or [*self.study.tasks, *clusters]

    def run(self, part: Part, display: Display) -> None:
        """All stages in order but the recipe's, or those of a part."""
        self._check(part)
        settle_abandoned_runs(self.instance)
        partitions.register(self.instance, self.provenance)
        stages = [s for s in stages_of(self.study) if s.name in (part.stages or USUAL)]
        steps = chains(stages)
        with display.watching():
            for number, chain in enumerate(steps, 1):
                self._run_chain(chain, part, display, f"{number} of {len(steps) + 1}")
            with display.step(f"{len(steps) + 1} of {len(steps) + 1}", ["catalog"], 1) as notes:
                self.materialize([CATALOG], "")
                notes.append(str(self.lake.root / "catalog.duckdb"))

    def _check(self, part: Part) -> None:
        """Raises RunError for a stage or a task that the study does not have."""
        stages = [stage.name for stage in stages_of(self.study)]
        # tasks of clusters come into being on the way: their clustering has to be the study's
        tasks = [*self.study.tasks, *(f"{name}-" for name in self.study.clusterings)]
        for what, wanted, known in (("stage", part.stages, stages), ("task", part.tasks, tasks)):
            for name in wanted:
                if name not in known and f"{name.rpartition('-')[0]}-" not in known:
                    expected = ", ".join(known)
                    raise RunError(f"{self.study.name}: no {what} {name}; there are {expected}")

    def _run_chain(self, chain: Sequence[Stage], part: Part, display: Display, place: str) -> None:
        wanted, failed, made = self.wanted(chain[0], part), list[str](), 0
        with display.step(place, [s.name for s in chain], len(wanted)) as notes:
            for number, partition in enumerate(wanted, 1):
                if due := self.due(chain, partition):
                    display.part(number, len(wanted), partition)
                    try:
                        self._make(due, partition, display)
                        made += len(due)
                    except RunError as error:  # the other partitions do not depend on this one
                        failed.append(str(error))
            if failed:
                raise RunError("\n".join(failed))
            fresh = len(wanted) * len(chain) - made
            notes.extend([f"{made} materialized"] if made or not fresh else [])
            notes.extend([f"{fresh} fresh"] if fresh else [])

    def _make(self, stages: Sequence[Stage], partition: str, display: Display) -> None:
        if waiting := places_taken(self.instance, {s.pool for s in stages if s.pool}):
            display.tell(waiting)
        self.materialize([key for s in stages for key in keys_of(s, self.study)], partition)


def runner(
    study: Study, root: str, instance: dg.DagsterInstance, tags: Mapping[str, str] | None = None
) -> Runner:
    """A Runner for a study and a lake."""
    definitions = dg.Definitions(
        assets=[*study_assets(study), catalog_asset([study])],
        resources={"lake": LakeResource(root=root)},
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    return Runner(study, LakeResource(root=root).lake, instance, job, tags or {})


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


def instance_home() -> Path:
    """Dagster's folder: DAGSTER_HOME, or .dagster where the program runs. Raises RunError."""
    home = Path(".dagster").resolve()
    if "DAGSTER_HOME" not in os.environ and (home / "dagster.yaml").is_file():
        os.environ["DAGSTER_HOME"] = str(home)
    if "DAGSTER_HOME" not in os.environ:
        raise RunError("DAGSTER_HOME is not set: name a folder for Dagster's history")
    named = Path(os.environ["DAGSTER_HOME"]).expanduser()
    if not (named.is_absolute() and named.is_dir()):
        raise RunError(f"DAGSTER_HOME: expected the absolute path of a folder, found {named}")
    return named


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dagster_project.run", description=__doc__)
    parser.add_argument("study", help="name of a study, the stem of its TOML file")
    parser.add_argument("--root", default=default_root(), help="the lake")
    parser.add_argument("--only", nargs="+", default=[], choices=sorted(STAGES), metavar="STAGE")
    options = parser.parse_args(arguments)
    # Read when torch is first imported: waiting threads must leave the cores to those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    console = Console(stderr=True)
    if not console.is_terminal:  # read when transformers is: bars are for people
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    found = load_studies()
    for error in found.errors:
        _tell(console, str(error))
    if options.study not in found.studies:
        names = ", ".join(found.studies) or "none"
        _tell(console, f'There is no study "{options.study}". Studies: {names}.')
        return 2
    try:
        with history(InstanceRef.from_dir(str(instance_home()))) as instance:
            made = runner(found.studies[options.study], options.root, instance)
            made.run(Part(stages=options.only), display_on(console))
    except RunError as error:
        _tell(console, str(error))
        return 1
    except KeyboardInterrupt:
        _tell(console, "Stopped. The same command goes on from here.")
        return 130
    return 0


def display_on(console: Console) -> Display:
    """Moving lines where a person watches, else lines of text."""
    return Terminal(console) if console.is_terminal else Display(partial(_plain, console))


def _plain(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _tell(console: Console, text: str) -> None:
    """An error as it is: its brackets are no markup, its lines are not cut."""
    console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
