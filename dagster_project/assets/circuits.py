"""The circuits stage: a task's nodes and edges above the thresholds, for each kind of edges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from dagster_project.assets.node_effects import mean_gradients, train_pairs
from dagster_project.assets.stage import Check, Scalar, Stage, StageResult, StageRun
from dagster_project.assets.task_rules import TaskRules, task_rules
from dagster_project.studies.study import EdgeKind, NodeEffectsSpec, Study

if TYPE_CHECKING:
    from dagster_project.interp.budget import Budget
    from dagster_project.interp.circuit_edges import Scene


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources
    from dagster_project.interp.circuit_edges import scene
    from dagster_project.interp.circuits import select_nodes, total_effect
    from dagster_project.interp.examples import examples_from
    from dagster_project.interp.locate import located_nodes

    study, rules, spec = run.study, task_rules(run.study, run.partition), run.study.node_effects
    model, dictionaries = resources.model(study), resources.dictionaries(study, run.lake)
    batch, pairs = resources.batch(study, len(dictionaries)), train_pairs(run)
    examples = examples_from(pairs, model.device, rules.metric)
    bos_id = model.tokenizer.bos_token_id if spec.skip_bos else None
    gradients = mean_gradients(run, pairs, examples)
    found = run.scan("node_effects", task=run.partition).filter(
        pl.col("method") == spec.method, pl.col("aggregation") == rules.aggregation
    )
    effects = found.collect()
    with (
        run.writer("circuits", kind="task") as circuits,
        run.writer("circuit_nodes", kind="task") as node_writer,
        run.writer("circuit_edges", kind="task") as edge_writer,
    ):
        examined = scene(model, dictionaries, examples, gradients, batch.tokens, bos_id)
        known = {
            "n_examples": len(examples),
            "total_effect": total_effect(model, examples, batch.tokens),
        }
        for kind in rules.edge_kinds:
            name = circuit_name(run.partition, spec.method, rules, kind)
            circuit, before = pl.lit(name).alias("circuit"), edge_writer.rows
            nodes, ends = select_nodes(effects, rules.node_threshold), list[pl.DataFrame]()
            for frame in _edges(kind, examined, nodes, rules, spec):
                edge_writer.append(frame.with_columns(circuit))
                if kind == "total":
                    ends.append(frame.select("up_site", "up_pos", "up_feature").unique())
            if kind == "total":
                nodes = located_nodes(effects, pl.concat(ends))
            columns = ("site", "pos", "feature", "effect", "patch_only")
            node_writer.append(nodes.select(circuit, *columns))
            counts = {**known, "n_edges": edge_writer.rows - before}
            row = _row(kind, nodes, rules, counts, list(dictionaries))
            circuits.append(row.select(circuit, pl.lit(spec.method).alias("method"), pl.all()))
    return _report(run, list(dictionaries), batch)


def circuit_name(task: str, method: str, rules: TaskRules, kind: EdgeKind) -> str:
    """Name of a task's circuit, unique in its study."""
    name = f"{task}.{method}.{rules.aggregation}"
    return name if kind == "direct" else f"{name}.{kind}"


def _edges(
    kind: EdgeKind, examined: Scene, nodes: pl.DataFrame, rules: TaskRules, spec: NodeEffectsSpec
) -> Iterator[pl.DataFrame]:
    """Edges between the nodes, or from them and to all that the graph has besides."""
    from dagster_project.interp.circuit_edges import Rules, circuit_edges
    from dagster_project.interp.locate import locate

    find, threshold = (
        (circuit_edges, rules.edge_threshold)
        if kind == "direct"
        else (locate, rules.total_threshold)
    )
    return find(examined, nodes, Rules(threshold, spec.bootstrap, spec.seed))


def _row(
    kind: EdgeKind,
    nodes: pl.DataFrame,
    rules: TaskRules,
    known: Mapping[str, float | None],
    sites: Sequence[str],
) -> pl.DataFrame:
    """The circuit as a whole."""
    from dagster_project.interp.circuits import shares

    counts = {
        "aggregation": rules.aggregation,
        "node_threshold": rules.node_threshold,
        "edge_threshold": rules.edge_threshold if kind == "direct" else rules.total_threshold,
        "edge_kind": kind,
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
    return StageResult(
        figures=_figures(run.written("circuits", kind="task").collect()) | batch.figures,
        checks=[
            Check("acyclic", backward == 0, {"backward_edges": backward}),
            Check("ends_kept", loose == 0, {"loose_edges": loose}),
            Check("finite", bad == 0, {"not_finite": bad}),
        ],
    )


def _figures(circuits: pl.DataFrame) -> dict[str, Scalar]:
    """What is told of circuits; of those of total edges under names that say so."""
    names = ("n_nodes", "n_error_nodes", "n_edges", "total_effect", "feature_share")
    return {
        name if row["edge_kind"] == "direct" else f"{row['edge_kind']} {name}": row[name]
        for row in circuits.to_dicts()
        for name in names
    }


def _loose(edges: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """Edges of which an end is no node of the circuit."""
    loose = [
        edges.filter(pl.col(f"{end}_site") != "y").join(
            nodes,
            left_on=["circuit", f"{end}_site", f"{end}_pos", f"{end}_feature"],
            right_on=["circuit", "site", "pos", "feature"],
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
    "direct edges between them and into the metric whose weight exceeds the edge threshold. Where "
    "the study asks for it, the total-effect graph too: any earlier node whose weight into a node "
    "that is in, by all paths, exceeds a threshold, from the metric down.",
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
    code_version="2",  # edges by all paths
    pool="gpu",
    kinds=("parquet", "pytorch"),
)
