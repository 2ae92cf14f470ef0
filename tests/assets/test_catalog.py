"""The catalog asset: published again by itself once tables have been materialized."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.assets.build import study_assets
from dagster_project.assets.catalog import KEY, catalog_asset, catalog_sensor
from dagster_project.resources import LakeResource
from dagster_project.studies.study import read_study

LOSSES = dg.AssetKey(["tiny", "losses"])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def definitions(tmp_path: Path) -> dg.Definitions:
    (tmp_path / "tiny.toml").write_text(
        "[model]\nsource = './model'\n[corpus]\nfiles = ['*.jsonl']\n"
    )
    study = read_study(tmp_path / "tiny.toml")
    return dg.Definitions(
        assets=[*study_assets(study), catalog_asset([study])],
        sensors=[catalog_sensor()],
        resources={"lake": LakeResource(root=str(tmp_path / "lake"))},
    )


def test_it_is_asked_for_once_after_a_table(
    definitions: dg.Definitions, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    first = dg.evaluate_automation_conditions(definitions, instance)
    assert first.total_requested == 0  # nothing has been materialized
    partition = dg.AssetMaterialization(LOSSES, partition="00000")
    instance.add_dynamic_partitions(shards(definitions), ["00000"])
    instance.report_runless_asset_event(partition)
    second = dg.evaluate_automation_conditions(definitions, instance, cursor=first.cursor)
    assert second.get_requested_partitions(KEY) == {None}
    job = definitions.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, asset_selection=[KEY]).success
    assert (tmp_path / "lake" / "catalog.duckdb").is_file()
    third = dg.evaluate_automation_conditions(definitions, instance, cursor=second.cursor)
    assert third.total_requested == 0


def shards(definitions: dg.Definitions) -> str:
    """Name of the dynamic partitions of the table."""
    found = definitions.resolve_asset_graph().get(LOSSES).partitions_def
    assert isinstance(found, dg.DynamicPartitionsDefinition)
    assert found.name
    return found.name


def test_the_sensor_runs_without_being_switched_on() -> None:
    assert catalog_sensor().default_status == dg.DefaultSensorStatus.RUNNING
