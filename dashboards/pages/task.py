"""A task: what its circuits are circuits of, example by example."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import polars as pl
from dash import dcc, html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import choice, options, pager, stepper
from dashboards.components.empty import empty
from dashboards.components.files import csv
from dashboards.components.prompts import prompts
from dashboards.page import Download, Page, PageState, Visit, rows_of_page
from dashboards.pages.circuit_task import metric
from dashboards.text import LONGEST_TEXT, clip, visible

PER_PAGE = 20
MOST_ROWS = 100_000  # of a file
SPLITS = {"": "all", "train": "discovery", "test": "evaluation"}


@dataclass(frozen=True)
class TaskState(PageState):
    """Which examples of which task."""

    task: str = ""
    split: Literal["", "train", "test"] = ""
    page: int = 0


def show(visit: Visit[TaskState]) -> Component:
    """The page."""
    listed = visit.data.ask("task_list", study=visit.study)
    if listed.is_empty():
        return empty("pairs", visit.study)
    names = listed["task"].to_list()
    task = visit.choose("task", names)
    row = listed.row(names.index(task), named=True)
    rows = rows_of_page(visit, PER_PAGE, partial(_asked, visit))
    found = rows["found"][0] if rows.height else 0
    return html.Div(
        [
            layout.bar(
                choice("task", "Task", names, task, resets="page"),
                _steps(visit, names),
                options(visit, "split", "Of", SPLITS, visit.state.split, page=0),
            ),
            layout.panel(clip(visible(task), 80), _facts(visit, row)),
            layout.panel(
                f"{found:,} examples",
                prompts(rows, LONGEST_TEXT) if found else html.P("None.", className="quiet"),
                aside=[
                    pager(visit, visit.state.page, max(1, -(-found // PER_PAGE))),
                    layout.download("CSV", visit.file("examples.csv")),
                ],
                name="task",
            ),
        ]
    )


def _asked(visit: Visit[TaskState], first: int, most: int) -> pl.DataFrame:
    state = visit.state
    of = {"study": visit.study, "task": state.task, "split": state.split}
    return visit.data.ask("task_examples", **of, first=first, most=most)


def _steps(visit: Visit[TaskState], names: list[str]) -> Component:
    place = names.index(visit.state.task)
    return stepper(
        visit.href(task=names[place - 1], page=0) if place else None,
        visit.href(task=names[place + 1], page=0) if place + 1 < len(names) else None,
        f"{place + 1} of {len(names)}",
    )


def _facts(visit: Visit[TaskState], row: dict[str, Any]) -> Component:
    """The metric, and where the task's circuits are."""
    links: list[Component | str] = []
    for name in row["circuits"]:
        links += [
            dcc.Link(clip(visible(name), 60), href=visit.to("circuit", circuit=name)),
            " ",
        ]
    return layout.facts(
        [
            ("examples", f"{row['train']:,} of discovery, {row['test']:,} of evaluation"),
            ("metric", metric(row["pairs"] > 0)),
            ("circuits", links or "none yet"),
            (
                "faithfulness",
                dcc.Link("its curves", href=visit.to("faithfulness", task=row["task"])),
            ),
        ]
    )


def _csv(visit: Visit[TaskState]) -> Download:
    names = visit.data.ask("task_list", study=visit.study)["task"].to_list()
    task = visit.choose("task", names)
    return csv(_asked(visit, 0, MOST_ROWS).drop("found"))._replace(of=task)


PAGE = Page(
    "task",
    "Task",
    "What is a circuit a circuit of?",
    TaskState,
    show,
    {"examples.csv": _csv},
    part_of="circuits",
)
