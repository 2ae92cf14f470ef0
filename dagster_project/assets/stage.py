"""Stages: what an asset of a study is, as data, and what its computation sees.

A stage reads other stages and part of the study's configuration, and writes one partition of one
or more tables. Modules of this folder each hold one `STAGE`; `assets/build.py` makes Dagster
assets of them and `run.py` materializes them in order. No maths here or there: a stage's
`compute` makes one library call and reports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import polars as pl

from dagster_project.lake.store import Held, Lake, PartitionWriter
from dagster_project.studies.study import Study

Partition: TypeAlias = Literal["study", "shard", "task", "clustering", "point"]
Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True)
class Check:
    """The outcome of one of the stage's checks."""

    name: str
    passed: bool
    figures: Mapping[str, Scalar]  # what was measured, against what


@dataclass(frozen=True)
class StageResult:
    """What a materialization reports."""

    figures: Mapping[str, Scalar] = field(default_factory=dict)  # metadata shown in the UI
    checks: Sequence[Check] = ()
    plot: bytes | None = None  # a small PNG


@dataclass(frozen=True)
class StageRun:
    """One partition of one stage, as its computation sees it."""

    study: Study
    lake: Lake
    partition: str  # shard, task, clustering or point; "" for a stage without partitions
    version: str  # data version of what is written
    log: Callable[[str], None]
    shards: tuple[str, ...] = ()  # those read by a stage that reads many, in order
    held: list[Held] | None = None  # takes what is written, to be committed after the checks

    def writer(self, table: str, *, kind: Partition) -> PartitionWriter:
        """Context manager that appends frames and commits the partition when left in peace."""
        return self.lake.held_writer(self.held, table, self.version, **self.keys(kind))

    def scan(self, table: str, **partition: str) -> pl.LazyFrame:
        """The study's rows of a table, or of one partition of it (`shard=…`, `task=…`)."""
        return self.lake.scan(table, study=self.study.name, **partition)

    def written(self, table: str, *, kind: Partition) -> pl.LazyFrame:
        """What this run has written to a table, committed or not."""
        for finished in self.held or ():
            if finished.table == table:
                return pl.scan_parquet(finished.temporary)
        return self.lake.scan(table, **self.keys(kind))

    def size(self, table: str, *, kind: Partition) -> int:
        """Bytes of what this run has written to a table, committed or not."""
        for finished in self.held or ():
            if finished.table == table:
                return finished.size
        return self.lake.size(table, **self.keys(kind))

    def scan_shards(self, table: str) -> pl.LazyFrame:
        """Rows of a table by shard, of the shards that this stage reads."""
        return self.scan(table).filter(pl.col("shard").is_in(self.shards))

    def keys(self, kind: Partition) -> dict[str, str]:
        """The lake's partition keys of this run."""
        here: dict[str, str] = {} if kind == "study" else {kind: self.partition}
        return {"study": self.study.name, **here}


@dataclass(frozen=True)
class Stage:
    """One step of the data flow."""

    name: str
    doc: str  # what, how, cost; shown in the UI
    partition: Partition
    tables: tuple[str, ...]  # written together, all with one data version; may be empty
    inputs: tuple[str, ...]  # names of stages
    reads: Callable[[Study, str], object]  # (study, partition) -> config it reads, JSON-able
    compute: Callable[[StageRun], StageResult]
    checks: Mapping[str, str] = field(default_factory=dict)  # name -> what must hold; blocking
    needs: Callable[[Study, str], tuple[str, ...]] | None = None  # inputs of one partition
    shards: Callable[[Study], int] = lambda _: 0  # first shards read, where all could be; 0: all
    content: Callable[[Study, Lake, str], str] | None = None  # hash of what it reads elsewhere
    code_version: str = "1"
    linkable: bool = True  # another study's result with the same version is this one
    pool: str = ""  # "gpu" for stages that run the model
    kinds: tuple[str, ...] = ("parquet",)
