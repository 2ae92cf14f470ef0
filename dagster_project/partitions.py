"""Partitions of a study in Dagster: shards and tasks are dynamic, the others are known.

`register` makes Dagster's partitions follow the study and the lake: it is called when the corpus
or a clustering materializes, by the sensor, and by a run.
"""

from __future__ import annotations

from contextlib import suppress

import dagster as dg
from sqlalchemy.exc import IntegrityError

from dagster_project.assets.stage import Partition
from dagster_project.provenance import Provenance
from dagster_project.studies.study import Study
from dagster_project.studies.sweep import points

DATA_VERSION_TAG = "dagster/data_version"


def definition(study: Study, kind: Partition) -> dg.PartitionsDefinition | None:
    """The partitions of a stage of this kind."""
    if kind == "study":
        return None
    if kind == "clustering":
        return dg.StaticPartitionsDefinition(list(study.clusterings))
    if kind == "point":
        return dg.StaticPartitionsDefinition(list(points(study)))
    return dg.DynamicPartitionsDefinition(name=dynamic_name(study, kind))


def dynamic_name(study: Study, kind: Partition) -> str:
    """Name of a study's dynamic partitions."""
    return f"{study.name}/{kind}s"


def register(instance: dg.DagsterInstance, provenance: Provenance) -> None:
    """Make Dagster's dynamic partitions those of the study: shards, tasks and clusters."""
    study = provenance.study
    # What Dagster knows is read first: what another process adds meanwhile is not there to delete.
    kinds: tuple[Partition, ...] = ("shard", "task")
    names = {kind: dynamic_name(study, kind) for kind in kinds}
    known = {kind: set(instance.get_dynamic_partitions(name)) for kind, name in names.items()}
    wanted = {
        "shard": provenance.shards(),
        "task": [*study.tasks, *provenance.cluster_tasks()],
    }
    for kind, name in names.items():
        if new := [key for key in wanted[kind] if key not in known[kind]]:
            with suppress(IntegrityError):  # another process has just added them
                instance.add_dynamic_partitions(name, new)
        for key in known[kind].difference(wanted[kind]):
            instance.delete_dynamic_partition(name, key)


def shards_key(study: Study) -> dg.AssetKey:
    """The asset whose partitions are the corpus's shards."""
    return dg.AssetKey([study.name, "shards"])


def announce(instance: dg.DagsterInstance, provenance: Provenance) -> None:
    """Register partitions, and report shards that Dagster knows with other content, or not."""
    register(instance, provenance)
    key = shards_key(provenance.study)
    known = instance.event_log_storage.get_latest_tags_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
    )
    manifest = provenance.lake.scan("shards", study=provenance.study.name)
    for shard, content in manifest.select("shard", "content_hash").collect().iter_rows():
        if known.get(shard, {}).get(DATA_VERSION_TAG) != content:
            event = dg.AssetMaterialization(key, partition=shard, tags={DATA_VERSION_TAG: content})
            instance.report_runless_asset_event(event)
