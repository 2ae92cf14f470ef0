"""The node_effects and circuits stages on a tiny model: from pairs to a circuit in the lake."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dagster_project import resources
from dagster_project.assets import circuits, node_effects
from dagster_project.assets.stage import Stage, StageResult, StageRun
from dagster_project.assets.task_rules import task_rules
from dagster_project.interp.model import LanguageModel
from dagster_project.lake.store import Lake
from dagster_project.studies.study import Study, read_study
from tests.interp import spliced
from tests.interp.spliced import CLEAN, PATCH

STUDY = """
[model]
source = "./model"

[corpus]
files = ["*.jsonl"]

[clusterings.effects]
n_clusters = 2

[cluster_tasks]
clustering = "effects"
node_threshold = 0.02
edge_threshold = 0.001

[tasks.number]
train = "number.jsonl"
node_threshold = 0.1

[tasks.placed]
train = "number.jsonl"
aggregation = "none"
edge_kinds = ["direct", "total"]
total_threshold = 0.4

[node_effects]
bootstrap = 20

[circuits]
node_threshold = 0.05
edge_threshold = 0.01
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    file = tmp_path / "tiny.toml"
    file.write_text(STUDY)
    return read_study(file)


@pytest.fixture
def lake(
    tmp_path: Path, tiny_neox_sequential: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> Lake:
    model = spliced.in_float64(tiny_neox_sequential)
    dictionaries = spliced.random_dictionaries(model)
    monkeypatch.setattr(resources, "model", lambda _: model)
    monkeypatch.setattr(resources, "dictionaries", lambda *_: dictionaries)
    return Lake(tmp_path / "lake")


def write_pairs(lake: Lake, task: str, clean: list[list[int]], patch: list[list[int]]) -> None:
    """A train split in reverse order, and a test split that must not be read."""
    n = len(clean)
    rows = pl.DataFrame(
        {
            "split": ["train"] * n + ["test"],
            "example": [*reversed(range(n)), 0],
            "clean_prefix": ["c"] * (n + 1),
            "clean_answer": ["a"] * (n + 1),
            "clean_ids": [*reversed(clean), [3]],
            "patch_ids": [*reversed(patch), [4]] if patch else [None] * (n + 1),
            "clean_answer_id": [*reversed(range(11, 11 + n)), 1],
            "patch_answer_id": [*reversed(range(21, 21 + n)), 2] if patch else [None] * (n + 1),
        }
    ).cast(
        {
            "example": pl.UInt32,
            "clean_ids": pl.List(pl.UInt32),
            "patch_ids": pl.List(pl.UInt32),
            "clean_answer_id": pl.UInt32,
            "patch_answer_id": pl.UInt32,
        }
    )
    with lake.writer("pairs", "v", study="tiny", task=task) as writer:
        writer.append(rows)


def materialize(stage: Stage, study: Study, lake: Lake, task: str) -> StageResult:
    result = stage.compute(StageRun(study, lake, task, "v1", lambda _: None))
    assert {check.name for check in result.checks} == set(stage.checks)
    assert all(check.passed for check in result.checks)
    return result


@pytest.mark.parametrize(
    ("task", "paired"), [("number", True), ("placed", True), ("effects-1", False)]
)
def test_a_circuit_from_pairs(study: Study, lake: Lake, task: str, paired: bool) -> None:
    write_pairs(lake, task, CLEAN, PATCH if paired else [])
    found = materialize(node_effects.STAGE, study, lake, task)
    assert found.plot is not None
    assert found.plot.startswith(b"\x89PNG")
    materialize(circuits.STAGE, study, lake, task)
    rules, keys = task_rules(study, task), {"study": "tiny", "task": task}
    effects = lake.scan("node_effects", **keys).collect()
    direct = pl.col("circuit") == f"{task}.ig.{rules.aggregation}"
    whole, nodes, edges = (
        lake.scan(t, **keys).filter(direct).collect()
        for t in ("circuits", "circuit_nodes", "circuit_edges")
    )
    (circuit,) = whole.to_dicts()
    kept = effects.filter(pl.col("effect").abs() > rules.node_threshold)
    ends = ["site", "pos", "feature", "effect", "patch_only"]
    assert nodes.select(ends).sort(ends).equals(kept.select(ends).sort(ends))
    assert circuit["edge_kind"] == "direct"
    assert circuit["n_nodes"] == len(nodes) > 0
    assert circuit["n_edges"] == len(edges) > 0
    assert circuit["n_examples"] == 2
    assert (circuit["total_effect"] is None) is not paired
    assert nodes["pos"].null_count() == (0 if task == "placed" else len(nodes))
    assert (edges["weight"].abs() > rules.edge_threshold).all()
    assert edges["low"].null_count() == 0
    into = edges.filter(pl.col("down_site") == "y").join(
        nodes, left_on=["up_site", "up_pos", "up_feature"], right_on=ends[:3], nulls_equal=True
    )
    assert len(into) > 0
    assert (into["weight"] - into["effect"]).abs().max() == pytest.approx(0.0, abs=1e-6)


def test_the_total_graph_beside_the_circuit(study: Study, lake: Lake) -> None:
    write_pairs(lake, "placed", CLEAN, PATCH)
    materialize(node_effects.STAGE, study, lake, "placed")
    found = materialize(circuits.STAGE, study, lake, "placed")
    keys = {"study": "tiny", "task": "placed"}
    rows = {row["edge_kind"]: row for row in lake.scan("circuits", **keys).collect().to_dicts()}
    total = rows["total"]
    assert total["circuit"] == "placed.ig.none.total"
    assert found.figures["total n_nodes"] == total["n_nodes"] > rows["direct"]["n_nodes"]
    assert (total["node_threshold"], total["edge_threshold"]) == (0.05, 0.4)
    nodes, edges = (
        lake.scan(t, **keys).filter(circuit=total["circuit"]).collect()
        for t in ("circuit_nodes", "circuit_edges")
    )
    assert (len(nodes), len(edges)) == (total["n_nodes"], total["n_edges"])
    into = edges.filter(down_site="y")
    above = nodes.filter(pl.col("effect").abs() > 0.05)
    assert sorted(into["weight"]) == sorted(above["effect"])
    assert (edges.filter(pl.col("down_site") != "y")["weight"].abs() > 0.4).all()
    pairs = set(edges.select("up_site", "down_site").iter_rows())
    assert {("embed", "y"), ("embed", "resid_1")} <= pairs  # they skip layers


def test_gradients_and_site_effects_are_kept(study: Study, lake: Lake) -> None:
    write_pairs(lake, "number", CLEAN, PATCH)
    materialize(node_effects.STAGE, study, lake, "number")
    gradients = lake.scan("mean_gradients", study="tiny", task="number").collect()
    assert gradients.height == 7 * (4 + 3)  # sites × tokens from the first one changed
    sites = lake.scan("site_effects", study="tiny", task="number").collect()
    assert sites["n_examples"].to_list() == [2] * 7
    residual = sites["sum_of_effects"] - sites["true_change"] - sites["residual"]
    assert residual.abs().max() == pytest.approx(0.0, abs=1e-6)


def test_per_position_effects_need_equal_lengths(study: Study, lake: Lake) -> None:
    write_pairs(lake, "placed", [[5, 6, 7], [5, 6]], [[5, 1, 7], [5, 2]])
    with pytest.raises(ValueError, match="equal length"):
        node_effects.STAGE.compute(StageRun(study, lake, "placed", "v", lambda _: None))
    assert lake.version("node_effects", study="tiny", task="placed") is None


def test_thresholds_of_a_task_come_before_the_studys(study: Study) -> None:
    assert task_rules(study, "number").node_threshold == 0.1
    assert task_rules(study, "number").edge_threshold == 0.01
    assert task_rules(study, "placed").node_threshold == 0.05
    assert task_rules(study, "effects-0") == ("sum", "log_prob", 0.02, 0.001, ("direct",), 0.02)
    assert task_rules(study, "placed").edge_kinds == ("direct", "total")
    assert task_rules(study, "placed").total_threshold == 0.4
    assert task_rules(study, "number").total_threshold == 0.1  # that of its nodes


def test_a_threshold_makes_stale_only_what_reads_it(study: Study) -> None:
    for stage in (node_effects.STAGE, circuits.STAGE):
        number, placed = (stage.reads(study, task) for task in ("number", "placed"))
        assert number != placed
