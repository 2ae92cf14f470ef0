"""The asset graph of a study: keys, dependencies and partitions, as a snapshot.

A change of lineage shows as a difference of `graph.txt`; write it anew with
`python -m tests.assets.test_graph`.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from dagster_project.assets.build import study_assets
from dagster_project.assets.flow import stages_of
from dagster_project.lake.schemas import TABLES
from dagster_project.studies.study import Study, read_study
from tests.conftest import TINY_STUDY

SNAPSHOT = Path(__file__).with_name("graph.txt")


def tiny(folder: Path) -> Study:
    file = folder / "tiny.toml"
    file.write_text(TINY_STUDY.replace("{dictionaries}", "train") + "\n[dictionary_sweep]\n")
    return read_study(file)


def graph(study: Study) -> str:
    """One line an asset: key [partitions] group <- dependencies; its checks indented below."""
    lines = []
    for item in study_assets(study):
        specs = [item] if isinstance(item, dg.AssetSpec) else list(item.specs)
        for spec in specs:
            parts = spec.partitions_def
            kind = "" if parts is None else f" [{getattr(parts, 'name', None) or 'static'}]"
            deps = ", ".join(sorted(d.asset_key.to_user_string() for d in spec.deps))
            lines.append(f"{spec.key.to_user_string()}{kind} {spec.group_name} <- {deps}".rstrip())
        if isinstance(item, dg.AssetsDefinition):
            lines += [f"    {check.name}" for check in item.check_specs]
    return "\n".join(lines) + "\n"


def test_the_graph_is_the_one_that_is_documented(tmp_path: Path) -> None:
    assert graph(tiny(tmp_path)) == SNAPSHOT.read_text()


def test_every_asset_is_described_and_its_columns_are_the_tables(tmp_path: Path) -> None:
    study = tiny(tmp_path)
    for item in study_assets(study):
        specs = [item] if isinstance(item, dg.AssetSpec) else list(item.specs)
        for spec in specs:
            assert spec.description
            assert spec.kinds
            schema = spec.metadata.get("dagster/column_schema")
            if schema is not None:
                assert all(column.description for column in schema.columns)


def test_a_table_is_written_by_one_stage(tmp_path: Path) -> None:
    written = [t for stage in stages_of(tiny(tmp_path)) for t in stage.tables]
    assert len(written) == len(set(written))
    assert set(written) <= set(TABLES)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        SNAPSHOT.write_text(graph(tiny(Path(folder))))
