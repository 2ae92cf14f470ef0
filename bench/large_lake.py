"""A lake as large as a year's work, from one that a study has filled.

Its shards are repeated with documents of their own, its layers above each other, its tasks under
further names, until there are 10 million losses, 50,000 features and 300 circuits. The values are
those of the study, so that pages have something to show; nothing is computed. Cost: a minute and
2 GB of disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from dagster_project.lake.schemas import TABLES
from dagster_project.lake.store import Lake

LOSSES, FEATURES, CIRCUITS = 10_000_000, 50_000, 300
PER_SHARD = 1_000_000  # doc_id = shard ordinal × this + row
SITES = pl.col("site").str.extract_groups(r"^(?<kind>[a-z]+)_(?<layer>\d+)$")
VERSION = "large"


def enlarge(source: Lake, study: str, to: Path) -> Lake:
    """The large lake in a folder that is not there yet."""
    lake = Lake(to)
    shards = source.partitions("losses", study)
    n_shards = len(shards) * math.ceil(LOSSES / source.rows("losses", study=study))
    n_layers = _layers(source, study)
    copies = math.ceil(FEATURES / source.rows("features", study=study))
    tasks = source.partitions("circuits", study)
    for name, table in TABLES.items():
        if table.partition == "shard":
            # contexts stay those of the first shards, and so do their features
            n = len(shards) if name == "context_features" else n_shards
            for place in range(n):
                keys = {"study": study, "shard": shards[place % len(shards)]}
                if source.version(name, **keys):
                    frame = _rows(source, name, **keys)
                    moved = {"study": study, "shard": f"{place:05d}"}
                    _write(lake, name, _moved(frame, place), **moved)
        elif table.partition == "task":
            for place in range(math.ceil(CIRCUITS / len(tasks)) * len(tasks)):
                task, copy = tasks[place % len(tasks)], place // len(tasks)
                frame = _rows(source, name, study=study, task=task)
                _write(lake, name, _renamed(frame, copy), study=study, task=_name(task, copy))
        elif table.partition == "clustering":
            for clustering in source.partitions(name, study):
                keys = {"study": study, "clustering": clustering}
                _write(lake, name, _rows(source, name, **keys), **keys)
        else:
            frame = _rows(source, name, study=study)
            if "site" in frame.columns:
                frame = pl.concat(_stacked(frame, n_layers, copies)).sort(table.key)
            if name == "shards":
                frame = pl.concat(_manifest(frame, n_shards))
            _write(lake, name, frame, study=study)
    return lake


def _rows(lake: Lake, table: str, **keys: str) -> pl.DataFrame:
    """A partition's own columns."""
    return lake.scan(table, **keys).select(TABLES[table].file_schema.names()).collect()


def _write(lake: Lake, table: str, frame: pl.DataFrame, **keys: str) -> None:
    with lake.writer(table, VERSION, **keys) as out:
        out.append(frame.cast(TABLES[table].file_schema))


def _layers(lake: Lake, study: str) -> int:
    found = lake.scan("features", study=study).select(SITES.struct.field("layer")).collect()
    return int(found["layer"].cast(pl.Int32).max()) + 1  # type: ignore[arg-type]


def _moved(frame: pl.DataFrame, shard: int) -> pl.DataFrame:
    """Documents of another shard."""
    if "doc_id" not in frame.columns:
        return frame
    return frame.with_columns(pl.col("doc_id") % PER_SHARD + shard * PER_SHARD)


def _name(task: str, copy: int) -> str:
    return f"{task}-{copy}" if copy else task


def _renamed(frame: pl.DataFrame, copy: int) -> pl.DataFrame:
    """The circuits of another task."""
    if "circuit" not in frame.columns or not copy:
        return frame
    named = pl.col("circuit").str.replace(r"^([^.]*)\.", f"${{1}}-{copy}.")
    return frame.with_columns(circuit=named)


def _stacked(frame: pl.DataFrame, n_layers: int, copies: int) -> Iterator[pl.DataFrame]:
    """The sites of further layers above the first ones; there is one `embed`."""
    yield frame
    kind, layer = SITES.struct.field("kind"), SITES.struct.field("layer").cast(pl.Int32)
    for copy in range(1, copies):
        higher = pl.concat_str(kind, pl.lit("_"), layer + copy * n_layers)
        yield frame.filter(pl.col("site") != "embed").with_columns(site=higher)


def _manifest(frame: pl.DataFrame, n_shards: int) -> Iterator[pl.DataFrame]:
    for place in range(n_shards):
        row = frame[place % len(frame)]
        yield row.with_columns(
            shard=pl.lit(f"{place:05d}"), ordinal=pl.lit(place, row.schema["ordinal"])
        )
