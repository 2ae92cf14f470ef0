"""Everything that Dagster serves: the studies' assets, checks, jobs and sensors."""

from __future__ import annotations

import dagster as dg

from dagster_project.assets.build import study_assets
from dagster_project.assets.catalog import catalog_asset, catalog_sensor
from dagster_project.assets.faulty import faulty_studies
from dagster_project.jobs import study_jobs
from dagster_project.resources import LakeResource, default_root
from dagster_project.sensors import corpus_sensor
from dagster_project.studies.registry import load_studies


@dg.definitions
def definitions() -> dg.Definitions:
    found = load_studies()
    for error in found.errors:
        dg.get_dagster_logger().error(str(error))
    studies = list(found.studies.values())
    return dg.Definitions(
        assets=[
            *(a for study in studies for a in study_assets(study)),
            catalog_asset(studies),
            *faulty_studies(found.errors),
        ],
        jobs=[job for study in studies for job in study_jobs(study)],
        sensors=[*(corpus_sensor(study) for study in studies), catalog_sensor()],
        resources={"lake": LakeResource(root=default_root())},
        executor=dg.in_process_executor,  # a run's steps share its loaded model
    )
