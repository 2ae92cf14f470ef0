"""The node_effects stage: effects of all nodes on a task's metric, over its train split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from dagster_project.assets.plot import png
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.assets.task_rules import task_rules
from dagster_project.studies.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

    from dagster_project.interp.budget import Budget
    from dagster_project.interp.examples import Examples


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources
    from dagster_project.interp.aggregation import check_lengths
    from dagster_project.interp.collection import Collection
    from dagster_project.interp.examples import examples_from
    from dagster_project.interp.mean_gradients import gradient_frame
    from dagster_project.interp.node_effects import attribute

    study, rules, spec = run.study, task_rules(run.study, run.partition), run.study.node_effects
    model, dictionaries = resources.model(study), resources.dictionaries(study, run.lake)
    pairs, batch = train_pairs(run), resources.batch(study, len(dictionaries))
    examples = examples_from(pairs, model.device, rules.metric)
    check_lengths(examples, rules.aggregation)
    bos_id = model.tokenizer.bos_token_id if spec.skip_bos else None
    method, collection = pl.lit(spec.method).alias("method"), Collection(rules.aggregation)
    with (
        run.writer("node_effects", kind="task") as effects,
        run.writer("site_effects", kind="task") as sites,
        run.writer("mean_gradients", kind="task") as gradients,
    ):
        for found in attribute(model, dictionaries, examples, spec, batch.tokens, bos_id):
            gradients.append(gradient_frame(found, spec.method, pairs["example"].to_list()))
            collection.add(found)
        for frame in collection.node_effects(rules.node_threshold, spec.bootstrap, spec.seed):
            effects.append(frame.with_columns(method))
        by_site = collection.site_effects()
        sites.append(by_site.with_columns(method))
    return _report(run, rules.node_threshold, by_site, batch)


def train_pairs(run: StageRun) -> pl.DataFrame:
    """The task's examples for discovery, in their order."""
    pairs = run.scan("pairs", task=run.partition).filter(pl.col("split") == "train")
    return pairs.sort("example").collect()


def mean_gradients(run: StageRun, pairs: pl.DataFrame, examples: Examples) -> dict[str, Tensor]:
    """site -> mean gradients [example, position, d_model] of the examples that pairs are."""
    from dagster_project.interp.mean_gradients import gradients_by_site

    found = run.scan("mean_gradients", task=run.partition)
    return gradients_by_site(
        found.filter(pl.col("method") == run.study.node_effects.method).collect(),
        pairs["example"].to_list(),
        examples.clean.ids.shape[1],
        examples.device,
    )


def _report(run: StageRun, threshold: float, sites: pl.DataFrame, batch: Budget) -> StageResult:
    size, above = pl.col("effect").abs(), pl.col("effect").abs() > threshold
    effects = run.written("node_effects", kind="task")
    found = effects.select(
        nodes=pl.len(),
        nodes_above=above.sum(),
        error_nodes_above=(above & (pl.col("feature") < 0)).sum(),
        largest=size.max(),
        not_finite=(~(pl.col("effect").is_finite() & pl.col("abs_effect").is_finite())).sum(),
    )
    figures = found.collect().row(0, named=True)
    bad, missed = figures.pop("not_finite"), sites["mean_abs_residual"].to_numpy().sum()
    share = float(missed / max(abs(sites["true_change"].to_numpy()).sum(), 1e-9))
    return StageResult(
        figures={**figures, "threshold": threshold, "unexplained_share": share, **batch.figures},
        checks=[
            Check("finite", bad == 0, {"not_finite": bad}),
            Check("some_effect", figures["nodes"] > 0, {"nodes": figures["nodes"]}),
        ],
        plot=_plot(sites),
    )


def _plot(sites: pl.DataFrame) -> bytes:
    """What the effects of each site add up to, beside what patching the site does."""
    place = range(len(sites))

    def draw(axes: Axes) -> None:
        axes.bar(place, sites["sum_of_effects"], color="#8fb7dd", label="sum of effects")
        axes.plot(place, sites["true_change"], "k_", label="true change")
        axes.set_xticks(place, sites["site"], rotation=90, fontsize=7)
        axes.set_ylabel("metric")
        axes.legend(fontsize=7)

    return png(draw, names=True)


def _reads(study: Study, task: str) -> object:
    rules = task_rules(study, task)
    return study.node_effects, rules.aggregation, rules.metric, rules.node_threshold


STAGE = Stage(
    name="node_effects",
    doc="Effect of every feature and error on the task's metric, by integrated gradients or one "
    "gradient, with bootstrap intervals; each site's effects against what patching it does; and "
    "the mean gradients, from which circuits get their edges.",
    partition="task",
    tables=("node_effects", "site_effects", "mean_gradients"),
    inputs=("pairs", "dictionaries", "model"),
    reads=_reads,
    compute=compute,
    checks={
        "finite": "Every effect is a number.",
        "some_effect": "At least one node has an effect.",
    },
    pool="gpu",
    kinds=("parquet", "pytorch"),
)
