"""The stage `corpus`: what there is to read, as an append-only manifest of shards."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from dagster_project.assets.progress import progress
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.interp.corpus import MANIFEST, extend
from dagster_project.interp.sources import (
    EMBEDDED,
    HUB,
    CorpusError,
    Source,
    find_sources,
    source_at,
)
from dagster_project.lake.store import Lake
from dagster_project.studies.study import Study

DOC = """Registers the corpus's shards: row ranges of its files, of a hub data set, or of the
generated documents.

One streaming pass over each new or changed source counts its rows and hashes each shard's content;
files whose size and modification time are known are not read. The manifest only ever grows: shards
keep their numbers, a changed file gets new content hashes, new rows make new shards.
`rows_per_shard` holds for rows registered from then on.

Cost: one read of what is new (about 0.2 GB/s); one row in memory. A hub data set is streamed
from its start, up to `max_shards`; generated documents are registered without making them."""


def compute(run: StageRun) -> StageResult:
    spec = run.study.corpus
    before = run.scan("shards").select(list(MANIFEST)).collect()
    found = sources(run.study)
    with progress(run, "corpus", "rows") as advance:
        manifest = extend(before, found, spec.rows_per_shard, spec.max_shards, advance)
    if manifest.is_empty():
        where = spec.hub or ", ".join(spec.files)
        raise CorpusError(f"{run.study.file}: corpus {where}: expected rows, found none")
    with run.writer("shards", kind="study") as writer:
        writer.append(manifest)
    gone = sorted(set(manifest["path"]) - {source.path for source in found})
    for path in gone:
        run.log(f"{path} is gone; its shards stay registered but cannot be read again")
    figures = {
        "shards": len(manifest),
        "new_shards": len(manifest) - len(before),
        "rows": int(manifest["rows"].sum()),
        "sources": manifest["path"].n_unique(),
        "vanished_sources": len(gone),
    }
    return StageResult(figures, [_append_only(before, manifest)])


def sources(study: Study) -> list[Source]:
    """The study's sources, in the order in which new ones are registered."""
    spec = study.corpus
    if spec.embedded:
        return [source_at(EMBEDDED, spec)]
    if not spec.hub:
        return find_sources([str(study.path(pattern)) for pattern in spec.files], spec)
    local = study.path(spec.hub)
    return [source_at(f"{HUB}{local if local.is_dir() else spec.hub}", spec)]


def content(study: Study, _lake: Lake, _partition: str) -> str:
    """Paths, sizes and modification times of the local files that the sources are made of, or
    what generates them."""
    found = sources(study)
    if study.corpus.embedded:
        return "\n".join(source.read_as for source in found)
    files = [file for source in found for file in _files(source.path)]
    stats = [(file, file.stat()) for file in files]
    return "\n".join(f"{file}:{stat.st_size}:{stat.st_mtime_ns}" for file, stat in stats)


def _files(path: str) -> list[Path]:
    """A file itself; the files of a local folder that stands for a hub data set."""
    if not path.startswith(HUB):
        return [Path(path)]
    return sorted(file for file in Path(path.removeprefix(HUB)).rglob("*") if file.is_file())


def _append_only(before: pl.DataFrame, after: pl.DataFrame) -> Check:
    kept = len(before.join(after, on=["ordinal", "path", "first_row"], how="semi"))
    in_order = after["ordinal"].to_list() == list(range(len(after)))
    known = {"registered_before": len(before), "kept": kept, "numbered_in_order": in_order}
    return Check("append_only", kept == len(before) and in_order, known)


STAGE = Stage(
    name="corpus",
    doc=DOC,
    partition="study",
    tables=("shards",),
    inputs=(),
    reads=lambda study, _: {
        name: value
        for name, value in vars(study.corpus).items()
        if name != "max_malformed"  # read by `documents`
    },
    content=content,
    linkable=False,  # a manifest depends on its own past too
    compute=compute,
    checks={"append_only": "Every shard registered before keeps its number, source and place."},
    kinds=("parquet", "polars"),
)
