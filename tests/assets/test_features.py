"""The stages features and feature_logits on a small lake, and checks that see what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from dagster_project import resources
from dagster_project.assets import feature_logits, features
from dagster_project.assets.flow import STAGES
from dagster_project.assets.stage import Stage, StageResult, StageRun
from dagster_project.interp.dictionary import Dictionary, IdentityDictionary
from dagster_project.interp.feature_tokens import feature_tokens
from dagster_project.interp.features import SiteFeatures
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import site_names
from dagster_project.lake.catalog import connect, fetch
from dagster_project.lake.store import Lake
from dagster_project.provenance import Provenance
from dagster_project.studies.study import (
    CorpusSpec,
    DictionariesSpec,
    FeaturesSpec,
    ModelSpec,
    Study,
)
from tests.conftest import SENTENCES
from tests.interp.test_feature_tokens import rows
from tests.interp.test_features import sparse

STUDY = Study(
    name="small",
    file=Path("small.toml"),
    model=ModelSpec("tiny"),
    corpus=CorpusSpec(files=("*.txt",)),
    dictionaries=DictionariesSpec(source="identity"),
    features=FeaturesSpec(tokens=150, top=3, per_interval=2, n_ctx=4),
)


@pytest.fixture
def lake(tmp_path: Path, tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Two shards of 32 documents."""
    made: dict[str, Dictionary] = {
        site: sparse(i, "relu") for i, site in enumerate(site_names(tiny_llama.n_layers))
    }
    made["attn_1"] = IdentityDictionary(16)
    monkeypatch.setattr(resources, "model", lambda _: tiny_llama)
    monkeypatch.setattr(resources, "model_content", lambda _: "tiny")
    monkeypatch.setattr(resources, "dictionaries", lambda *_: made)
    lake = Lake(tmp_path / "lake")
    for shard in range(2):
        texts = SENTENCES[shard::16]
        ids = {
            1_000_000 * shard + i: tiny_llama.tokenizer(t).input_ids for i, t in enumerate(texts)
        }
        with lake.writer("tokens", "v1", study="small", shard=f"{shard:05d}") as writer:
            writer.append(rows(ids).with_columns(token=pl.lit("x")))
    return lake


def run(stage: Stage, lake: Lake, study: Study = STUDY) -> StageResult:
    limit = stage.shards(study) or None
    shards = tuple(lake.partitions("tokens", "small")[:limit])
    result = stage.compute(StageRun(study, lake, "", "v2", lambda _: None, shards))
    assert {c.name for c in result.checks} == set(stage.checks)
    assert all(c.passed for c in result.checks), result.checks
    return result


def test_the_stages_fill_their_tables(lake: Lake, tiny_llama: LanguageModel) -> None:
    result = run(features.STAGE, lake)
    assert result.plot is not None
    assert result.plot.startswith(b"\x89PNG")
    lengths = [len(tiny_llama.tokenizer(text).input_ids) for text in SENTENCES[::16]]
    enough = next(n for n in range(len(lengths)) if sum(lengths[:n]) >= 150)
    n_tokens = sum(lengths[:enough]) - enough  # without BOS
    assert (result.figures["features"], result.figures["tokens"]) == (6 * 24 + 16, n_tokens)
    found = lake.scan("features", study="small").collect()
    assert found["label"].is_null().all()
    assert found["n_tokens"].unique().to_list() == [n_tokens]
    examples = lake.scan("feature_examples", study="small").collect()
    assert examples.filter(pl.col("doc_id") >= 1_000_000).is_empty()  # one shard is enough
    assert examples["pos"].min() == 1
    figures = run(feature_logits.STAGE, lake).figures
    assert figures["features"] == 6 * 24 + 16
    logits = lake.scan("feature_logits", study="small").collect()
    texts = dict(zip(logits["token_id"], logits["token"], strict=True))
    assert texts[tiny_llama.tokenizer(" girl").input_ids[-1]] == " girl"
    with connect(lake) as connection:
        joined = fetch(
            connection,
            "select e.token_id from feature_examples join tokens e using (study, doc_id, pos)",
        )
        assert len(joined) == len(examples)
        for table in (*features.STAGE.tables, "feature_logits"):
            assert fetch(connection, f"select count(*) from {table}").item() == lake.rows(table)


def test_files_are_sorted_by_site_and_feature(lake: Lake) -> None:
    for stage in (features.STAGE, feature_logits.STAGE):
        run(stage, lake)
        for table in stage.tables:
            found = pl.read_parquet(lake.file(table, study="small"))
            assert found.select("site", "feature").equals(
                found.select("site", "feature").sort("site", "feature")
            )


def test_only_the_shards_asked_for_are_read(lake: Lake) -> None:
    spec = replace(STUDY.features, tokens=10_000, shards=1)
    one = run(features.STAGE, lake, replace(STUDY, features=spec)).figures["tokens"]
    both = run(features.STAGE, lake, replace(STUDY, features=replace(spec, shards=0)))
    assert isinstance(one, int)
    assert one < int(str(both.figures["tokens"]))


def test_what_makes_them_stale(lake: Lake) -> None:
    def versions(study: Study) -> tuple[str, str]:
        found = Provenance(study, lake, STAGES)
        return found.expected(features.STAGE, ""), found.expected(feature_logits.STAGE, "")

    before = versions(STUDY)
    after = versions(replace(STUDY, features=replace(STUDY.features, top=4)))
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_checks_see_what_is_wrong() -> None:
    tokens = feature_tokens(rows({0: [1, 5, 6], 1: [7, 8]}), 2, bos_id=1)
    found = pl.DataFrame(
        {
            "feature": [0, 1, 2],
            "density": [0.5, 0.25, 0.0],
            "max_activation": [2.0, 1.0, 0.0],
            "dead": [False, False, True],
            "histogram": [[1, 1], [1], []],
        }
    )
    examples = pl.DataFrame(
        {
            "feature": [0, 0, 1],
            "rank": [0, 1, 0],
            "doc_id": [1, 0, 1],
            "pos": [1, 2, 0],  # position 0 of document 1 is no BOS
            "activation": [2.0, 1.0, 1.0],
        }
    )

    def failed(features_: pl.DataFrame, examples_: pl.DataFrame, unfit: int = 0) -> set[str]:
        tally = features.Tally(tokens, bos_id=1)
        site = SiteFeatures("embed", features_, examples_, pl.DataFrame(), active=3, unfit=unfit)
        again = examples_["activation"] - examples_["activation"]
        tally.add(site, again, examples_["activation"])
        return {c.name for c in tally.checks({"embed": 3}, 1e-3) if not c.passed}

    assert failed(found, examples) == set()
    assert failed(found.head(2), examples) == {"every_feature"}
    assert failed(found, examples, unfit=1) == {"finite"}
    assert failed(found.with_columns(density=pl.lit(0.3)), examples) == {"densities_add_up"}
    uncounted = found.with_columns(histogram=pl.Series([[1], [1], list[int]()]))
    assert failed(uncounted, examples) == {"densities_add_up"}
    assert failed(found, examples.filter(pl.col("feature") == 0)) == {"strongest_shown"}
    of_dead = examples.with_columns(feature=pl.Series([0, 2, 1]), rank=pl.lit(0))
    assert failed(found, of_dead) == {"strongest_shown"}
    assert failed(found, examples.with_columns(doc_id=pl.lit(0))) == {"no_bos"}
    twice = pl.concat([examples, examples[1:2]])
    assert failed(found, twice) == {"ranks"}


def test_activations_that_differ_are_seen() -> None:
    tokens = feature_tokens(rows({0: [1, 5, 6]}), 2, bos_id=1)
    tally = features.Tally(tokens, bos_id=1)
    tally.differences = [1e-5] * 97 + [0.1] * 3
    (check,) = [c for c in tally.checks({}, 1e-3) if c.name == "activations_again"]
    assert not check.passed
    assert check.figures["agree"] == pytest.approx(0.97)


def test_the_sample_that_is_computed_again_spans_all() -> None:
    examples = pl.DataFrame({"feature": torch.arange(1000).numpy()})
    chosen = features.some(examples)["feature"]
    assert len(chosen) == features.RECOMPUTED
    assert chosen[-1] > 900
    assert len(features.some(examples.head(3))) == 3
    assert features.some(examples.clear()).is_empty()
