"""Faithfulness: how much of what the model does is left when only some nodes act, by task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import choice, options, stepper
from dashboards.components.empty import empty
from dashboards.components.files import csv
from dashboards.components.marks import term
from dashboards.components.tables import Column, in_order, table
from dashboards.page import Download, Page, PageState, Visit
from dashboards.pages.faithfulness_curves import UNIT_NAMES, curves, unchanged

CHOICES = {  # fields of the state, with their labels, in the order of choosing
    "split": "Split",
    "ablation": "Ablation",
    "errors": "Error nodes",
    "start_layer": "Ablated from",
    "method": "Method",
    "aggregation": "Positions",
}
TABLE = "faithfulness-tasks"
SAID = {"-1": "embedding", "none": "apart", "sum": "summed"}


@dataclass(frozen=True)
class FaithfulnessState(PageState):
    """Which evaluation of which task; empty: the first there is."""

    task: str = ""
    split: str = ""
    ablation: str = ""
    errors: str = ""
    start_layer: str = ""
    method: str = ""
    aggregation: str = ""


def show(visit: Visit[FaithfulnessState]) -> Component:
    """The page."""
    every = visit.data.ask("faithfulness_by_task", study=visit.study)
    tasks = every["task"].unique().sort().to_list()
    if not tasks:
        return empty("faithfulness", visit.study)
    rows, controls = _chosen(visit, tasks)
    task = visit.state.task
    evaluated = _every(visit, every)
    ordered = in_order(visit, TABLE, evaluated)["task"].to_list()
    ordered += [name for name in tasks if name not in ordered]
    place = ordered.index(task)
    return html.Div(
        [
            layout.bar(
                choice("task", "Task", tasks, task),
                stepper(
                    visit.href(task=ordered[place - 1]) if place else None,
                    visit.href(task=ordered[place + 1]) if place + 1 < len(tasks) else None,
                    f"{place + 1} of {len(tasks)}",
                ),
                *controls,
            ),
            layout.columns(
                *(
                    layout.panel(
                        term(m, m.capitalize()), curves(m, rows), *_said(m, rows), aside=_aside(m)
                    )
                    for m in ("faithfulness", "completeness")
                )
            ),
            layout.panel(
                "All tasks",
                _table(visit, evaluated),
                aside="of the strongest features, by number",
            ),
            layout.panel(
                f"Figures of {task}",
                _figures(visit, rows),
                aside=layout.download("CSV", visit.file("faithfulness.csv")),
            ),
        ]
    )


def _said(measure: str, rows: pl.DataFrame) -> list[Component]:
    """Below the curve: which of them are flat because nothing changes."""
    texts = unchanged(rows) if measure == "faithfulness" else []
    return [html.P(text, className="quiet") for text in texts]


def _aside(measure: str) -> str:
    if measure == "completeness":
        return "with the circuit ablated; 0 is complete"
    return "with all else ablated; band: bootstrap 5–95 %, random: all seeds"


def _chosen(
    visit: Visit[FaithfulnessState], tasks: list[str]
) -> tuple[pl.DataFrame, list[Component]]:
    """The rows of one evaluation of a task, and the controls that choose another."""
    task, controls = visit.choose("task", tasks), []
    rows = visit.data.ask("faithfulness_of_task", study=visit.study, task=task)
    for key, label in CHOICES.items():
        column = pl.col(key).cast(pl.String)
        found = rows.select(column.unique().sort()).to_series().to_list()
        value = visit.choose(key, found)
        rows = rows.filter(column == value)
        named = {v: SAID.get(v, f"layer {v}" if v.isdigit() else v) for v in found}
        if len(found) > 1:
            controls.append(options(visit, key, label, named, value))
    return rows, controls


def _figures(visit: Visit[FaithfulnessState], rows: pl.DataFrame) -> Component:
    shown = rows.with_columns(
        pl.col("unit").replace(UNIT_NAMES),
        pl.when(selection="threshold").then(pl.lit("threshold")).otherwise(pl.lit("number")),
    ).sort("unit", "n_nodes")
    columns = [
        Column("unit", "nodes of"),
        Column("literal", "chosen by"),
        Column("value", "value", ",.4~f"),
        Column("n_nodes", "kept", ",d", "nodes", term="node"),
        Column("n_error_nodes", "error nodes", ",d", term="error node"),
        Column("faithfulness", "faithfulness", ".2f", term="faithfulness"),
        Column("faithfulness_low", "low", ".2f"),
        Column("faithfulness_high", "high", ".2f"),
        Column("completeness", "completeness", ".2f", term="completeness"),
        Column("f_circuit", "F circuit", ".3f", "metric"),
        Column("f_model", "F model", ".3f", "metric"),
    ]
    return table("faithfulness-figures", shown, columns, visit=visit)


def _every(visit: Visit[FaithfulnessState], rows: pl.DataFrame) -> pl.DataFrame:
    """A row a task, in the evaluation chosen as far as the task has it: the figures of its circuit,
    and in columns n<number> the faithfulness of so many features."""
    state = visit.state
    alike = rows.filter(split=state.split, ablation=state.ablation, errors=state.errors)
    sizes = sorted(
        {int(v) for v in alike.filter(~pl.col("at_threshold"))["value"] if 0 < v <= 1000}
    )
    tasks: dict[str, list[dict[str, Any]]] = {}
    for row in alike.iter_rows(named=True):
        own = tasks.setdefault(row["task"], [])
        if not own or all(row[key] == own[0][key] for key in ("method", "aggregation")):
            own.append(row)
    found = []
    for task, own in sorted(tasks.items()):
        circuit = next((row for row in own if row["at_threshold"]), {})
        kept = {int(r["value"]): r["faithfulness"] for r in own if not r["at_threshold"]}
        found.append(
            {"task": task, "accuracy": own[0]["accuracy"]}
            | {k: circuit.get(k) for k in ("n_nodes", "faithfulness", "completeness")}
            | {f"n{size}": kept.get(size) for size in sizes}
        )
    return pl.DataFrame(found, infer_schema_length=None)


def _table(visit: Visit[FaithfulnessState], evaluated: pl.DataFrame) -> Component:
    rows = [
        {**row, "href": visit.href(task=row["task"], method="", aggregation="")}
        for row in evaluated.to_dicts()
    ]
    sizes = [int(name[1:]) for name in evaluated.columns if name[1:].isdecimal()]
    columns = [
        Column("task", "task", width=170),
        Column("accuracy", "accuracy", ".0%", term="accuracy", width=100),
        Column("n_nodes", "nodes", ",d", term="node threshold", width=80),
        Column("faithfulness", "faithfulness", ".2f", term="faithfulness", width=112, shade=True),
        Column("completeness", "completeness", ".2f", term="completeness", width=120),
        *(Column(f"n{size}", f"{size:,}", ".2f", shade=True) for size in sizes),
    ]
    return table(TABLE, rows, columns, visit=visit)


def _csv(visit: Visit[FaithfulnessState]) -> Download:
    every = visit.data.ask("faithfulness_by_task", study=visit.study)
    tasks = every["task"].unique().sort().to_list()
    rows = _chosen(visit, tasks)[0] if tasks else every
    return csv(rows)._replace(of=visit.state.task)


PAGE = Page(
    "faithfulness",
    "Faithfulness",
    "How much of what the model does is left when only some nodes act?",
    FaithfulnessState,
    show,
    {"faithfulness.csv": _csv},
)
