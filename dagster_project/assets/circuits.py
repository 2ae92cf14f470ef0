"""The circuits stage: a task's nodes and edges above the thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from dagster_project.assets.node_effects import mean_gradients, train_pairs
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.assets.task_rules import TaskRules, task_rules
from dagster_project.studies.study import Study

if TYPE_CHECKING:
    from dagster_project.interp.budget import Budget


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources
    from dagster_project.interp.circuit_edges import Rules, circuit_edges, scene
    from dagster_project.interp.circuits import select_nodes, total_effect
    from dagster_project.interp.examples import examples_from

    study, rules, spec = run.study, task_rules(run.study, run.partition), run.study.node_effects
    model, dictionaries = resources.model(study), resources.dictionaries(study, run.lake)
    batch, pairs = resources.batch(study, len(dictionaries)), train_pairs(run)
    examples = examples_from(pairs, model.device, rules.metric)
    bos_id = model.tokenizer.bos_token_id if spec.skip_bos else None
    gradients = mean_gradients(run, pairs, examples)
    effects = run.scan("node_effects", task=run.partition).filter(
        pl.col("method") == spec.method, pl.col("aggregation") == rules.aggregation
    )
    nodes = select_nodes(effects.collect(), rules.node_threshold)
    circuit = pl.lit(f"{run.partition}.{spec.method}.{rules.aggregation}").alias("circuit")
    with (
        run.writer("circuits", kind="task") as circuits,
        run.writer("circuit_nodes", kind="task") as node_writer,
        run.writer("circuit_edges", kind="task") as edges,
    ):
        node_writer.append(nodes.select(circuit, "site", "pos", "feature", "effect", "patch_only"))
        examined = scene(model, dictionaries, examples, gradients, batch.tokens, bos_id)
        limits = Rules(rules.edge_threshold, spec.bootstrap, spec.seed)
        for frame in circuit_edges(examined, nodes, limits):
            edges.append(frame.with_columns(circuit))
        change = total_effect(model, examples, batch.tokens)
        counts = {"n_examples": len(examples), "n_edges": edges.rows, "total_effect": change}
        row = _row(nodes, rules, counts, list(dictionaries))
        circuits.append(row.select(circuit, pl.lit(spec.method).alias("method"), pl.all()))
    return _report(run, list(dictionaries), batch)


def _row(
    nodes: pl.DataFrame, rules: TaskRules, known: Mapping[str, float | None], sites: Sequence[str]
) -> pl.DataFrame:
    """The circuit as a whole."""
    from dagster_project.interp.circuits import shares

    counts = {
        "aggregation": rules.aggregation,
        "node_threshold": rules.node_threshold,
        "edge_threshold": rules.edge_threshold,
        "edge_kind": "direct",
        "n_nodes": len(nodes),
        "n_error_nodes": nodes.filter(pl.col("feature") < 0).height,
        **known,
    }
    real = ("total_effect", "feature_share", "interestingness", "writer_ratio")
    frame = pl.DataFrame([{**counts, **shares(nodes, sites)._asdict()}])
    return frame.with_columns(pl.col(real).cast(pl.Float32))


def _report(run: StageRun, sites: list[str], batch: Budget) -> StageResult:
    from dagster_project.interp.circuits import backward_edges

    nodes, edges = (
        run.written(table, kind="task").collect() for table in ("circuit_nodes", "circuit_edges")
    )
    backward = len(backward_edges(edges, sites))
    loose = len(_loose(edges, nodes))
    bad = edges.filter(~pl.col("weight").is_finite()).height
    (row,) = run.written("circuits", kind="task").collect().to_dicts()
    figures = ("n_nodes", "n_error_nodes", "n_edges", "total_effect", "feature_share")
    return StageResult(
        figures={**{name: row[name] for name in figures}, **batch.figures},
        checks=[
            Check("acyclic", backward == 0, {"backward_edges": backward}),
            Check("ends_kept", loose == 0, {"loose_edges": loose}),
            Check("finite", bad == 0, {"not_finite": bad}),
        ],
    )


def _loose(edges: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """Edges of which an end is no node of the circuit."""
    loose = [
        edges.filter(pl.col(f"{end}_site") != "y").join(
            nodes,
            left_on=[f"{end}_site", f"{end}_pos", f"{end}_feature"],
            right_on=["site", "pos", "feature"],
            how="anti",
            nulls_equal=True,
        )
        for end in ("up", "down")
    ]
    return pl.concat(loose)


def _reads(study: Study, task: str) -> object:
    spec = study.node_effects
    return spec.method, spec.skip_bos, spec.bootstrap, spec.seed, task_rules(study, task)


STAGE = Stage(
    name="circuits",
    doc="The task's circuit: nodes whose aggregated effect exceeds the node threshold, and the "
    "direct edges between them and into the metric whose weight exceeds the edge threshold.",
    partition="task",
    tables=("circuits", "circuit_nodes", "circuit_edges"),
    inputs=("node_effects", "pairs", "dictionaries", "model"),
    reads=_reads,
    compute=compute,
    checks={
        "acyclic": "Edges go forward in the order of sites, and never back in position.",
        "ends_kept": "Both ends of every edge are nodes of the circuit, or the metric.",
        "finite": "Every weight is a number.",
    },
    pool="gpu",
    kinds=("parquet", "pytorch"),
)
