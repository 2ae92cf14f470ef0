"""The pairs and faithfulness stages on a tiny model: from a task, or a cluster, to scores."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dagster_project import resources
from dagster_project.assets import circuits, faithfulness, node_effects, pairs
from dagster_project.assets.stage import Stage, StageResult, StageRun
from dagster_project.assets.task_rules import task_rules
from dagster_project.embedded import corpus as generator
from dagster_project.embedded import tasks as generated_tasks
from dagster_project.interp import neurons
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.text_pairs import PairError
from dagster_project.lake.store import Lake
from dagster_project.studies.study import Study, TaskSpec, read_study
from tests.interp.ablation_cases import random_dictionaries

STUDY = """
[model]
source = "./model"
[corpus]
files = ["*.jsonl"]
[contexts]
n_ctx = 4
[clusterings.effects]
n_clusters = 2
[cluster_tasks]
clustering = "effects"
test_share = 0.4
[tasks.verb]
templates = ["the {}", "then the {}"]
fills = [["girl", "boy"], ["dog", "cat"], ["dogs", "cats"]]
answers = [" was", " saw"]
[tasks.file]
train = "pairs.jsonl"
[tasks.alone]
train = "alone.jsonl"
metric = "logit"
edge_threshold = 0.0
[tasks.places]
train = "alone.jsonl"
aggregation = "none"
[node_effects]
method = "attrib"
bootstrap = 0
[faithfulness]
sizes = [0, 5, 20]
errors = ["default", "keep", "remove"]
random_seeds = 2
bootstrap = 20
"""
PAIR = {
    "clean_prefix": "the girl",
    "patch_prefix": "the boy",
    "clean_answer": " was",
    "patch_answer": " saw",
    "case": "girl",
}


PROMPTS = ("the girl", "the boy", "the dog", "the cat", "then the dog")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    (tmp_path / "tiny.toml").write_text(STUDY)
    (tmp_path / "pairs.jsonl").write_text(json.dumps(PAIR))
    alone = [{"clean_prefix": text, "clean_answer": " was"} for text in PROMPTS]
    (tmp_path / "alone.jsonl").write_text("\n".join(json.dumps(row) for row in alone))
    study = read_study(tmp_path / "tiny.toml")
    none_held_out = replace(study.tasks["file"], test_share=0.0)  # no TOML can ask for it
    return replace(study, tasks={**study.tasks, "file": none_held_out})


@pytest.fixture
def lake(tmp_path: Path, tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> Lake:
    dictionaries = random_dictionaries(tiny_llama)
    monkeypatch.setattr(resources, "model", lambda _: tiny_llama)
    monkeypatch.setattr(resources, "tokenizer", lambda _: tiny_llama.tokenizer)
    monkeypatch.setattr(resources, "dictionaries", lambda *_: dictionaries)
    return Lake(tmp_path / "lake")


def compute(stage: Stage, study: Study, lake: Lake, task: str) -> StageResult:
    """A stage's result; its checks are those it declares."""
    result = stage.compute(StageRun(study, lake, task, "v1", lambda _: None, ("00000",)))
    assert {check.name for check in result.checks} == set(stage.checks)
    return result


def read(lake: Lake, table: str, task: str) -> pl.DataFrame:
    return lake.scan(table, study="tiny", task=task).collect()


def write_corpus(lake: Lake) -> None:
    """Two documents, five contexts, four of them in cluster 1."""
    ids = [[1, 5, 6, 7, 8, 9, 10, 11], [1, 12, 13, 14, 15]]
    documents = [
        pl.DataFrame({"doc_id": doc, "pos": range(len(d)), "token_id": d, "token": ["x"] * len(d)})
        for doc, d in enumerate(ids)
    ]
    contexts = pl.DataFrame(
        {
            "context_id": range(5),
            "doc_id": [0, 0, 0, 1, 1],
            "pos": [3, 5, 7, 2, 4],
            "answer_id": [7, 9, 11, 13, 15],
            "answer": ["x"] * 5,
            "loss": [0.1] * 5,
            "context_loss": [0.1] * 5,
        }
    )
    members = pl.DataFrame({"context_id": range(5), "cluster": [1, 1, 0, 1, 1]})
    for table, frame, keys in (
        ("tokens", pl.concat(documents), {"shard": "00000"}),
        ("contexts", contexts, {}),
        ("cluster_members", members, {"clustering": "effects"}),
    ):
        with lake.writer(table, "v1", study="tiny", **keys) as writer:
            writer.append(frame)


def test_pairs_of_templates(study: Study, lake: Lake) -> None:
    result = compute(pairs.STAGE, study, lake, "verb")
    assert all(check.passed for check in result.checks)
    rows = read(lake, "pairs", "verb")
    assert (result.figures["train"], result.figures["test"]) == (
        len(rows.filter(split="train")),
        len(rows.filter(split="test")),
    )
    assert result.figures["test examples that are also in train"] == 0
    n_changed = {
        sum(a != b for a, b in zip(*ids, strict=True))
        for ids in rows.select("clean_ids", "patch_ids").iter_rows()
    }
    said = str(result.figures["positions that a patch changes"])
    assert {int(part.split(" in ")[0]) for part in said.split(", ")} == n_changed
    assert sum(int(part.split(" in ")[1]) for part in said.split(", ")) == rows.height


def test_a_task_without_test_examples(study: Study, lake: Lake) -> None:
    """Is right where none are held out, and cannot be evaluated."""
    result = compute(pairs.STAGE, study, lake, "file")
    assert all(check.passed for check in result.checks)
    with pytest.raises(ValueError, match="task file: expected held-out examples, found none"):
        compute(faithfulness.STAGE, study, lake, "file")
    spec = replace(study.tasks["file"], test="pairs.jsonl", max_examples=1)
    asked = replace(study, tasks={"file": spec})
    both = compute(pairs.STAGE, asked, lake, "file")
    assert both.figures["test examples that are also in train"] == 1


def test_pairs_of_a_cluster(study: Study, lake: Lake) -> None:
    write_corpus(lake)
    result = compute(pairs.STAGE, study, lake, "effects-1")
    assert all(check.passed for check in result.checks)
    rows = read(lake, "pairs", "effects-1").sort("context_id")
    assert rows["context_id"].to_list() == [0, 1, 3, 4]
    assert rows["clean_ids"].to_list() == [[1, 5, 6], [5, 6, 7, 8], [1, 12], [1, 12, 13, 14]]
    assert rows["clean_answer_id"].to_list() == [7, 9, 13, 15]
    assert rows["split"].sort().to_list() == ["test", "test", "train", "train"]


@pytest.mark.parametrize("task", ["alone", "places"])
def test_a_circuit_of_a_task_without_patches(study: Study, lake: Lake, task: str) -> None:
    for stage in (pairs.STAGE, node_effects.STAGE, circuits.STAGE):
        result = compute(stage, study, lake, task)
        assert all(check.passed for check in result.checks), result.checks
    prompts = {row["clean_prefix"] for row in read(lake, "pairs", task).to_dicts()}
    assert prompts == set(PROMPTS if task == "alone" else PROMPTS[:4])  # of one length
    effects = read(lake, "node_effects", task)
    assert effects["pos"].is_null().all() == (task == "alone")
    assert read(lake, "circuits", task)["n_edges"][0] > 0


def test_a_task_has_the_metric_it_asks_for(study: Study) -> None:
    """Not that of the clusters, whether they are asked for or not."""
    clusters = replace(study.cluster_tasks, metric="logit")
    study = replace(study, cluster_tasks=clusters)
    metrics = [task_rules(study, task).metric for task in ("alone", "places", "effects-1")]
    assert metrics == ["logit", "log_prob", "logit"]


def words(text: str) -> dict[str, list[int]]:
    """A tokenizer of words with their leading space, and of marks."""
    return {"input_ids": [zlib.crc32(word.encode()) for word in re.findall(r" ?\w+|\W", text)]}


@pytest.mark.parametrize("name", ["gender", "sum"])
def test_examples_of_the_generator(
    study: Study, lake: Lake, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = TaskSpec(embedded=name, max_examples=6, test_share=0.0)
    study = replace(study, tasks={"made": spec})
    monkeypatch.setattr(words, "bos_token_id", None, raising=False)
    monkeypatch.setattr(resources, "tokenizer", lambda _: words)
    result = compute(pairs.STAGE, study, lake, "made")
    assert all(check.passed for check in result.checks), result.checks
    rows = read(lake, "pairs", "made")
    assert rows["patch_prefix"].is_null().all() == (name in generated_tasks.CUTS)
    for split in ("train", "test"):
        made = generated_tasks.examples(name, split, 6, study.node_effects.seed)
        assert set(rows.filter(split=split)["clean_prefix"]) <= {e.clean_prefix for e in made}
    none = replace(spec, max_examples=0)
    empty = compute(pairs.STAGE, replace(study, tasks={"made": none}), lake, "made")
    assert {check.name: check.passed for check in empty.checks}["examples"] is False

    assert pairs.STAGE.content is not None
    before = pairs.STAGE.content(study, lake, "made")
    monkeypatch.setattr(generator, "VERSION", "another")
    assert pairs.STAGE.content(study, lake, "made") != before


@pytest.mark.parametrize("task", ["verb", "effects-1", "alone", "places"])
def test_faithfulness_of_a_task(study: Study, lake: Lake, task: str) -> None:
    write_corpus(lake)
    compute(pairs.STAGE, study, lake, task)
    compute(node_effects.STAGE, study, lake, task)
    result = compute(faithfulness.STAGE, study, lake, task)
    assert all(check.passed for check in result.checks), result.checks
    assert result.plot
    assert result.plot.startswith(b"\x89PNG")
    rows = read(lake, "faithfulness", task)
    # features and neurons: 3 sizes, all, the threshold, in 3 error modes; random: 2 seeds of 3
    # sizes and the threshold, in the first
    assert len(rows) == 3 * (5 + 5) + 2 * 4
    assert rows["split"].unique().to_list() == ["test"]
    assert rows.filter(selection="threshold")["value"].unique().to_list() == [0.1]


def test_neurons_are_computed_only_where_they_are_wanted(
    study: Study, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in (pairs.STAGE, node_effects.STAGE):
        compute(stage, study, lake, "verb")
    monkeypatch.setattr(neurons, "neuron_effects", lambda *_: pytest.fail("neurons are computed"))
    spec = replace(study.faithfulness, units=("feature",))
    compute(faithfulness.STAGE, replace(study, faithfulness=spec), lake, "verb")
    assert read(lake, "faithfulness", "verb")["unit"].unique().to_list() == ["feature"]


def test_a_wrong_full_set_fails_its_check(study: Study, lake: Lake) -> None:
    for stage in (pairs.STAGE, node_effects.STAGE, faithfulness.STAGE):
        compute(stage, study, lake, "verb")
    rows = read(lake, "faithfulness", "verb")
    whole = pl.col("value") == pl.col("value").max().over("unit", "selection")
    wrong = rows.with_columns(
        f_circuit=pl.when(whole).then(pl.col("f_model") + 1).otherwise("f_circuit"),
        low=pl.lit(float("nan"), pl.Float32),
    )
    outcome = {check.name: check.passed for check in faithfulness.checks(wrong)}
    assert outcome == {"full_set": False, "empty_set": True, "no_nan": False}


def test_versions_follow_what_is_read(study: Study, lake: Lake) -> None:
    files = [study.file.parent / "pairs.jsonl"]
    assert pairs.task_files(study, "file") == files
    assert pairs.task_files(study, "verb") == []
    assert pairs.STAGE.content is not None
    before = pairs.STAGE.content(study, lake, "file")
    files[0].write_text("")
    assert pairs.STAGE.content(study, lake, "file") != before
    files[0].unlink()
    assert pairs.STAGE.content(study, lake, "file") != before
    with pytest.raises(PairError, match=r"pairs\.jsonl: expected pairs"):
        compute(pairs.STAGE, study, lake, "file")
    thresholds = replace(study.tasks["verb"], node_threshold=0.5, metric="logit")
    other = replace(study, tasks={**study.tasks, "verb": thresholds})
    assert pairs.STAGE.reads(other, "verb") == pairs.STAGE.reads(study, "verb")
    assert faithfulness.STAGE.reads(other, "verb") != faithfulness.STAGE.reads(study, "verb")
    assert pairs.STAGE.reads(study, "effects-1") != pairs.STAGE.reads(study, "effects-2")
    assert pairs.STAGE.needs is not None
    assert "clusterings" in pairs.STAGE.needs(study, "effects-1")
