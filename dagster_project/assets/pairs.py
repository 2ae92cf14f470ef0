"""Pairs of a task, or of a cluster as a task, in a train and a test split."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import polars as pl

from dagster_project.assets.stage import Check, Scalar, Stage, StageResult, StageRun
from dagster_project.lake.store import Lake
from dagster_project.provenance import content_hash, digest
from dagster_project.studies.study import Study

NOT_READ = (  # of a task, by this stage
    "metric",
    "node_threshold",
    "edge_threshold",
    "edge_kinds",
    "total_threshold",
)


def task_files(study: Study, task: str) -> list[Path]:
    """The files outside the lake that a task is read from."""
    if task not in study.tasks:
        return []
    spec = study.tasks[task]
    return [study.path(name) for name in (spec.train, spec.test) if name]


def cluster_of(task: str) -> tuple[str, int]:
    """Clustering and cluster of a task `<clustering>-<cluster>`."""
    clustering, _, cluster = task.rpartition("-")
    return clustering, int(cluster)


def compute(run: StageRun) -> StageResult:
    frame, figures = _task(run) if run.partition in run.study.tasks else _cluster(run)
    with run.writer("pairs", kind="task") as writer:
        writer.append(frame)
    counts = {split: len(frame.filter(split=split)) for split in ("train", "test")}
    return StageResult({**counts, **figures}, _checks(run, frame, counts))


def _task(run: StageRun) -> tuple[pl.DataFrame, dict[str, Scalar]]:
    from dagster_project import resources
    from dagster_project.interp.pairs import task_pairs

    study, spec = run.study, run.study.tasks[run.partition]
    found = task_pairs(
        spec,
        resources.tokenizer(study),
        train=study.path(spec.train) if spec.train else None,
        test=study.path(spec.test) if spec.test else None,
        seed=study.node_effects.seed,
    )
    dropped: dict[str, Scalar] = {
        f"dropped from {split}: {reason}": f'{count} (the first: "{first}")'
        for split, reason, count, first in found.dropped.select(
            "split", "reason", "count", "first"
        ).iter_rows()
    }
    prompts = found.frame.select("split", "clean_prefix", "clean_answer")
    train, test = (prompts.filter(split=s).drop("split") for s in ("train", "test"))
    seen = len(test.join(train, on=train.columns, how="semi"))
    figures: dict[str, Scalar] = {
        "test examples that are also in train": seen,
        "examples whose answers have more tokens than the first": found.n_cut,
        "positions that a patch changes": _changed(found.frame),
    }
    return found.frame, {**figures, **dropped}


def _changed(frame: pl.DataFrame) -> str:
    """How many examples have how many positions where the prompts differ."""
    patched = frame.drop_nulls("patch_ids").select("example", "clean_ids", "patch_ids")
    differ = pl.col("clean_ids") != pl.col("patch_ids")
    counts = (
        patched.explode("clean_ids", "patch_ids")
        .group_by("example")
        .agg(differ.sum().alias("changed"))
        .group_by("changed")
        .len()
        .sort("changed")
    )
    return ", ".join(f"{changed} in {n}" for changed, n in counts.iter_rows()) or "none"


def _cluster(run: StageRun) -> tuple[pl.DataFrame, dict[str, Scalar]]:
    from dagster_project.interp.pairs import cluster_pairs

    clustering, cluster = cluster_of(run.partition)
    members = run.scan("cluster_members", clustering=clustering).filter(cluster=cluster)
    contexts = run.scan("contexts").join(members, on="context_id", how="semi")
    frame = cluster_pairs(
        contexts.sort("context_id").collect(),
        run.scan_shards("tokens"),
        run.study.cluster_tasks,
        run.study.contexts.n_ctx,
        run.study.node_effects.seed,
    )
    return frame, {"contexts in the cluster": members.select(pl.len()).collect().item()}


def _checks(run: StageRun, frame: pl.DataFrame, counts: dict[str, int]) -> list[Check]:
    study = run.study
    spec = study.tasks.get(run.partition)
    own = study.cluster_tasks if spec is None else spec
    held_out = bool(own.test_share or (spec and (spec.test or spec.embedded)))
    lengths = pl.col("clean_ids").list.len()
    unequal = frame.filter(lengths != pl.col("patch_ids").list.len())
    alike = frame.filter(pl.col("clean_answer_id") == pl.col("patch_answer_id"))
    empty = frame.filter(lengths == 0)
    faults = {"unequal": len(unequal), "same answer": len(alike), "empty": len(empty)}
    enough = bool(counts["train"]) and (bool(counts["test"]) or not held_out)
    return [Check("examples", enough, counts), Check("fit", not any(faults.values()), faults)]


def _reads(study: Study, task: str) -> object:
    seed = study.node_effects.seed
    if task in study.tasks:
        spec = asdict(study.tasks[task])
        return [seed, {k: v for k, v in spec.items() if k not in NOT_READ}]
    clusters, n_ctx = study.cluster_tasks, study.contexts.n_ctx
    return [seed, cluster_of(task), clusters.max_examples, clusters.test_share, n_ctx]


def _content(study: Study, _lake: Lake, task: str) -> str:
    """Of files, or of the generator. A missing file is for `compute` to report: the other tasks
    can go on."""
    if task in study.tasks and study.tasks[task].embedded:
        from dagster_project.embedded.corpus import VERSION

        return VERSION
    files = task_files(study, task)
    return digest([content_hash(file) if file.is_file() else "missing" for file in files])


def _needs(study: Study, task: str) -> tuple[str, ...]:
    return ("model",) if task in study.tasks else ("clusterings", "contexts", "tokens")


STAGE = Stage(
    name="pairs",
    doc="Clean and patched prompts of a task with their answers, tokenized, from its files, its "
    "templates or the generator; or examples without a patch: a task's own or the contexts of a "
    "cluster. What does not fit is dropped and counted; test words are unseen in training.",
    partition="task",
    tables=("pairs",),
    inputs=("model", "clusterings", "contexts", "tokens"),
    reads=_reads,
    compute=compute,
    checks={
        "examples": "there are train examples, and test examples where any are held out",
        "fit": "prompts of a pair have equally many tokens, at least one, and its answers differ",
    },
    needs=_needs,
    shards=lambda study: study.contexts.shards,
    content=_content,
    code_version="2",  # equal prompts are dropped
)
