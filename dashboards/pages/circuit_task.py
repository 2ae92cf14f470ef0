"""What a circuit is a circuit of: its task's metric in words, and a few of its examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.empty import empty
from dashboards.components.prompts import prompts
from dashboards.graph import Circuit
from dashboards.page import Visit
from dashboards.text import clip, visible

FEW, LONGEST = 4, 400  # examples, characters of a prompt
PAIRED = (
    "y = logit(patch answer) − logit(clean answer) at the last token. The effect of a node: by how "
    "much y rises when the node takes its value in the patch. Above 0, the node supports the clean "
    "answer."
)
ALONE = (
    "y = −log p(answer) at the last token (−logit(answer) where the task says so). The effect of a "
    "node: by how much y rises when the node is set to 0. Above 0, the node supports the answer."
)


def metric(paired: bool) -> str:
    """The metric of a task in words. paired: its examples have a patch."""
    return PAIRED if paired else ALONE


def tasks(visit: Visit[Any], drawn: Sequence[Circuit]) -> Component:
    """A part of the page for each task of the circuits."""
    named = dict.fromkeys(circuit.facts["task"] for circuit in drawn)
    return layout.columns(*(_task(visit, task) for task in named))


def _task(visit: Visit[Any], task: str) -> Component:
    title = f"Task {clip(visible(task), 60)}"
    rows = visit.data.ask("circuit_examples", study=visit.study, task=task, most=FEW)
    if rows.is_empty():
        return layout.panel(title, empty("pairs", visit.study), name="task")
    train, test = rows.select("train", "test").row(0)
    every = dcc.Link(f"All {train + test:,} examples", href=visit.to("task", task=task))
    return layout.panel(
        title,
        html.P(metric(rows["patch_prefix"].is_not_null().any()), className="quiet"),
        prompts(rows, LONGEST),
        aside=[f"found on {train:,} examples, judged by {test:,} · ", every],
        name="task",
    )
