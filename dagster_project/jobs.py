"""Jobs: one a stage, and one a task that goes from pairs to faithfulness.

The last one is what is backfilled over all clusters of a clustering: its partitions are the
tasks, `<clustering>-<cluster>` among them.
"""

from __future__ import annotations

import dagster as dg

from dagster_project.assets.build import keys_of
from dagster_project.assets.flow import GROUPS, stages_of
from dagster_project.studies.study import Study


def stage_job_name(study: Study, stage: str) -> str:
    return f"{study.name}__{stage}".replace("-", "_") + "_job"


def study_jobs(study: Study) -> list[dg.UnresolvedAssetJobDefinition]:
    """A job for each stage; `shards` for documents to losses of a shard, `circuits` for a task."""
    stages = {s.name: s for s in stages_of(study)}
    per_stage = {name: [stage] for name, stage in stages.items()}
    shard_names = ("documents", "tokens", "losses")
    chains = {"one_shard": [stages[name] for name in shard_names]}
    if "circuits" in stages:
        chains["one_task"] = list(GROUPS["4_circuits"])
    return [
        dg.define_asset_job(
            stage_job_name(study, name),
            selection=[key for stage in chain for key in keys_of(stage, study)],
            description=f"{study.name}: " + ", ".join(stage.name for stage in chain),
        )
        for name, chain in {**per_stage, **chains}.items()
    ]
