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
        code_version="1",
        description="DuckDB catalog of the lake: one view a table, empty and typed where there "
        "is no data yet. Views read the Parquet files, so the catalog stays true as they change; "
        "publish it again when a table gets its first rows, or when the lake has moved.",
    )
    def catalog(lake: LakeResource) -> dg.MaterializeResult[None]:
        path = publish(lake.lake)
        rows = {table: dg.MetadataValue.int(lake.lake.rows(table)) for table in TABLES}
        return dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(path), **rows})

    return catalog
