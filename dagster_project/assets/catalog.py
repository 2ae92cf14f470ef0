"""The catalog asset: DuckDB views over every table, published as one file."""

from collections.abc import Sequence

import dagster as dg

from dagster_project.assets.build import OWNERS, keys_of
from dagster_project.assets.flow import stages_of
from dagster_project.lake.catalog import publish
from dagster_project.lake.schemas import TABLES
from dagster_project.resources import LakeResource
from dagster_project.studies.study import Study

KEY = dg.AssetKey("catalog")
REFRESH = (
    dg.AutomationCondition.any_deps_updated().since_last_handled()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
)
"""A table was materialized since, and none is being: once after a backfill, not during it."""


def catalog_asset(studies: Sequence[Study]) -> dg.AssetsDefinition:
    """`catalog.duckdb` in the lake's root: a typed view of every table, whatever is there yet."""
    tables = [
        key
        for study in studies
        for stage in stages_of(study)
        if stage.tables
        for key in keys_of(stage, study)
    ]

    @dg.asset(
        key=KEY,
        deps=[dg.AssetDep(key, partition_mapping=dg.AllPartitionMapping()) for key in tables],
        group_name="catalog",
        kinds={"duckdb"},
        owners=OWNERS,
        code_version="2",
        automation_condition=REFRESH,
        description="DuckDB catalog of the lake: one view a table, empty and typed where there "
        "is no data yet, with the macros and questions of `sql/`. Views read the Parquet files, so "
        "they see new partitions and studies at once; a table's first partition needs the catalog "
        "published again, which happens by itself when what is being materialized is done. After "
        "a move of the lake: `make catalog`.",
    )
    def catalog(lake: LakeResource) -> dg.MaterializeResult[None]:
        path = publish(lake.lake)
        rows = {table: dg.MetadataValue.int(lake.lake.rows(table)) for table in TABLES}
        return dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(path), **rows})

    return catalog


def catalog_sensor() -> dg.AutomationConditionSensorDefinition:
    """Publishes the catalog again when tables have been materialized."""
    return dg.AutomationConditionSensorDefinition(
        "catalog_refresh",
        target=dg.AssetSelection.assets(KEY),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Materializes `catalog` after its tables, once they are done.",
    )
