"""Jobs of a study: a first look and the whole study by one click each, and chains of one partition.

A Dagster job of assets has one kind of partition, so those that span kinds have a single op that
does what `python -m dagster_project.run` does, within the run's process: it makes a run for each
partition, tagged with the run that asked for it. `one_shard` and `one_task` are made to be
backfilled: over shards, or over tasks and all clusters of a clustering.
"""

from typing import TypeAlias

import dagster as dg
from pydantic import Field

from dagster_project.assets.build import keys_of
from dagster_project.assets.flow import GROUPS, RECIPE, STAGES, stages_of
from dagster_project.display import Display
from dagster_project.history import history
from dagster_project.partition_run import RunError
from dagster_project.resources import LakeResource
from dagster_project.run import Part, runner
from dagster_project.studies.study import Study

Job: TypeAlias = "dg.JobDefinition | dg.UnresolvedAssetJobDefinition"
ASKED_BY = "circuit-lake/asked_by"  # tag: the run that made this one


class PartConfig(dg.Config):
    """What of a study is to be made; what is fresh is left as it is."""

    stages: list[str] = Field([], description="Stages by name; empty: all but the recipe's.")
    shards: int = Field(0, description="The first so many shards of the corpus; 0: all.")
    tasks: list[str] = Field(
        [], description="Tasks by name; empty: the study's own and the largest clusters."
    )


def stage_job_name(study: Study, name: str) -> str:
    """Name of a study's job, of letters, digits and _."""
    return f"{study.name}__{name}".replace("-", "_") + "_job"


def study_jobs(study: Study) -> "list[Job]":
    """The jobs of a study."""
    part = first_look(study)
    task = f" and the circuit of the task {part.tasks[0]}" if part.tasks else ""
    whole = "Everything: all shards, dictionaries, contexts, clusterings, tasks and their circuits."
    look = f"The first shard with the loss of each of its tokens{task}: a minute or two."
    jobs: list[Job] = [
        part_job(study, "first_look", part, look),
        part_job(study, "whole_study", Part(), whole),
        asset_job(study, "corpus", ["corpus"]),
        asset_job(study, "one_shard", ["documents", "tokens", "losses"]),
    ]
    if "circuits" in {stage.name for stage in stages_of(study)}:
        jobs.append(asset_job(study, "one_task", [s.name for s in GROUPS["4_circuits"]]))
    if study.recipe:
        jobs.append(asset_job(study, "recipe", [s.name for s in GROUPS[RECIPE]]))
    return jobs


def first_look(study: Study) -> Part:
    """The smallest part with something of each kind: one shard, and the circuit of one task where
    its dictionaries need no more of the corpus."""
    corpus = [stage.name for stage in GROUPS["1_corpus"]]
    dictionaries = STAGES["dictionaries"]
    needs = dictionaries.needs(study, "") if dictionaries.needs else dictionaries.inputs
    if "tokens" in needs or not study.tasks:
        return Part(corpus, shards=1)
    circuits = [stage.name for stage in GROUPS["4_circuits"]]
    return Part([*corpus, "dictionaries", *circuits], shards=1, tasks=[next(iter(study.tasks))])


def asset_job(study: Study, name: str, stages: list[str]) -> "Job":
    """Stages of one partition, in one run."""
    return dg.define_asset_job(
        stage_job_name(study, name),
        selection=[key for stage in stages for key in keys_of(STAGES[stage], study)],
        description=f"{study.name}: " + ", ".join(stages),
    )


def part_job(study: Study, name: str, part: Part, description: str) -> dg.JobDefinition:
    """A part of a study, whatever its partitions, with the part as the launchpad's preset."""
    job_name = stage_job_name(study, name)
    op_name = job_name.removesuffix("_job")

    @dg.op(name=op_name, description=description)
    def materialize_part(
        context: dg.OpExecutionContext, config: PartConfig, lake: LakeResource
    ) -> None:
        wanted = Part(config.stages, config.shards, config.tasks)
        with history(context.instance.get_ref()) as instance:
            made = runner(study, lake.root, instance, {ASKED_BY: context.run_id})
            try:
                made.run(wanted, Display(context.log.info))
            except RunError as error:
                raise dg.Failure(str(error)) from error

    preset = PartConfig(stages=[*part.stages], shards=part.shards, tasks=[*part.tasks])

    @dg.job(
        name=job_name,
        description=f"{study.name}: {description}",
        config=dg.RunConfig(ops={op_name: preset}),
    )
    def job() -> None:
        materialize_part()

    return job
