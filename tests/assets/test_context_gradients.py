"""The stage context_gradients on the tiny study, and clusterings by what it makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dagster_project.assets import clusterings, context_gradients
from dagster_project.assets.context_gradients import Tally, projection_check
from dagster_project.assets.flow import STAGES, stages_of
from dagster_project.assets.materialize import materialize
from dagster_project.assets.stage import StageResult
from dagster_project.interp.context_features import Window
from dagster_project.interp.context_gradients import Cosines
from dagster_project.lake.store import Lake
from dagster_project.provenance import Provenance
from dagster_project.studies.study import ContextGradientsSpec, Study, read_study
from tests.conftest import write_tiny_study

SHARDS = [f"{i:05d}" for i in range(4)]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_tiny_study(tmp_path_factory.mktemp("tiny"), dictionaries="identity"))


@pytest.fixture(scope="module")
def lake(study: Study) -> Lake:
    """The tiny study up to its contexts and their gradients."""
    lake = Lake(study.file.parent / "lake")
    for name in ("corpus", "model", "documents", "tokens", "losses", "contexts"):
        for partition in SHARDS if STAGES[name].partition == "shard" else [""]:
            make(name, study, lake, partition)
    return lake


@pytest.fixture(scope="module")
def results(study: Study, lake: Lake) -> list[StageResult]:
    return [make("context_gradients", study, lake, shard) for shard in SHARDS]


def make(name: str, study: Study, lake: Lake, partition: str = "") -> StageResult:
    result = materialize(STAGES[name], study, lake, partition, lambda _: None).result
    assert all(check.passed for check in result.checks), result.checks
    return result


def test_every_context_has_a_vector_in_its_shard(
    study: Study, lake: Lake, results: list[StageResult]
) -> None:
    rows = lake.scan("context_gradients", study="tiny").collect()
    contexts = lake.scan("contexts", study="tiny").collect()
    assert rows["context_id"].sort().to_list() == contexts["context_id"].sort().to_list()
    assert rows.height == 60
    for shard in SHARDS:
        part = pl.read_parquet(lake.file("context_gradients", study="tiny", shard=shard))
        assert part["context_id"].is_sorted()
    (width,) = rows["vector"].list.len().unique()
    assert width == 5308  # of 5,376 parameters: 2 (16·16·2 + 16·8·2 + 3·16·40)
    lengths = np.linalg.norm(np.stack([v.to_numpy() for v in rows["vector"]]), axis=1)
    assert np.median(lengths / rows["norm"].to_numpy()) == pytest.approx(1, abs=0.05)


def test_what_the_stage_tells(results: list[StageResult]) -> None:
    for result in results:
        n = result.figures["contexts"]
        assert isinstance(n, int)
        assert result.figures["pairs_compared"] == n * (n - 1) // 2
        share, largest = result.figures["within_error"], result.figures["largest_error"]
        assert isinstance(share, float)
        assert isinstance(largest, float)
        assert share >= 0.99
        assert 0 < largest < 0.1
        assert result.figures["parameters"] == 5376
        assert {check.name for check in result.checks} == set(context_gradients.STAGE.checks)
        assert result.plot is not None


def test_a_clustering_by_gradients(study: Study, lake: Lake, results: list[StageResult]) -> None:
    make("dictionaries", study, lake)
    for shard in SHARDS:
        make("context_features", study, lake, shard)
    make("clusterings", study, lake, "gradients-3")
    keys = {"study": "tiny", "clustering": "gradients-3"}
    (row,) = lake.scan("clusterings", **keys).collect().to_dicts()
    assert row["representation"] == "gradients"
    assert row["unit_norm_per_site"] is row["errors"] is None
    assert (row["n_clusters"], row["n_contexts"], row["n_zero"]) == (3, 60, 0)
    assert row["silhouette"] > 0.02
    assert lake.rows("distinct_features", **keys) > 0


def test_gradients_are_there_where_a_clustering_is_by_them(study: Study, lake: Lake) -> None:
    assert context_gradients.STAGE in stages_of(study)
    effects = {"effects-3": study.clusterings["effects-3"]}
    without = replace(study, clusterings=effects)
    assert context_gradients.STAGE not in stages_of(without)


def test_only_clusterings_by_gradients_depend_on_them(study: Study, lake: Lake) -> None:
    other = replace(study, context_gradients=ContextGradientsSpec(error=0.1))
    for name, same in (("effects-3", True), ("gradients-3", False)):
        versions = {
            Provenance(s, lake, STAGES).expected(clusterings.STAGE, name) for s in (study, other)
        }
        assert (len(versions) == 1) == same


def test_a_larger_error_takes_fewer_numbers(study: Study, lake: Lake, tmp_path: Path) -> None:
    coarse = replace(study, context_gradients=ContextGradientsSpec(error=0.2))
    figures = make("context_gradients", coarse, lake, SHARDS[0]).figures
    assert figures["numbers_per_context"] == 332  # 2 (2.5758 / 0.2)², rounded up
    make("context_gradients", study, lake, SHARDS[0])


def test_what_is_unfit_fails_its_check() -> None:
    windows = [Window(3, [1], 2), Window(5, [1], 2)]
    good = pl.DataFrame(
        {"context_id": [3, 5], "vector": [[1.0, 0.0], [0.0, 0.0]], "norm": [1.0, 0.0]}
    )

    def failed(frame: pl.DataFrame) -> list[str]:
        tally = Tally()
        tally.add(frame)
        return [check.name for check in tally.checks(windows) if not check.passed]

    assert failed(good) == []
    nan = float("nan")
    assert failed(good.with_columns(norm=pl.lit(nan))) == ["finite"]
    vectors = pl.Series("vector", [[nan, 0.0], [0.0, 0.0]])
    assert failed(good.with_columns(vectors)) == ["finite"]
    assert failed(good[:1]) == ["every_context"]
    assert failed(good[::-1]) == ["every_context"]


def test_cosines_that_are_off_fail_the_projection() -> None:
    exact = np.zeros(200, np.float32)
    one, three = exact.copy(), exact.copy()
    one[0], three[:3] = 0.06, 0.06
    assert projection_check(Cosines(exact, one), 0.05).passed  # 99.5 %
    assert not projection_check(Cosines(exact, three), 0.05).passed  # 98.5 %
    assert projection_check(Cosines(exact[:0], exact[:0]), 0.05).passed
