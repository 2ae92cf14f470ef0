"""Overview: what the lake holds and lacks, and the headline of each study."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dash import html
from dash.development.base_component import Component

from dagster_project.lake.schemas import TABLES
from dashboards.components import layout
from dashboards.components.marks import drawn, term
from dashboards.components.tables import Column, table
from dashboards.data import Holding
from dashboards.flow import LANES, Asset
from dashboards.page import Page, PageState, Visit
from dashboards.state import address

SPANS = ((86_400, "d"), (3_600, "h"), (60, "min"))  # seconds, unit


def show(visit: Visit[PageState]) -> Component:
    """The page."""
    held = visit.data.holdings(visit.study)
    overviews = [
        row
        for s in visit.data.studies()
        for row in visit.data.shared("study_overview", s).to_dicts()
    ]
    own = next((row for row in overviews if row["study"] == visit.study), {})
    lanes = [(name, [_box(visit, asset, held) for asset in LANES[name]]) for name in LANES]
    return html.Div(
        [
            html.Div(_headline(own), className="headline"),
            layout.panel(
                f"How {visit.study} was made",
                drawn("flow", {"lanes": lanes}),
                aside=_total(held),
            ),
            layout.panel("Studies of this lake", _studies(visit, overviews)),
        ]
    )


def _headline(row: Mapping[str, Any]) -> list[Component]:
    """A study in a few large figures."""
    shown: list[tuple[str, str, Component | str]] = [
        ("tokens", ",d", "tokens"),
        ("mean_loss", ".3f", term("loss", "nats a token")),
        ("excess", ".3f", term("excess loss", "above the rules")),
        ("top_share", ".1%", term("top choice", "top choice right")),
        ("n_layers", ",d", "layers"),
        ("n_features", ",d", term("feature", "features")),
        ("contexts", ",d", term("context", "contexts")),
        ("tasks", ",d", term("circuit", "circuits")),
    ]
    return [
        html.Div([html.B(format(row[field], form)), html.Span(name, className="label")])
        for field, form, name in shown
        if row.get(field) is not None
    ]


def _box(visit: Visit[PageState], asset: Asset, held: Mapping[str, Holding]) -> dict[str, Any]:
    """One asset: its tables with their rows, partitions and age; what it is made from, on hover."""
    state = _state(asset, held)
    tables = [name for name in asset.tables if name in TABLES]
    docs = [f"{name}: {TABLES[name].doc}" for name in tables]
    checks = [f"✓ {what}" for what in asset.checks]
    made = f"{visit.study}/{asset.name}, from {asset.reads}"
    return {
        "name": asset.name,
        "age": state.age,
        "tables": [(t, f"{held[t].rows:,}" if t in held else "–") for t in tables],
        "state": state.name,
        "said": state.said,
        "href": visit.to(asset.page) if asset.page else None,
        "tip": "\n".join([made, *docs, *(checks if tables and tables[0] in held else [])]),
    }


class State(NamedTuple):
    """How it stands with an asset."""

    name: str  # class of its box: made, partial, broken or missing
    said: str
    age: str = ""


def _state(asset: Asset, held: Mapping[str, Holding]) -> State:
    """The state of an asset's tables, and what it lacks."""
    holdings = [held[name] for name in asset.tables if name in held]
    kind = next((TABLES[name].partition for name in asset.tables if name in TABLES), None)
    if not holdings:
        return State("missing", "where a study asks for it" if asset.asked else "not made yet")
    age = ago(min(holding.oldest for holding in holdings))
    broken = sorted({key for holding in holdings for key in holding.unreadable})
    if broken:
        return State("broken", f"unreadable: {_few(broken) or 'its file'}", age)
    n_checks = len(asset.checks)
    passed = f"{n_checks} check{'' if n_checks == 1 else 's'} passed"
    if kind is None:
        return State("made", passed, age)
    here = set.intersection(*(set(holding.parts) for holding in holdings))
    lacking = sorted(_parts(held, kind) - here)
    if lacking:
        return State("partial", f"lacks {_few(lacking)}", age)
    amount = f"{len(here):,} {kind}{'' if len(here) == 1 else 's'}"
    return State("made", f"{amount} · {passed}", age)


def _parts(held: Mapping[str, Holding], kind: str) -> set[str]:
    """Partitions of a kind that any table of the study has."""
    return {p for name, h in held.items() if TABLES[name].partition == kind for p in h.parts}


def _few(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def ago(seconds: float) -> str:
    """How long ago a time was, in seconds since 1970."""
    passed = time.time() - seconds
    for span, unit in SPANS:
        if passed >= span:
            return f"{passed // span:.0f} {unit} ago"
    return "just now"


def _total(held: Mapping[str, Holding]) -> str:
    size = sum(holding.bytes for holding in held.values())
    rows = sum(holding.rows for holding in held.values())
    amount = f"{rows:,} rows · {size / 2**20:,.1f} MiB"
    return f"{len(held)} of {len(TABLES)} tables · {amount} · only what passed its checks is here"


def _studies(visit: Visit[PageState], overviews: Sequence[Mapping[str, Any]]) -> Component:
    rows = [{**row, "href": address("overview", {"study": row["study"]})} for row in overviews]
    columns = [
        Column("study", "study"),
        Column("documents", "documents", ",d"),
        Column("tokens", "tokens", ",d"),
        Column("mean_loss", "loss", ".3f", "nats", term="loss"),
        Column("excess", "excess", ".3f", "nats", term="excess loss"),
        Column("top_share", "top choice", ".1%", term="top choice"),
        Column("n_layers", "layers", ",d"),
        Column("d_model", "width", ",d"),
        Column("n_features", "features", ",d", term="feature"),
        Column("contexts", "contexts", ",d", term="context"),
        Column("tasks", "circuits", ",d", term="circuit"),
    ]
    return table("studies", rows, columns, visit=visit)


PAGE = Page(
    "overview",
    "Overview",
    "What is in the lake, how fresh is it, and what is missing?",
    PageState,
    show,
)
