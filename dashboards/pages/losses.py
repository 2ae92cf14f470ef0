"""Losses: where the model predicts well and badly, by kind of token, and document by document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from dash import html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import options
from dashboards.components.empty import empty
from dashboards.page import Page, PageState, Visit
from dashboards.pages import losses_by_group, losses_by_token, losses_document

View = Literal["subset", "rule", "repetition", "position", "token", "excess", "document"]
VIEWS: dict[str, str] = {
    "subset": "Subset",
    "rule": "Rule",
    "excess": "Excess",
    "repetition": "Repetition",
    "position": "Position",
    "token": "Token",
    "document": "Document",
}


@dataclass(frozen=True)
class LossesState(PageState):
    """What losses are shown by, and each view's own choices."""

    by: View = "subset"
    order: Literal["hardest", "easiest", "costliest", "first"] = "hardest"
    least: int = 20  # predictions of a token
    subset: str = ""  # of the documents listed; empty: all
    document: int | None = None  # the first listed
    first: int = 0  # position from which a document is shown
    pos: int | None = None  # of a token that is marked, in whose part the document is shown
    colour: Literal["loss", "entropy", "rank"] = "loss"


def show(visit: Visit[LossesState]) -> Component:
    """The page."""
    if "losses" not in visit.data.holdings(visit.study):
        return empty("losses", visit.study)
    by = visit.state.by
    return html.Div(
        [
            layout.bar(options(visit, "by", "Losses by", VIEWS, by)),
            html.Div(SHOW[by](visit), key=by),
        ]
    )


SHOW: Mapping[str, Callable[[Visit[LossesState]], list[Component]]] = {
    "subset": losses_by_group.by_subset,
    "rule": losses_by_group.by_rule,
    "excess": losses_by_group.excess,
    "repetition": losses_by_group.by_repetition,
    "position": losses_by_token.by_position,
    "token": losses_by_token.by_token,
    "document": losses_document.by_document,
}

PAGE = Page(
    "losses",
    "Losses",
    "What does the model predict well, and what badly?",
    LossesState,
    show,
    {
        "losses.csv": losses_by_group.as_csv,
        "tokens.csv": losses_by_token.as_csv,
        "document.csv": losses_document.as_csv,
    },
)
