"""The stage `documents`: the rows of a shard as text."""

from __future__ import annotations

from itertools import pairwise

import polars as pl

from dagster_project.assets.progress import progress
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.interp.corpus import MANIFEST, Shard, shards_of
from dagster_project.interp.documents import Problem, documents
from dagster_project.interp.sources import CorpusError, source_at
from dagster_project.lake.store import Lake
from dagster_project.studies.study import Study

DOC = """Reads a shard's rows into documents: text, subset, known rules, content hash, duplicates.

doc_id = shard × 1,000,000 + row. Malformed rows are left out and reported with file and row; more
than `max_malformed` of them, or a source that has changed since it was registered, is an error.
A duplicate refers to the first equal text in its shard; `content_hash` finds those of other
shards, and contexts look at all shards at once.

Cost: parsing and hashing, about 50 MB/s; one batch of documents in memory."""

LOGGED = 10  # malformed rows that are logged one by one


def compute(run: StageRun) -> StageResult:
    spec = run.study.corpus
    shard = _shard(run)
    source = source_at(shard.path, spec)
    problems: list[Problem] = []
    tally = Tally()
    with (
        run.writer("documents", kind="shard") as writer,
        progress(run, "documents", "documents", shard.rows) as advance,
    ):
        for frame in documents(shard, source, spec.max_malformed, problems.append, advance):
            writer.append(frame)
            tally.add(frame)
    for problem in problems[:LOGGED]:
        run.log(f"malformed: {problem}")
    figures = {
        "documents": tally.documents,
        "characters": tally.characters,
        "duplicates": tally.duplicates,
        "malformed": len(problems),
        "first_malformed": str(problems[0]) if problems else None,
        "source": shard.path,
    }
    return StageResult(figures, _checks(tally, shard, len(problems), spec.max_malformed))


class Tally:
    """What the shard's documents come to."""

    def __init__(self) -> None:
        self.documents = self.characters = self.duplicates = 0
        self.last_id = -1
        self.ascending = True

    def add(self, frame: pl.DataFrame) -> None:
        ids = [self.last_id, *frame["doc_id"]]
        self.ascending &= all(a < b for a, b in pairwise(ids))
        self.last_id = ids[-1]
        self.documents += len(frame)
        self.characters += int(frame["n_chars"].sum())
        self.duplicates += len(frame) - frame["duplicate_of"].null_count()


def _checks(tally: Tally, shard: Shard, malformed: int, allowed: float) -> list[Check]:
    in_shard = tally.last_id < shard.first_doc_id + shard.rows
    known = {"documents": tally.documents, "rows": shard.rows, "last_doc_id": tally.last_id}
    share = {"malformed": malformed, "rows": shard.rows, "allowed_share": allowed}
    return [
        Check("ids_in_order", tally.ascending and in_shard, known),
        Check("malformed", malformed <= allowed * shard.rows, share),
    ]


def _shard(run: StageRun) -> Shard:
    manifest = run.scan("shards").select(list(MANIFEST)).collect()
    shards = {shard.key: shard for shard in shards_of(manifest)}
    if run.partition not in shards:
        raise CorpusError(f"shard {run.partition}: expected one of the {len(shards)} registered")
    return shards[run.partition]


def content(study: Study, lake: Lake, shard: str) -> str:
    """Hash of the shard's rows, so that a new or changed file leaves other shards fresh.

    With how they were told apart, since equal bytes mean one thing as lines, another as text.
    """
    manifest = lake.scan("shards", study=study.name).filter(pl.col("shard") == shard)
    found = manifest.select("content_hash", "read_as").collect()
    return " ".join(value for row in found.iter_rows() for value in row)


STAGE = Stage(
    name="documents",
    doc=DOC,
    partition="shard",
    tables=("documents",),
    inputs=("corpus",),
    needs=lambda _study, _shard: (),  # of the corpus its own rows alone: see `content`
    reads=lambda study, _: {
        "text_field": study.corpus.text_field,
        "max_malformed": study.corpus.max_malformed,
    },
    content=content,
    compute=compute,
    checks={
        "ids_in_order": "doc_id ascends within the shard's range.",
        "malformed": "At most the set share of the shard's rows is malformed.",
    },
    kinds=("parquet", "polars"),
)
