"""Data versions: what a partition of a stage must have been made from.

version = hash(stage, code version, configuration that it reads, content it reads outside the
lake, versions of its input partitions). All of it can be known without computing anything, so a
partition is *fresh* when the version in its Parquet footer is the expected one, and *stale*
otherwise. Versions do not contain the study's name: two studies that agree share results.
Cost: one hash a partition, and one read of each local model file, remembered by size and time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import lru_cache
from pathlib import Path

from dagster_project.assets.stage import Stage
from dagster_project.lake.store import Lake
from dagster_project.studies.study import Study
from dagster_project.studies.sweep import points


@dataclass(frozen=True)
class Provenance:
    """Expected and stored data versions of one study's partitions."""

    study: Study
    lake: Lake
    stages: Mapping[str, Stage]
    _known: dict[tuple[str, str], str] = field(default_factory=dict)  # memo of `expected`

    def expected(self, stage: Stage, partition: str) -> str:
        """The data version that this partition has when it is fresh."""
        key = (stage.name, partition)
        if key not in self._known:
            content = stage.content(self.study, self.lake, partition) if stage.content else ""
            parts = [
                stage.name,
                stage.code_version,
                stage.reads(self.study, partition),
                content,
                [self.expected(s, p) for s, p in self.inputs(stage, partition)],
            ]
            self._known[key] = digest(parts)
        return self._known[key]

    def stored(self, stage: Stage, partition: str) -> str | None:
        """The data version on disk; None where a table is missing or tables disagree."""
        if not stage.tables:
            return self.lake.marked(stage.name, self.study.name)
        keys = {"study": self.study.name}
        if stage.partition != "study":
            keys[stage.partition] = partition
        found = {self.lake.version(table, **keys) for table in stage.tables}
        return found.pop() if len(found) == 1 else None

    def fresh(self, stage: Stage, partition: str) -> bool:
        return self.stored(stage, partition) == self.expected(stage, partition)

    def unfit_inputs(self, stage: Stage, partition: str) -> Iterator[str]:
        """What stands in the way of a materialization: inputs that are missing or stale."""
        for source, key in self.inputs(stage, partition):
            stored = self.stored(source, key)
            if stored != self.expected(source, key):
                state = "stale" if stored else "missing"
                yield f"{source.name} {key}".strip() + f" is {state}"

    def inputs(self, stage: Stage, partition: str) -> Iterator[tuple[Stage, str]]:
        """The input partitions of a partition."""
        names = stage.needs(self.study, partition) if stage.needs else stage.inputs
        for name in names:
            source = self.stages[name]
            if source.partition == "study":
                yield source, ""
            elif source.partition == stage.partition:
                yield source, partition
            elif source.partition == "shard":
                yield from ((source, shard) for shard in self.shards(stage))
            elif source.partition == "clustering" and stage.partition == "task":
                yield source, partition.rpartition("-")[0]
            else:
                raise AssertionError(f"{stage.name} cannot read {name}")

    def shards(self, stage: Stage | None = None) -> list[str]:
        """Registered shards, in order; those that `stage` reads where it reads many."""
        found = registered_shards(self.lake, self.study.name)
        limit = stage.shards(self.study) if stage else 0
        return found[:limit] if limit else found

    def partitions(self, stage: Stage) -> list[str]:
        """Partitions of a stage that exist by now; [""] for a stage without partitions."""
        if stage.partition == "study":
            return [""]
        if stage.partition == "shard":
            return self.shards()
        if stage.partition == "clustering":
            return list(self.study.clusterings)
        if stage.partition == "point":
            return list(points(self.study))
        return [*self.study.tasks, *self.cluster_tasks()]

    def cluster_tasks(self, largest: int | None = None) -> list[str]:
        """Clusters as tasks, `<clustering>-<cluster>`, the largest clusters first."""
        clustering = self.study.cluster_tasks.clustering
        if not clustering:
            return []
        rows = self.lake.scan("clusters", study=self.study.name, clustering=clustering).collect()
        members = rows.filter(rows["cluster"] >= 0).sort(
            "size", "cluster", descending=[True, False]
        )
        return [f"{clustering}-{c}" for c in members["cluster"].head(largest or len(members))]


def registered_shards(lake: Lake, study: str) -> list[str]:
    """Keys of the shards in a study's manifest, in order."""
    return lake.scan("shards", study=study).select("shard").collect()["shard"].sort().to_list()


def digest(value: object) -> str:
    """16 hexadecimal digits that identify a JSON-able value; dataclasses by their fields."""
    text = json.dumps(value, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content_hash(path: Path) -> str:
    """Hash of a file, or of a folder's files and their relative names."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    root = path if path.is_dir() else path.parent
    return digest([[str(p.relative_to(root)), _file_hash(p, *_stamp(p))] for p in files])


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"a data version cannot depend on {type(value).__name__}")


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=4096)
def _file_hash(path: Path, _size: int, _modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
