"""The stage contexts on losses whose rules are known: quotas, and what is reported of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dagster_project import resources
from dagster_project.assets import contexts
from dagster_project.assets.stage import StageResult, StageRun
from dagster_project.interp.model import LanguageModel
from dagster_project.lake.store import Lake
from dagster_project.studies.study import ContextsSpec, CorpusSpec, ModelSpec, Study
from tests.lake.frames import Row, put

STUDY = Study(
    name="small",
    file=Path("small.toml"),
    model=ModelSpec("tiny"),
    corpus=CorpusSpec(files=("*.txt",)),
    contexts=ContextsSpec(n_ctx=4, stratify="rule", per_stratum=3, target=20),
)
RULES = [("sum", "digit", 0.0)] * 6 + [("copy", None, 0.0)] * 2 + [("date", "day", 9.0)]
"""Skill, slot and loss of the answer of each document of a shard: no date is predicted well."""


@pytest.fixture
def lake(tmp_path: Path, tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Two shards; a document is BOS, two words without a rule, and an answer of two tokens."""
    monkeypatch.setattr(resources, "model", lambda _: tiny_llama)
    lake = Lake(tmp_path / "lake")
    for shard in range(2):
        documents: list[Row] = []
        tokens: list[Row] = []
        losses: list[Row] = []
        for row, (skill, slot, loss) in enumerate(RULES):
            doc_id = shard * 1_000_000 + row
            documents.append({"doc_id": doc_id, "content_hash": str(doc_id)})
            ids = [1, 3 + shard, 3 + row, 20, 21]
            where: list[Row] = [{"doc_id": doc_id, "pos": i} for i in range(5)]
            tokens += [at | {"token_id": t} for at, t in zip(where, ids, strict=True)]
            known: Row = {"piece": 2, "skill": skill, "slot": slot, "surprisal": 0.0}
            pieces: list[Row] = [{"piece": 0}, {"piece": 1}, {**known, "loss": loss}, known]
            rest = zip(where[1:], ids[1:], pieces, strict=True)
            losses += [at | {"token_id": t} | piece for at, t, piece in rest]
        keys = {"study": "small", "shard": f"{shard:05d}"}
        put(lake, "documents", documents, **keys)
        put(lake, "tokens", tokens, **keys)
        put(lake, "losses", losses, **keys)
    return lake


def run(lake: Lake, study: Study, told: list[str]) -> StageResult:
    shards = ("00000", "00001")
    result = contexts.STAGE.compute(StageRun(study, lake, "", "v1", told.append, shards))
    assert {check.name for check in result.checks} == set(contexts.STAGE.checks)
    assert all(check.passed for check in result.checks), result.checks
    return result


def test_quotas_and_what_misses_them(lake: Lake) -> None:
    told: list[str] = []
    figures = run(lake, STUDY, told).figures
    chosen = lake.scan("contexts", study="small").collect()
    assert sorted(chosen.group_by("skill", "slot").len().rows(), key=str) == [
        ("copy", None, 3),
        ("sum", "digit", 3),
    ]
    assert set(chosen["pos"]) == {3}  # where the piece starts
    assert set(chosen["answer_id"]) == {20}
    shown = (
        "strata",
        "smallest_stratum",
        "contexts_of_smallest_stratum",
        "strata_below_quota",
    )
    assert [figures[name] for name in shown] == [3, "date/day", 0, 1]
    assert "date/day: 0 contexts, 3 fewer than the quota" in told
    assert not any(line.startswith(("sum", "copy")) for line in told)


def test_without_a_quota_every_token_may_be_chosen(lake: Lake) -> None:
    told: list[str] = []
    unlimited = ContextsSpec(n_ctx=4, per_document=0, target=60)
    figures = run(lake, replace(STUDY, contexts=unlimited), told).figures
    assert "strata" not in figures
    chosen = lake.scan("contexts", study="small").collect()
    assert None in set(chosen["skill"])
    assert set(chosen["pos"]) == {1, 2, 3, 4}
