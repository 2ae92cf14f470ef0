"""Dagster assets from stages: keys, dependencies, partitions, versions, checks and metadata.

What a materialization does is in `materialize.py`. A stage with several tables is one
multi-asset; a stage without tables, or with one, is one asset with the stage's name.
"""

import base64
from collections.abc import Iterator, Mapping

import dagster as dg

from dagster_project import partitions
from dagster_project.assets.flow import GROUPS, STAGES, stages_of
from dagster_project.assets.materialize import Materialized, UnfitError, materialize
from dagster_project.assets.progress import WATCHER
from dagster_project.assets.stage import Stage, StageResult
from dagster_project.lake.schemas import TABLES
from dagster_project.memory import TooLargeError
from dagster_project.provenance import Provenance
from dagster_project.resources import LakeResource
from dagster_project.studies.study import Study

OWNERS = ["team:circuit-lake"]


def study_assets(study: Study, *, pooled: bool = True) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The asset graph of a study, under its name as key prefix. pooled: stages that compute wait
    for a place in their pool."""
    stages = stages_of(study)
    return [shards_spec(study), *(build(stage, study, pooled=pooled) for stage in stages)]


def group_name(study: Study, group: str) -> str:
    """A group of a study's assets in the UI: `study/group`, of letters, digits and _."""
    return f"{study.name}/{group}".replace("-", "_")


def keys_of(stage: Stage, study: Study) -> list[dg.AssetKey]:
    """Asset keys of a stage: its tables where there are several, else its own name."""
    names = stage.tables if len(stage.tables) > 1 else (stage.name,)
    return [dg.AssetKey([study.name, name]) for name in names]


def shards_spec(study: Study) -> dg.AssetSpec:
    """The corpus's shards as Dagster sees them: one partition each, reported when the corpus is
    read; the data version is the content's, so that only changed shards become stale."""
    return dg.AssetSpec(
        partitions.shards_key(study),
        deps=[dg.AssetKey([study.name, "corpus"])],
        description="Row ranges of the corpus's files, one partition each. Not materialized by "
        "itself: `corpus` reports them. The data version is the hash of a shard's content, so a "
        "changed file makes stale only what was made of its own shards.",
        group_name=group_name(study, "1_corpus"),
        kinds={"file"},
        partitions_def=partitions.definition(study, "shard"),
    )


def build(stage: Stage, study: Study, *, pooled: bool) -> dg.AssetsDefinition:
    """The Dagster asset, or multi-asset, of a stage."""
    keys = keys_of(stage, study)
    group = next(name for name, stages in GROUPS.items() if stage in stages)
    specs = [
        dg.AssetSpec(
            key,
            deps=_deps(stage, study),
            description=_description(stage, key, study),
            metadata=_schema(stage, key),
            group_name=group_name(study, group),
            code_version=stage.code_version,
            owners=OWNERS,
            kinds=set(stage.kinds),
            partitions_def=partitions.definition(study, stage.partition),
        )
        for key in keys
    ]
    checks = [
        dg.AssetCheckSpec(name, asset=keys[0], description=what, blocking=True)
        for name, what in stage.checks.items()
    ]

    @dg.multi_asset(
        name=f"{study.name}__{stage.name}".replace("-", "_"),
        specs=specs,
        check_specs=checks,
        pool=(stage.pool or None) if pooled else None,
    )
    def asset(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        partition = context.partition_key if context.has_partition_key else ""
        if watcher := WATCHER.get():
            watcher.begin(stage.name)
        try:
            made = materialize(stage, study, lake.lake, partition, context.log.info)
        except (UnfitError, TooLargeError) as error:
            raise dg.Failure(str(error)) from error
        if stage.name in ("corpus", "clusterings"):  # what makes partitions
            partitions.announce(context.instance, Provenance(study, lake.lake, STAGES))
        for key in keys:
            checked = _check_results(stage, key, made.result) if key == keys[0] else []
            yield dg.MaterializeResult(
                asset_key=key,
                metadata=_metadata(stage.name, made, _table(stage, key)),
                check_results=checked,
                data_version=dg.DataVersion(made.version),
            )

    return asset


def _deps(stage: Stage, study: Study) -> list[dg.AssetDep]:
    if stage.name == "documents":  # of the corpus its own shard alone
        return [dg.AssetDep(partitions.shards_key(study))]
    here = {s.name for s in stages_of(study)}
    deps = [
        dg.AssetDep(key, partition_mapping=_mapping(STAGES[name], stage))
        for name in stage.inputs
        if name in here
        for key in keys_of(STAGES[name], study)
    ]
    return deps


def _mapping(source: Stage, stage: Stage) -> dg.PartitionMapping | None:
    """All partitions of an input that is partitioned differently."""
    differs = source.partition not in ("study", stage.partition)
    return dg.AllPartitionMapping() if differs else None


def _table(stage: Stage, key: dg.AssetKey) -> str | None:
    """The table that an asset key stands for."""
    return key.path[-1] if len(stage.tables) > 1 else next(iter(stage.tables), None)


def _description(stage: Stage, key: dg.AssetKey, study: Study) -> str:
    """Markdown; what tells an asset from the others comes first, since lists show its start."""
    table = _table(stage, key)
    if table is None:
        return stage.doc
    row = f"{TABLES[table].doc}: one row of the table `{table}`."
    query = f"```sql\nselect * from {table} where study = '{study.name}'\n```"
    parts = [row, stage.doc] if len(stage.tables) > 1 else [stage.doc, row]
    return "\n\n".join([*parts, query])


def _schema(stage: Stage, key: dg.AssetKey) -> Mapping[str, dg.TableSchema]:
    table = _table(stage, key)
    if table is None:
        return {}
    columns = [
        dg.TableColumn(c.name, str(c.dtype), f"{c.doc} [{c.unit}]" if c.unit else c.doc)
        for c in TABLES[table].columns
    ]
    return {"dagster/column_schema": dg.TableSchema(columns)}


def _metadata(stage: str, made: Materialized, table: str | None) -> dict[str, dg.MetadataValue]:
    result, seconds = made.result, round(made.seconds, 3)
    known: dict[str, dg.MetadataValue] = {"seconds": dg.MetadataValue.float(seconds)}
    known |= {name: dg.MetadataValue.int(size) for name, size in made.peak.items()}
    if table in made.rows:
        known["dagster/row_count"] = dg.MetadataValue.int(made.rows[table])
        known["bytes"] = dg.MetadataValue.int(made.sizes[table])
    if result.plot:
        image = base64.b64encode(result.plot).decode()
        known["plot"] = dg.MetadataValue.md(f"![{stage}](data:image/png;base64,{image})")
    for name, value in result.figures.items():
        known[name] = _value(value)
    return known


def _value(value: object) -> dg.MetadataValue:
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(float(f"{value:.6g}"))
    return dg.MetadataValue.text("none" if value is None else str(value))


def _check_results(
    stage: Stage, key: dg.AssetKey, result: StageResult
) -> list[dg.AssetCheckResult]:
    found = {check.name for check in result.checks}
    if found != set(stage.checks):
        raise AssertionError(f"{stage.name} reports checks {found}, declares {set(stage.checks)}")
    return [
        dg.AssetCheckResult(
            passed=check.passed,
            check_name=check.name,
            asset_key=key,
            metadata={name: _value(v) for name, v in check.figures.items()},
        )
        for check in result.checks
    ]
