"""Sensors: keep Dagster's partitions and the manifest in step with a growing corpus folder.

A tick reads file names, sizes and times, never contents. Where files are new or changed it
requests a run of the `corpus` asset, which reads them and registers the shards; the first such
run is the user's own.
"""

import dagster as dg

from dagster_project import partitions
from dagster_project.assets.flow import STAGES
from dagster_project.jobs import stage_job_name
from dagster_project.provenance import Provenance
from dagster_project.resources import LakeResource
from dagster_project.studies.study import Study


def corpus_sensor(study: Study) -> dg.SensorDefinition:
    """Registers the shards of new and changed files of a study's corpus."""

    @dg.sensor(
        name=f"{study.name}__corpus_files".replace("-", "_"),
        job_name=stage_job_name(study, "corpus"),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"New shards of {study.name}: files that are new or have changed.",
    )
    def corpus_files(
        context: dg.SensorEvaluationContext, lake: LakeResource
    ) -> dg.RunRequest | dg.SkipReason:
        provenance = Provenance(study, lake.lake, STAGES)
        partitions.register(context.instance, provenance)
        corpus = STAGES["corpus"]
        if study.corpus.hub:
            return dg.SkipReason("The corpus is a hub data set, which is not watched.")
        if not provenance.shards():
            return dg.SkipReason("The corpus has not been materialized yet.")
        if provenance.fresh(corpus, ""):
            return dg.SkipReason("No file is new or has changed.")
        return dg.RunRequest(run_key=provenance.expected(corpus, ""))

    return corpus_files
