"""Features: all of a study in a table, found by label, number, or a token.

A token finds those that are on at it, most often first, and those that raise it. Without a search,
those of most circuits come first, then those of the largest activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import choice, options, stepper, words
from dashboards.components.empty import empty
from dashboards.components.files import csv
from dashboards.components.listing import Bars, Cell, Column, Link, listing
from dashboards.components.palette import site as colour_of
from dashboards.page import Download, Page, PageState, Visit, rows_of_page
from dashboards.text import token

ROWS = 50  # of a page
MOST_ROWS = 1_000_000  # of a file

Order = Literal["", "feature", "label", "density", "mean", "max", "circuits", "fires"]
Kind = Literal["all", "alive", "dead", "labelled"]
KINDS: dict[str, str] = {kind: kind for kind in get_args(Kind)}
UPWARD = frozenset({"feature", "label"})  # orders that begin with the least


@dataclass(frozen=True)
class FeaturesState(PageState):
    """What is listed, and from where on."""

    site: str = ""
    search: str = ""
    kind: Kind = "all"
    order: Order = ""  # by circuits; of a search, by what it finds
    turned: bool = False  # from the last to the first
    page: int = 0


def show(visit: Visit[FeaturesState]) -> Component:
    """The page."""
    sites = visit.data.ask("feature_sites", study=visit.study)
    if sites.is_empty():
        return empty("features", visit.study)
    visit.choose("site", ["", *sites["site"]])
    rows = rows_of_page(visit, ROWS, partial(_asked, visit))
    found = rows["found"][0] if rows.height else 0
    first = visit.state.page * ROWS
    about = f"{found:,} of {sites['features'].sum():,} features"
    return html.Div(
        [
            layout.bar(
                choice("site", "Site", _named(sites), visit.state.site, resets="page"),
                words(
                    "search", "Search", visit.state.search, "label, token, number", resets="page"
                ),
                options(visit, "kind", "", KINDS, visit.state.kind, page=0),
                _steps(visit, first, rows.height, found),
            ),
            layout.panel(
                about,
                listing("Features", _columns(visit), [_row(visit, r) for r in rows.to_dicts()]),
                html.P(_about(visit), className="quiet"),
                html.P("" if rows.height else "There is no such feature.", className="quiet"),
                aside=layout.download("CSV", visit.file("features.csv")),
                name="features",
            ),
        ]
    )


def _named(sites: pl.DataFrame) -> dict[str, str]:
    """Sites with how many features each has."""
    counts = sites.select("site", "features").iter_rows()
    return {"": "all", **{site: f"{site} ({number:,})" for site, number in counts}}


def _asked(visit: Visit[FeaturesState], first: int, most: int) -> pl.DataFrame:
    state = visit.state
    return visit.data.ask(
        "features_listed",
        study=visit.study,
        site=state.site,
        search=state.search,
        kind=state.kind,
        order=_order(state),
        descending=(_order(state) not in UPWARD) != state.turned,
        first=first,
        most=most,
    )


def _order(state: FeaturesState) -> Order:
    """What the table is sorted by."""
    return state.order or ("fires" if state.search.strip() else "circuits")


def _steps(visit: Visit[FeaturesState], first: int, shown: int, found: int) -> Component:
    page = visit.state.page
    return stepper(
        visit.href(page=page - 1) if page else None,
        visit.href(page=page + 1) if first + shown < found else None,
        f"{first + 1:,}–{first + shown:,}" if shown else "none",
    )


def _columns(visit: Visit[FeaturesState]) -> list[Column]:
    return [
        _sorted(visit, "feature", Column("feature", term="feature", width="124px")),
        _sorted(
            visit,
            "density",
            Column("density", "of tokens", term="density", number=True, width="84px"),
        ),
        Column("activations", "tokens by value", width="122px"),
        _sorted(visit, "mean", Column("mean", "where on", number=True, width="74px")),
        _sorted(visit, "max", Column("largest", number=True, width="84px")),
        _sorted(visit, "circuits", Column("circuits", term="circuit", number=True, width="80px")),
        *_found_by(visit),
        Column("raises", "tokens", term="raised", wide=True, width="30%"),
        _sorted(visit, "label", Column("label", wide=True)),
    ]


def _found_by(visit: Visit[FeaturesState]) -> list[Column]:
    """A column that a search has."""
    if not visit.state.search.strip():
        return []
    return [_sorted(visit, "fires", Column("found by", width="132px"))]


def _sorted(visit: Visit[FeaturesState], order: Order, column: Column) -> Column:
    """A column that sorts the table, the other way round where it does so already."""
    if _order(visit.state) != order:
        return column._replace(href=visit.href(order=order, turned=False, page=0))
    turned = visit.state.turned
    way: Literal["ascending", "descending"] = (
        "ascending" if (order in UPWARD) != turned else "descending"
    )
    return column._replace(href=visit.href(turned=not turned, page=0), sorted=way)


def _row(visit: Visit[Any], row: dict[str, Any]) -> Sequence[Cell]:
    name = f"{row['site']}/{row['feature']}"
    return [
        Link(name, visit.to("feature", site=row["site"], feature=row["feature"])),
        f"{row['density']:.3%}" if row["density"] else "dead",
        _spark(row),
        "–" if row["mean_activation"] is None else f"{row['mean_activation']:.2f}",
        f"{row['max_activation']:.2f}",
        f"{row['circuits']:,}",
        *([_matched(row)] if visit.state.search.strip() else []),
        "  ".join(token(text) for text in row["raised"] or []),
        row["label"] or "",
    ]


def _matched(row: dict[str, Any]) -> str:
    """What of a feature the search has found: its texts, its logits, or else label or number."""
    fires = f"on it {row['fires']:,} ×" if row["fires"] else ""
    found = [fires, "raises it" if row["raises"] else ""]
    return ", ".join(filter(None, found)) or "label or number"


def _about(visit: Visit[FeaturesState]) -> str:
    """What a search for a token finds."""
    if not visit.state.search.strip():
        return ""
    return "On it n ×: in so many of the texts that are kept of the feature it is on at the token."


def _spark(row: dict[str, Any]) -> Cell:
    counts = row["histogram"]
    if not counts or not row["bin_width"]:
        return ""
    high = len(counts) * row["bin_width"]
    tip = f"{sum(counts):,} tokens from 0 to {high:.3g}; heights by the root of the count"
    return Bars(counts, colour_of(row["site"]), tip)


def _csv(visit: Visit[FeaturesState]) -> Download:
    return csv(_asked(visit, 0, MOST_ROWS).drop("found", "raises", "fires"))._replace(
        of=visit.state.site
    )


PAGE = Page(
    "features",
    "Features",
    "What does each direction of the dictionaries stand for?",
    FeaturesState,
    show,
    {"features.csv": _csv},
)
