"""Materialize one study end to end, in dependency order.

Runs the same assets as the Dagster UI, on the same instance (DAGSTER_HOME), one run a partition of
stages that follow each other, so that the UI shows the history; the model stays loaded between
steps, and partitions are made side by side where the study has several workers. Partitions that
are fresh are skipped, which is also how a killed run is taken up again: what it had committed
stays. Dagster's own part is about 0.1 s a stage and partition.

    python -m dagster_project.run STUDY [--root LAKE] [--only STAGE …]
"""

from __future__ import annotations

import argparse
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import NamedTuple, TypeAlias

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from rich.console import Console

from dagster_project import partitions
from dagster_project.assets.catalog import KEY as CATALOG
from dagster_project.assets.flow import STAGES, USUAL, chains, stages_of
from dagster_project.assets.stage import Stage
from dagster_project.display import Display, Terminal
from dagster_project.history import history
from dagster_project.lake.store import Lake
from dagster_project.memory import TooLargeError, check, needs
from dagster_project.partition_run import PartitionRunner, RunError, partition_runner
from dagster_project.pools import places_taken, settle_abandoned_runs
from dagster_project.processes import leave
from dagster_project.provenance import Provenance
from dagster_project.resources import LakeResource, default_root, processes_of
from dagster_project.studies.registry import load_studies
from dagster_project.studies.rules import SPREAD
from dagster_project.studies.study import Study
from dagster_project.workers import Work, WorkerLostError, Workers

Item: TypeAlias = tuple[Sequence[Stage], str]
"""Stages that follow each other, and one of their partitions."""


class Part(NamedTuple):
    """What of a study a run is to make; by default all of it."""

    stages: Sequence[str] = ()  # their names; empty: all but the recipe's
    shards: int = 0  # the first so many; 0: all
    tasks: Sequence[str] = ()  # their names; empty: the study's own and the largest clusters


EVERYTHING = Part()


@dataclass(frozen=True)
class Runner:
    """Materializes one study's stages, as many partitions side by side as the study says."""

    partitions: PartitionRunner
    lake: Lake
    workers: int = 1  # processes, this one included

    @property
    def study(self) -> Study:
        return self.partitions.study

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.partitions.instance

    @property
    def provenance(self) -> Provenance:
        """What is expected and stored now; read anew, since every step changes the lake."""
        return Provenance(self.study, self.lake, STAGES)

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
        self._reckon(stages, display)
        with display.watching(), Workers(self._work, self.workers - 1) as workers:
            for number, chain in enumerate(steps, 1):
                self._run_chain(chain, part, display, workers, f"{number} of {len(steps) + 1}")
            with display.step(f"{len(steps) + 1} of {len(steps) + 1}", ["catalog"], 1) as notes:
                self.partitions.materialize([CATALOG], "")
                notes.append(str(self.lake.root / "catalog.duckdb"))

    def _reckon(self, stages: Sequence[Stage], display: Display) -> None:
        """Say what the study will hold in memory, before anything is computed. Raises RunError
        where that is more than there is."""
        loading = [s for s in stages if s.name in ("model", "dictionaries")]
        due = {s.name for item in self.due([([s], "") for s in loading]) for s in item[0]}
        if not due & {"model", "dictionaries"} or self.study.compute.device == SPREAD:
            return
        wanted = any("dictionaries" in (s.name, *s.inputs) for s in stages)
        try:
            training = "dictionaries" in due
            found = needs(self.study, model=True, dictionaries=wanted, training=training)
            found = replace(found, copies=self.workers)
            display.tell(f"memory: {found}")
            check(found, self.study)
        except TooLargeError as error:
            raise RunError(str(error)) from error
        except ValueError as error:
            display.tell(f"memory cannot be reckoned: {error}")  # its stage fails with the same

    def _work(self) -> Work:
        tags = self.partitions.tags
        return Work(self.study, str(self.lake.root), self.instance.get_ref(), tags)

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

    def _run_chain(
        self, chain: Sequence[Stage], part: Part, display: Display, workers: Workers, place: str
    ) -> None:
        wanted, made = self.wanted(chain[0], part), 0
        with display.step(place, [s.name for s in chain], len(wanted)) as notes:
            for wave in waves(chain) if chain[0].partition == "study" else [[chain]]:
                due = self.due([(stages, partition) for partition in wanted for stages in wave])
                self._make(due, display, workers)
                made += sum(len(stages) for stages, _ in due)
            fresh = len(wanted) * len(chain) - made
            notes.extend([f"{made} materialized"] if made or not fresh else [])
            notes.extend([f"{fresh} fresh"] if fresh else [])

    def due(self, items: Sequence[Item]) -> list[Item]:
        """The stages whose partition is missing or stale; the corpus always is, since only reading
        it can tell."""
        provenance = self.provenance
        found = [
            (
                [s for s in stages if s.name == "corpus" or not provenance.fresh(s, partition)],
                partition,
            )
            for stages, partition in items
        ]
        return [item for item in found if item[0]]

    def _make(self, due: Sequence[Item], display: Display, workers: Workers) -> None:
        """All items, which do not depend on each other: what fails does not keep the others from
        being made. Raises RunError with all that failed."""
        left, failed = deque(due), list[str]()

        def take(make: Callable[[Sequence[Stage], str], None]) -> None:
            while item := _next(left):
                try:
                    make(*item)
                except WorkerLostError as error:
                    failed.append(str(error))
                    return
                except RunError as error:
                    failed.append(str(error))

        def make(stages: Sequence[Stage], partition: str) -> None:
            if waiting := places_taken(self.instance, self._pools(stages)):
                display.tell(waiting)
            display.part(len(due) - len(left), len(due), partition)
            self.partitions.make(stages, partition)

        helpers = [Thread(target=take, args=(w.make,)) for w in workers.up_to(len(due) - 1)]
        for helper in helpers:
            helper.daemon = True  # a run that is stopped waits for none
            helper.start()
        take(make)
        for helper in helpers:
            helper.join()
        if failed:
            raise RunError("\n".join(failed))

    def _pools(self, stages: Sequence[Stage]) -> set[str]:
        return {s.pool for s in stages if s.pool} if self.workers == 1 else set()


def _next(left: deque[Item]) -> Item | None:
    with suppress(IndexError):  # another thread may have taken the last one
        return left.popleft()
    return None


def waves(chain: Sequence[Stage]) -> list[list[list[Stage]]]:
    """A chain's stages, each alone, in waves: one needs nothing but what earlier waves have."""
    found: list[list[list[Stage]]] = []
    left = list(chain)
    while left:
        names = {stage.name for stage in left}
        ready = [stage for stage in left if not names.intersection(stage.inputs)]
        found.append([[stage] for stage in ready])
        left = [stage for stage in left if stage not in ready]
    return found


def runner(
    study: Study, root: str, instance: dg.DagsterInstance, tags: Mapping[str, str] | None = None
) -> Runner:
    """A Runner for a study and a lake."""
    workers = processes_of(study)
    made = partition_runner(study, root, instance, tags, pooled=workers == 1)
    return Runner(made, LakeResource(root=root).lake, workers)


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
    leave(main())
