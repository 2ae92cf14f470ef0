"""Sensors: keep Dagster's partitions and the manifest in step with a growing corpus folder.

A tick reads file names, sizes and times, never contents. Where files are new or changed it
requests a run of the `corpus` asset, which reads them and registers the shards; the first such
run is the user's own. Requests have no run key: one is made at every tick at which the corpus is
not fresh, unless a run of that job is under way, or one for the same files failed within BACKOFF.
So what fails is tried again every ten minutes, and at once when a file changes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from dagster_project import partitions
from dagster_project.assets.flow import STAGES
from dagster_project.jobs import stage_job_name
from dagster_project.provenance import Provenance
from dagster_project.resources import LakeResource
from dagster_project.studies.study import Study

BACKOFF = timedelta(minutes=10)  # between a failed run and the next for the same files
FILES_TAG = "circuit-lake/corpus_version"  # on a requested run: the corpus that it is to register
UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


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
        if study.corpus.embedded:
            return dg.SkipReason("The corpus is generated: there are no files to watch.")
        if not provenance.shards():
            return dg.SkipReason("The corpus has not been materialized yet.")
        if provenance.fresh(corpus, ""):
            return dg.SkipReason("No file is new or has changed.")
        version = provenance.expected(corpus, "")
        if reason := _not_now(context.instance, stage_job_name(study, "corpus"), version):
            return dg.SkipReason(reason)
        return dg.RunRequest(tags={FILES_TAG: version})

    return corpus_files


def _not_now(instance: dg.DagsterInstance, job: str, version: str) -> str | None:
    """Why no run is requested for files that are new or changed; None: one is."""
    under_way = dg.RunsFilter(job_name=job, statuses=UNDER_WAY)
    for run in instance.get_runs(under_way, limit=1):
        return f"Run {run.run_id} is registering files; the next tick sees what it leaves."
    failed = dg.RunsFilter(
        job_name=job,
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={FILES_TAG: version},
        updated_after=datetime.now(UTC) - BACKOFF,
    )
    for run in instance.get_runs(failed, limit=1):
        return (
            f"Run {run.run_id} failed to register these files; it is tried again {BACKOFF} after "
            "it, when a file changes, or when you materialize the corpus."
        )
    return None
