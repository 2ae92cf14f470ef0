"""Faithfulness of a task's circuits over a grid of sizes, on the test split."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import polars as pl

from dagster_project.assets.node_effects import mean_gradients
from dagster_project.assets.plot import png
from dagster_project.assets.stage import Check, Scalar, Stage, StageResult, StageRun
from dagster_project.assets.task_rules import task_rules
from dagster_project.studies.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPLIT = "test"
TOLERANCE = 1e-3
"""Of the full and the empty set, relative to |F(M) − F(∅)|."""
SMALLEST_SCALE = 0.1
"""Nats or logits: below this a difference of F counts as it is, since rounding does."""


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources
    from dagster_project.interp.ablation import Task
    from dagster_project.interp.examples import examples_from
    from dagster_project.interp.faithfulness import faithfulness
    from dagster_project.interp.neurons import neuron_effects

    study, task, rules = run.study, run.partition, task_rules(run.study, run.partition)
    model, dictionaries = resources.model(study), resources.dictionaries(study, run.lake)
    pairs = run.scan("pairs", task=task).sort("example").collect()
    if pairs.filter(split=SPLIT).is_empty():
        raise ValueError(f"task {task}: expected held-out examples, found none (see test_share)")
    train, test = (
        examples_from(pairs.filter(split=split), model.device, rules.metric)
        for split in ("train", SPLIT)
    )
    spec, batch = study.node_effects, resources.batch(study, len(dictionaries))
    bos_id = model.tokenizer.bos_token_id if spec.skip_bos else None
    effects = run.scan("node_effects", task=task).filter(method=spec.method).collect()
    neurons = None
    if "neuron" in study.faithfulness.units:
        paired = train.patch is not None
        gradients = mean_gradients(run, pairs.filter(split="train"), train) if paired else {}
        neurons = neuron_effects(
            model,
            dictionaries,
            train,
            gradients,
            spec,
            rules.aggregation,
            batch.tokens,
            bos_id,
        )
    frame = faithfulness(
        Task(model, dictionaries, test, batch.tokens, bos_id, spec.seed),
        study.faithfulness,
        effects,
        neurons,
        [rules.node_threshold],
    ).with_columns(
        pl.lit(spec.method).alias("method"),
        pl.lit(rules.aggregation).alias("aggregation"),
        pl.lit(SPLIT).alias("split"),
    )
    with run.writer("faithfulness", kind="task") as writer:
        writer.append(frame)
    return StageResult({**_figures(frame), **batch.figures}, checks(frame), _plot(frame))


def _figures(frame: pl.DataFrame) -> dict[str, Scalar]:
    first = frame.row(0, named=True)
    circuit = frame.filter(unit="feature", selection="threshold").head(1)
    chosen = circuit.select("value", "n_nodes", "n_error_nodes", "faithfulness", "completeness")
    found = {f"circuit: {k}": v for row in chosen.iter_rows(named=True) for k, v in row.items()}
    return {"F(M)": first["f_model"], "F(∅)": first["f_empty"], **found}


def checks(frame: pl.DataFrame) -> list[Check]:
    """The outcome of the stage's checks on its rows."""
    sizes = frame.filter(pl.col("unit") != "random", selection="top_n")
    whole = sizes.filter(pl.col("value") == pl.col("value").max().over("unit"))
    full = _worst(whole.filter(pl.col("errors") != "remove"), "f_model")
    empty = _worst(sizes.filter(value=0), "f_empty")
    numbers = frame.select(pl.selectors.float())
    nan = sum(numbers.select(pl.all().is_nan().sum()).row(0))
    return [
        Check("full_set", full <= TOLERANCE, {"worst": full, "tolerance": TOLERANCE}),
        Check("empty_set", empty <= TOLERANCE, {"worst": empty, "tolerance": TOLERANCE}),
        Check("no_nan", nan == 0, {"nan": nan}),
    ]


def _worst(rows: pl.DataFrame, target: str) -> float:
    """Largest |F(C) − target| relative to |F(M) − F(∅)|; 0 without rows."""
    difference = (pl.col("f_circuit") - pl.col(target)).abs()
    scale = (pl.col("f_model") - pl.col("f_empty")).abs().clip(SMALLEST_SCALE)
    return float(rows.select((difference / scale).max()).item() or 0.0)


def _plot(frame: pl.DataFrame) -> bytes:
    """Faithfulness over nodes, log axis: features, neurons, random (mean and range of seeds)."""
    first = frame.row(0, named=True)
    curve = frame.filter(
        pl.col("faithfulness").is_not_null(),
        selection="top_n",
        ablation=first["ablation"],
        errors=first["errors"],
    )
    points = (
        curve.group_by("unit", "value")
        .agg(
            pl.col("n_nodes").first(),
            pl.col("faithfulness").mean(),
            low=pl.col("faithfulness").min(),
            high=pl.col("faithfulness").max(),
        )
        .filter(pl.col("n_nodes") > 0)
        .sort("unit", "n_nodes")
    )

    def draw(axes: Axes) -> None:
        for (unit,), part in points.group_by("unit", maintain_order=True):
            axes.plot(part["n_nodes"], part["faithfulness"], marker=".", label=str(unit))
            axes.fill_between(part["n_nodes"], part["low"], part["high"], alpha=0.2)
        axes.set(xscale="log", xlabel="nodes kept", ylabel="faithfulness")
        axes.set_title(f"{first['ablation']} ablation, errors {first['errors']}", fontsize=9)
        axes.axhline(1, color="grey", linewidth=0.5, label="the model")
        axes.legend(fontsize=8)

    return png(draw)


def _reads(study: Study, task: str) -> object:
    effects = replace(study.node_effects, bootstrap=0)  # not read
    rules = task_rules(study, task)
    read = rules.aggregation, rules.metric, rules.node_threshold
    return [asdict(study.faithfulness), asdict(effects), read]


STAGE = Stage(
    name="faithfulness",
    doc="How much of what the model does on a task a circuit does alone: F with all other nodes "
    "ablated, over a grid of sizes, for features, neurons and random circuits of the same shape, "
    "on held-out examples. Two evaluations for each circuit, ablation and error mode; random "
    "circuits under the first mode alone.",
    partition="task",
    tables=("faithfulness",),
    inputs=("node_effects", "pairs", "dictionaries", "model"),
    reads=_reads,
    compute=compute,
    checks={
        "full_set": "keeping every node gives F(M), with errors by the circuit or kept",
        "empty_set": "keeping no node gives F(∅)",
        "no_nan": "no number is NaN",
    },
    pool="gpu",
    code_version="4",  # intervals of completeness
    kinds=("parquet", "pytorch"),
)
