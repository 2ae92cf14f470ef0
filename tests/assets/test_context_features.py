"""The stages context_features and clusterings on a small lake."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

from dagster_project import resources
from dagster_project.assets import clusterings, context_features, pairs
from dagster_project.assets.flow import STAGES
from dagster_project.assets.stage import Stage, StageResult, StageRun
from dagster_project.interp import clustering
from dagster_project.interp import clusterings as library
from dagster_project.interp.context_features import EFFECT
from dagster_project.interp.dictionary import Dictionary, IdentityDictionary, SparseDictionary
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import site_names
from dagster_project.lake.schemas import TABLES
from dagster_project.lake.store import Lake
from dagster_project.provenance import Provenance
from dagster_project.studies.study import (
    ClusteringSpec,
    ClusterTasksSpec,
    ContextFeaturesSpec,
    ContextsSpec,
    CorpusSpec,
    DictionariesSpec,
    ModelSpec,
    Study,
)
from tests.lake.frames import Row
from tests.lake.frames import frame as table_frame

STUDY = Study(
    name="small",
    file=Path("small.toml"),
    model=ModelSpec("tiny"),
    corpus=CorpusSpec(files=("*.txt",)),
    contexts=ContextsSpec(n_ctx=6),
    clusterings={"three": ClusteringSpec(n_clusters=3)},
)
LENGTH, PER_SHARD = 12, 15


def dictionary(seed: int) -> SparseDictionary:
    draw = torch.Generator().manual_seed(seed)
    encoder, decoder = torch.randn(2, 32, 16, generator=draw)
    return SparseDictionary(encoder, torch.zeros(32), decoder / 8, torch.zeros(16), "topk", k=4)


@pytest.fixture(autouse=True)
def _no_model_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "model_content", lambda _: "tiny")


@pytest.fixture
def lake(tmp_path: Path, tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Two shards of documents with a context each, and an empty one."""
    made: dict[str, Dictionary] = {
        site: dictionary(i) for i, site in enumerate(site_names(tiny_llama.n_layers))
    }
    made["attn_1"] = IdentityDictionary(16)
    monkeypatch.setattr(resources, "model", lambda _: tiny_llama)
    monkeypatch.setattr(resources, "dictionaries", lambda *_: made)
    lake = Lake(tmp_path / "lake")
    rng = np.random.default_rng(0)
    chosen = []
    for shard in range(2):
        documents = shard * 1_000_000 + np.arange(PER_SHARD)
        ids = rng.integers(3, 96, (PER_SHARD, LENGTH))
        ids[:, 0] = 1  # BOS
        tokens = pl.DataFrame(
            {
                "doc_id": documents.repeat(LENGTH),
                "pos": np.tile(np.arange(LENGTH), PER_SHARD),
                "token_id": ids.ravel(),
            }
        ).with_columns(token=pl.lit("x"))
        put(lake, "tokens", tokens, shard=f"{shard:05d}")
        pos = rng.integers(2, LENGTH, PER_SHARD)
        pos[0] = 1  # a context that is BOS alone
        chosen.append(
            pl.DataFrame(
                {
                    "context_id": documents * 65_536 + pos,
                    "doc_id": documents,
                    "pos": pos,
                    "answer_id": ids[np.arange(PER_SHARD), pos],
                }
            )
        )
    contexts = pl.concat(chosen).with_columns(
        answer=pl.lit("x"), loss=0.1, context_loss=0.2, skill=pl.lit(None, pl.String)
    )
    put(lake, "contexts", contexts)
    return lake


def put(lake: Lake, table: str, frame: pl.DataFrame, **keys: str) -> None:
    with lake.writer(table, "v1", study="small", **keys) as writer:
        writer.append(frame)


def run(stage: Stage, lake: Lake, partition: str, study: Study = STUDY) -> StageResult:
    limit = stage.shards(study) or None
    shards = tuple(lake.partitions("tokens", "small")[:limit])
    result = stage.compute(StageRun(study, lake, partition, "v2", lambda _: None, shards))
    assert {c.name for c in result.checks} == set(stage.checks)
    assert all(c.passed for c in result.checks), result.checks
    assert result.plot is not None
    assert result.plot.startswith(b"\x89PNG")
    return result


@pytest.mark.parametrize("aggregation", ["sum", "last"])
def test_the_stages_fill_their_tables(lake: Lake, aggregation: str) -> None:
    spec = ContextFeaturesSpec(aggregation=aggregation, last_k=2)  # type: ignore[arg-type]
    study = replace(STUDY, context_features=spec)
    for shard in ("00000", "00001"):
        figures = run(context_features.STAGE, lake, shard, study).figures
        assert (figures["contexts"], figures["contexts_without_nodes"]) == (PER_SHARD, 1)
    rows = lake.scan("context_features", study="small").collect()
    assert rows.select("context_id", "pos", "site", "feature").is_duplicated().sum() == 0
    assert rows.select(EFFECT)["effect"].null_count() == 0
    size = lake.size("context_features", study="small", shard="00001")
    assert figures["bytes_per_context"] == size / PER_SHARD
    assert rows["context_id"].n_unique() == 2 * (PER_SHARD - 1)
    figures = run(clusterings.STAGE, lake, "three", study).figures
    assert (figures["n_contexts"], figures["n_zero"]) == (2 * PER_SHARD, 2)
    keys = {"study": "small", "clustering": "three"}
    assert [lake.version(t, **keys) for t in clusterings.STAGE.tables] == ["v2"] * 4
    (row,) = lake.scan("clusterings", **keys).collect().to_dicts()
    assert (row["unit_norm_per_site"], row["errors"], row["svd_cut"]) == (True, False, 0.0)


def test_the_options_of_the_vectors_are_told(lake: Lake) -> None:
    for shard in ("00000", "00001"):
        run(context_features.STAGE, lake, shard)
    spec = ClusteringSpec(n_clusters=3, unit_norm_per_site=False, errors=True, svd_cut=0.75)
    run(clusterings.STAGE, lake, "three", replace(STUDY, clusterings={"three": spec}))
    (row,) = lake.scan("clusterings", study="small", clustering="three").collect().to_dicts()
    assert (row["unit_norm_per_site"], row["errors"], row["svd_cut"]) == (False, True, 0.75)


def test_clusterings_of_a_list_share_an_embedding_and_are_as_without(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second reads what the first has left; torn or gone, it is made again, all the same."""
    for shard in ("00000", "00001"):
        run(context_features.STAGE, lake, shard)
    sizes = {f"a-{k}": ClusteringSpec(n_clusters=k, embedded=5) for k in (3, 5)}
    study = replace(STUDY, clusterings=sizes | {"own": ClusteringSpec(n_clusters=3)})
    made: list[int] = []
    embedded = clustering.embedded

    def counted(X: Any, spec: ClusteringSpec, device: str) -> Any:
        made.append(spec.n_clusters)
        return embedded(X, spec, device)

    monkeypatch.setattr(library, "embedded", counted)
    folder = lake.folder("_scratch", study="small") / "shared-clusterings"

    def rows(name: str) -> list[pl.DataFrame]:
        run(clusterings.STAGE, lake, name, study)
        keys = {"study": "small", "clustering": name}
        return [
            lake.scan(table, **keys).drop("seconds", strict=False).collect()
            for table in clusterings.STAGE.tables
        ]

    run(clusterings.STAGE, lake, "own", study)
    assert not folder.exists()
    first, second = rows("a-3"), rows("a-5")
    assert made == [3, 3]  # of `own` and of `a-3`
    (needed_by,) = folder.glob("*/needed_by.json")
    assert json.loads(needed_by.read_text()) == [["clusterings", "a-3"], ["clusterings", "a-5"]]
    (file,) = folder.glob("*/000000.arrow")
    file.write_bytes(file.read_bytes()[:200])
    assert all(a.equals(b) for a, b in zip(second, rows("a-5"), strict=True))
    assert made == [3, 3, 5]
    assert all(a.equals(b) for a, b in zip(first, rows("a-3"), strict=True))
    file.unlink()
    assert all(a.equals(b) for a, b in zip(first, rows("a-3"), strict=True))
    assert made == [3, 3, 5, 3]
    (kept,) = folder.glob("*")
    other = replace(study, clusterings={"b": ClusteringSpec(n_clusters=3, embedded=6)})
    run(clusterings.STAGE, lake, "b", other)
    assert not kept.exists()  # one is kept at a time


def test_clusterings_tell_how_stable_they_are_and_how_clusters_lie(lake: Lake) -> None:
    for shard in ("00000", "00001"):
        run(context_features.STAGE, lake, shard)
    spec = ClusteringSpec(n_clusters=3, assign="hdbscan", min_cluster_size=4)
    study = replace(STUDY, clusterings={**STUDY.clusterings, "dense": spec})
    for name in study.clusterings:
        run(clusterings.STAGE, lake, name, study)
    keys = {"study": "small", "clustering": "three"}
    (row,) = lake.scan("clusterings", **keys).collect().to_dicts()
    assert (row["assign"], row["n_left_out"]) == ("kmeans", 0)
    assert -1 <= row["ari_halves"] <= 1
    assert 0 < row["ari_seeds"] <= 1
    assert (row["clusters_asked"], row["min_cluster_size"]) == (3, None)
    assert 0 <= row["residual"] < 1e-3
    clusters = lake.scan("clusters", **keys).collect().sort("cluster")
    assert clusters["leaf"][0] is None  # cluster −1
    assert sorted(clusters["leaf"][1:]) == [0, 1, 2]
    (row,) = lake.scan("clusterings", study="small", clustering="dense").collect().to_dicts()
    assert (row["assign"], row["ari_seeds"]) == ("hdbscan", None)
    assert (row["clusters_asked"], row["min_cluster_size"]) == (3, 4)
    members = lake.scan("cluster_members", study="small", clustering="dense").collect()
    out = members.filter(pl.col("cluster") == -2)
    assert row["n_left_out"] == len(out) == 28 - (members["cluster"] >= 0).sum() > 0
    assert out["x"].is_finite().all()


def test_clusterings_of_both_halves_beside_the_last_position(lake: Lake) -> None:
    """Rows of position −1 beside the sums; halves that no seed of a clustering moves."""
    spec = ContextFeaturesSpec(also_last=True)
    parts = {
        "one": ClusteringSpec(n_clusters=3, part="choose", seed=1),
        "two": ClusteringSpec(n_clusters=3, part="report", seed=2),
    }
    study = replace(STUDY, context_features=spec, clusterings=parts)
    label(lake)
    for shard in ("00000", "00001"):
        figures = run(context_features.STAGE, lake, shard, study).figures
        plain = run(context_features.STAGE, lake, shard).figures
        sizes = {"bytes_per_row": 0.0, "bytes_per_context": 0.0}
        # The last position is in the sums: it is stored, but not counted again.
        assert {**figures, **sizes} == {**plain, **sizes}
        run(context_features.STAGE, lake, shard, study)
    rows = lake.scan("context_features", study="small").collect()
    assert set(rows["pos"]) == {None, -1}
    assert rows.select("context_id", "pos", "site", "feature").is_duplicated().sum() == 0
    for name, made in parts.items():
        figures = run(clusterings.STAGE, lake, name, study).figures
        assert (figures["n_contexts"], figures["sample"]) == (PER_SHARD, made.part)
        assert isinstance(figures["last_ari"], float)
    members = lake.scan("cluster_members", study="small").collect()
    assert members["context_id"].n_unique() == members.height == 2 * PER_SHARD
    table = lake.scan("clusterings", study="small").collect()
    assert table["part"].to_list() == ["choose", "report"]
    named = lake.scan("clusters", study="small").collect()["top_skill"]
    assert set(named) <= {"sum/digit", "sum/carry"}


def label(lake: Lake) -> None:
    """Rules of the contexts: two slots of one skill."""
    contexts = lake.scan("contexts", study="small").drop("study").collect()
    slots = pl.Series([("digit", "carry")[i % 2] for i in range(len(contexts))])
    put(lake, "contexts", contexts.with_columns(skill=pl.lit("sum"), slot=slots))


def test_only_the_shards_that_contexts_are_taken_from_are_read(lake: Lake) -> None:
    """A further shard leaves what is made of the first ones fresh, and out of the result."""
    first, neurons = replace(STUDY.contexts, shards=1), DictionariesSpec(source="identity")
    study = replace(STUDY, contexts=first, dictionaries=neurons)
    put(lake, "shards", manifest(1))
    before = versions(study, lake)
    put(lake, "shards", manifest(2))
    assert versions(study, lake) == before
    assert versions(replace(STUDY, dictionaries=neurons), lake) != before
    for shard in ("00000", "00001"):
        run(context_features.STAGE, lake, shard)
    chosen = lake.scan("contexts", study="small").filter(pl.col("doc_id") < 1_000_000).collect()
    put(lake, "contexts", chosen.drop("study"))
    assert run(clusterings.STAGE, lake, "three", study).figures["n_contexts"] == PER_SHARD


def versions(study: Study, lake: Lake) -> list[str]:
    """Expected versions of a clustering and of a cluster's pairs."""
    found = Provenance(study, lake, STAGES)
    return [
        found.expected(clusterings.STAGE, "three"),
        found.expected(pairs.STAGE, "three-0"),
    ]


def manifest(n: int) -> pl.DataFrame:
    """The first n shards, as registered."""
    numbers: list[Row] = [
        {"shard": f"{i:05d}", "ordinal": i, "content_hash": str(i)} for i in range(n)
    ]
    return table_frame("shards", numbers)


def test_cluster_tasks_are_by_size_then_by_number(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever order the rows come."""
    sizes = {-1: 50, **{cluster: 2 if cluster % 2 else 7 for cluster in range(40)}}
    order = np.random.default_rng(0).permutation(list(sizes)).tolist()
    rows = table_frame("clusters", [{"cluster": c, "size": sizes[c]} for c in order])
    monkeypatch.setattr(Lake, "scan", lambda *_, **__: rows.lazy())
    study = replace(STUDY, cluster_tasks=ClusterTasksSpec(clustering="three"))
    expected = [*range(0, 40, 2), *range(1, 40, 2)]
    found = Provenance(study, lake, STAGES)
    assert found.cluster_tasks() == [f"three-{cluster}" for cluster in expected]
    assert found.cluster_tasks(2) == ["three-0", "three-2"]


def test_a_file_is_sorted_by_site_and_feature(lake: Lake) -> None:
    run(context_features.STAGE, lake, "00000")
    rows = pl.read_parquet(lake.file("context_features", study="small", shard="00000"))
    assert rows.equals(rows.sort("site", "feature", "context_id", "pos"))
    metadata = pq.read_metadata(lake.file("context_features", study="small", shard="00000"))
    assert metadata.num_rows == rows.height


def test_a_shard_without_contexts(lake: Lake) -> None:
    put(lake, "tokens", pl.DataFrame(schema=TABLES["tokens"].file_schema), shard="00002")
    assert run(context_features.STAGE, lake, "00002").figures["contexts"] == 0
    assert lake.rows("context_features", study="small", shard="00002") == 0


def test_checks_see_what_is_wrong() -> None:
    tally = context_features.Tally({"embed": dictionary(0)}, ContextFeaturesSpec())
    wrong = pl.DataFrame(
        {
            "context_id": [1, 1, 2, 3],
            "site": "embed",
            "feature": [0, 32, 1, -1],
            "activation": [1.0, 1.0, -1.0, 1.0],
            "gradient": [float("nan"), 0.0, 0.0, None],
            "effect": [float("nan"), 0.0, 0.0, 1.0],
        }
    )
    tally.add(wrong)
    assert not any(check.passed for check in tally.checks(expected={1, 2, 4}))
