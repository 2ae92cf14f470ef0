"""From files to contexts in the lake: what the stages write, report and make stale."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from dagster_project import resources
from dagster_project.assets import contexts, corpus, documents, losses, model, tokens
from dagster_project.assets.flow import STAGES
from dagster_project.assets.stage import Stage, StageResult, StageRun
from dagster_project.embedded import corpus as generator
from dagster_project.interp import losses as losses_of_tokens
from dagster_project.interp import predictions
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sources import CorpusError
from dagster_project.lake.store import Lake
from dagster_project.provenance import Provenance
from dagster_project.studies.study import CorpusSpec, Study, read_study
from tests.conftest import SENTENCES, make_model, teach

torch.set_num_threads(1)

STUDY = """
[model]
source = "./model"

[corpus]
files = ["*.jsonl"]
rows_per_shard = 4
max_malformed = 0.4

[tokens]
max_tokens = 20

[contexts]
n_ctx = 5
max_loss = 100.0
target = 6
"""
TOLD: list[str] = []  # what stages log


@pytest.fixture(scope="module")
def taught() -> LanguageModel:
    """A tiny model that is better than a uniform guess."""
    made = make_model("llama")
    teach(made)
    return made


@pytest.fixture
def study(tmp_path: Path, taught: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setattr(resources, "model", lambda _: taught)
    monkeypatch.setattr(resources, "model_content", lambda _: "tiny")
    monkeypatch.setattr(resources, "tokenizer", lambda _: taught.tokenizer)
    monkeypatch.setattr(resources, "n_vocab", lambda _: taught.n_vocab)
    file = tmp_path / "tiny.toml"
    file.write_text(STUDY)
    return read_study(file)


def write(study: Study, name: str, texts: Sequence[str]) -> None:
    """Documents, each with one piece over its first word, as lines; a text of `{` stands as it
    is, malformed."""
    rows = [text if text == "{" else json.dumps(document(text)) for text in texts]
    (study.file.parent / name).write_text("\n".join(rows) + "\n")


def document(text: str) -> dict[str, object]:
    piece = {"start": 0, "end": text.index(" "), "skill": "start", "slot": None, "surprisal": 1.0}
    return {"text": text, "meta": {"pile_set_name": "tiny", "pieces": [piece]}}


def materialize(study: Study, stage: Stage, partition: str = "") -> StageResult:
    lake = Lake(study.file.parent / "lake")
    provenance = Provenance(study, lake, STAGES)
    version, shards = provenance.expected(stage, partition), tuple(provenance.shards(stage))
    result = stage.compute(StageRun(study, lake, partition, version, TOLD.append, shards))
    assert {check.name for check in result.checks} == set(stage.checks)
    assert all(check.passed for check in result.checks), result.checks
    return result


def materialize_shards(study: Study) -> list[str]:
    shards = scan(study, "shards")["shard"].to_list()
    for stage in (documents.STAGE, tokens.STAGE, losses.STAGE):
        for shard in shards:
            materialize(study, stage, shard)
    return shards


def scan(study: Study, table: str) -> pl.DataFrame:
    return Lake(study.file.parent / "lake").scan(table, study=study.name).collect()


def stale(study: Study, stage: Stage) -> list[str]:
    provenance = Provenance(study, Lake(study.file.parent / "lake"), STAGES)
    return [p for p in provenance.partitions(stage) if not provenance.fresh(stage, p)]


def test_from_files_to_contexts(study: Study) -> None:
    write(study, "a.jsonl", [*SENTENCES[:5], "{", SENTENCES[0]])
    write(study, "b.jsonl", SENTENCES[300:303])
    found = materialize(study, corpus.STAGE)
    assert found.figures["shards"] == 3
    assert materialize(study, model.STAGE).figures["layers"] == 2
    assert materialize_shards(study) == ["00000", "00001", "00002"]

    read = scan(study, "documents")
    ids = [0, 1, 2, 3, 1_000_000, 1_000_002, 2_000_000, 2_000_001, 2_000_002]
    assert read["doc_id"].to_list() == ids
    same = read.filter(doc_id=1_000_002)["content_hash"][0]
    assert read.filter(content_hash=same)["doc_id"].to_list() == [0, 1_000_002]
    assert any("a.jsonl, row 6: not JSON" in line for line in TOLD)

    tokenized, scored = scan(study, "tokens"), scan(study, "losses")
    assert len(scored) == len(tokenized) - len(ids)
    assert set(scored["skill"].drop_nulls()) == {"start"}
    assert scored["surprisal"].sum() == len(ids)  # 1 nat a piece, one piece a document

    result = materialize(study, contexts.STAGE)
    chosen = scan(study, "contexts")
    assert len(chosen) == result.figures["contexts"] == 6
    assert 1_000_002 not in chosen["doc_id"]  # the duplicate
    joined = chosen.join(tokenized, on=["doc_id", "pos"])
    assert joined["answer_id"].equals(joined["token_id"].alias("answer_id"))
    assert joined["answer"].equals(joined["token"].alias("answer"))


def test_killed_losses_go_on_and_write_the_same_bytes(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = replace(study, compute=replace(study.compute, batch_tokens=1))
    monkeypatch.setattr(losses_of_tokens, "BATCHES", 1)  # windows of one document
    write(study, "a.jsonl", SENTENCES[:4])
    for stage in (corpus.STAGE, model.STAGE):
        materialize(study, stage)
    materialize_shards(study)
    lake = Lake(study.file.parent / "lake")
    file = lake.file("losses", study=study.name, shard="00000")
    whole, scored = file.read_bytes(), predictions.score
    n_windows = len(list(lake.root.rglob("*.arrow")))
    file.unlink()
    shutil.rmtree(lake.root / "_scratch")  # as `materialize` does
    left = iter(range(2))

    def killed(*arguments: object) -> predictions.Scores:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return scored(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(losses_of_tokens, "score", killed)
    with pytest.raises(KeyboardInterrupt):
        materialize(study, losses.STAGE, "00000")
    assert not file.exists()
    assert len(list(lake.root.rglob("*.arrow"))) == 2
    left = iter(range(n_windows - 2))  # no more than are left to do
    materialize(study, losses.STAGE, "00000")
    assert file.read_bytes() == whole
    assert list(left) == []


def test_what_new_and_changed_files_make_stale(study: Study) -> None:
    write(study, "a.jsonl", SENTENCES[:8])
    materialize(study, corpus.STAGE)
    materialize_shards(study)
    assert stale(study, corpus.STAGE) == []
    assert stale(study, losses.STAGE) == []

    write(study, "b.jsonl", SENTENCES[8:10])
    assert stale(study, corpus.STAGE) == [""]
    materialize(study, corpus.STAGE)
    assert stale(study, losses.STAGE) == ["00002"]

    write(study, "a.jsonl", [*SENTENCES[:4], *SENTENCES[20:24]])
    materialize(study, corpus.STAGE)
    assert stale(study, documents.STAGE) == ["00001", "00002"]


def test_equal_bytes_that_are_read_otherwise_are_other_documents(study: Study) -> None:
    study = replace(study, corpus=replace(study.corpus, files=("a.*",), separator=""))
    write(study, "a.jsonl", SENTENCES[:2])
    lines = (study.file.parent / "a.jsonl").read_bytes()
    (study.file.parent / "a.txt").write_bytes(lines)
    materialize(study, corpus.STAGE)
    assert scan(study, "shards")["content_hash"].n_unique() == 1
    provenance = Provenance(study, Lake(study.file.parent / "lake"), STAGES)
    versions = [provenance.expected(documents.STAGE, shard) for shard in ("00000", "00001")]
    assert versions[0] != versions[1]


def test_a_file_that_changes_or_goes_after_registration(study: Study) -> None:
    write(study, "a.jsonl", SENTENCES[:2])
    write(study, "b.jsonl", SENTENCES[2:4])
    materialize(study, corpus.STAGE)
    write(study, "a.jsonl", SENTENCES[4:6])
    with pytest.raises(CorpusError, match=r"a\.jsonl: rows 0 to 1 .* register it again"):
        materialize(study, documents.STAGE, "00000")
    assert scan(study, "documents").is_empty()
    (study.file.parent / "b.jsonl").unlink()
    assert materialize(study, corpus.STAGE).figures["vanished_sources"] == 1
    with pytest.raises(CorpusError, match=r"b\.jsonl: no such file"):
        materialize(study, documents.STAGE, "00001")
    with pytest.raises(CorpusError, match="shard 00009: expected one of the 2 registered"):
        materialize(study, documents.STAGE, "00009")


def test_from_generated_documents_to_losses(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study = replace(study, corpus=CorpusSpec(embedded=True, rows_per_shard=5, max_shards=2))
    found = materialize(study, corpus.STAGE)
    assert (found.figures["shards"], found.figures["rows"]) == (2, 10)
    for shard in ("00000", "00001"):
        for stage in (documents.STAGE, tokens.STAGE):
            materialize(study, stage, shard)
        run = StageRun(study, Lake(study.file.parent / "lake"), shard, "v", TOLD.append)
        losses.STAGE.compute(run)  # whose check fails: the model never saw such documents
    made = [generator.document(0, row) for row in range(10)]
    assert scan(study, "documents")["text"].to_list() == [document.text for document in made]
    scored = scan(study, "losses")
    rules = {(piece.skill, piece.slot) for document in made for piece in document.pieces}
    assert set(scored.select("skill", "slot").iter_rows()) <= rules
    free = scored.filter(pl.col("skill").is_null())
    assert free["surprisal"].max() > 0  # type: ignore[operator]  # a number
    assert free["slot"].is_null().all()

    assert stale(study, corpus.STAGE) == []
    monkeypatch.setattr(generator, "VERSION", "another")
    assert stale(study, corpus.STAGE) == [""]
    with pytest.raises(CorpusError, match="embedded: rows 0 to 4 of shard 00000 have changed"):
        materialize(study, documents.STAGE, "00000")
    materialize(study, corpus.STAGE)
    assert stale(study, documents.STAGE) == ["00000", "00001"]


def test_no_corpus(study: Study) -> None:
    with pytest.raises(CorpusError, match=r"tiny\.toml: corpus \*\.jsonl: expected rows"):
        materialize(study, corpus.STAGE)


def test_documents_longer_than_the_model_reads(study: Study) -> None:
    longer = study.file.read_text().replace("max_tokens = 20", "max_tokens = 65")
    study.file.write_text(longer)
    with pytest.raises(AssertionError, match=r"documents_fit.*'max_position_embeddings': 64"):
        materialize(read_study(study.file), model.STAGE)
