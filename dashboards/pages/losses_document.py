"""A document with its tokens coloured by what they cost the model."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import polars as pl
from dash import dcc, html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import choice, options, stepper, words
from dashboards.components.files import csv
from dashboards.components.palette import NEGATIVE, SITES, faint
from dashboards.components.strips import strip
from dashboards.components.tables import Column, in_order, table
from dashboards.numbers import first_of, nats
from dashboards.page import Download, Visit
from dashboards.text import clip, visible

MOST = 2_000  # tokens shown at once
ORDERS = {"first": "as they come", "hardest": "hardest", "easiest": "easiest"}
OF_DOCUMENT = "document first pos"  # keys of the address that belong to one document
TABLE = "documents"
PER_SHARD = 1_000_000  # doc_id = shard ordinal × this + row


class Shade(NamedTuple):
    """What a token's ground says."""

    label: str
    unit: str
    full: float  # value of the full shade
    log: bool = False


SHADES = {
    "loss": Shade("loss", "nats", 8.0),
    "entropy": Shade("entropy", "nats", 8.0),
    "rank": Shade("rank", "", 1_000.0, log=True),
}


def by_document(visit: Visit[Any]) -> list[Component]:
    """A list of documents, and the one chosen."""
    subsets = visit.data.ask("subsets", study=visit.study)["subset"].to_list()
    subset = visit.choose("subset", ["", *subsets])
    order = visit.state.order if visit.state.order in ORDERS else "hardest"
    listed = visit.data.ask("documents_by_loss", study=visit.study, subset=subset, order=order)
    found = listed["found"][0] if listed.height else 0
    first = listed["doc_id"][0] if found else None
    chosen = first if visit.state.document is None else visit.state.document
    return [
        layout.bar(
            choice(
                "subset",
                "Subset",
                {"": "all", **{s: s for s in subsets if s}},
                subset,
                resets=OF_DOCUMENT,
            ),
            options(visit, "order", "Order", ORDERS, order, document=None, first=0, pos=None),
            words(
                "document",
                "Document",
                "" if chosen is None else str(chosen),
                "its doc_id",
                resets="first pos",
            ),
            _steps(visit, in_order(visit, TABLE, listed)["doc_id"].to_list(), chosen),
        ),
        html.Div(_document(visit, chosen)),
        layout.panel("Documents", _list(visit, listed), aside=first_of(listed.height, found)),
    ]


def as_csv(visit: Visit[Any]) -> Download:
    """The tokens of the document, all of them."""
    doc_id = visit.state.document or 0
    return csv(_tokens(visit, doc_id, 0, 100_000))._replace(of=str(doc_id))


def _steps(visit: Visit[Any], ids: list[int], chosen: int | None) -> Component:
    place = ids.index(chosen) if chosen in ids else -1
    around = [ids[i] if 0 <= i < len(ids) else None for i in (place - 1, place + 1)]
    previous, following = (
        None if i is None else visit.href(document=i, first=0, pos=None) for i in around
    )
    return stepper(previous, following, f"{place + 1 or '–'} of {len(ids)}")


def _document(visit: Visit[Any], doc_id: int | None) -> Component | None:
    """The tokens of a document, MOST at a time."""
    if doc_id is None:
        return None
    known = visit.data.ask("document", study=visit.study, shard=_shard(doc_id), doc_id=doc_id)
    if known.is_empty():
        visit.notes.append(f"There is no document {doc_id} in {visit.study}.")
        return None
    (about,) = known.to_dicts()
    marked = _marked(visit, about["tokens"])
    first = max(0, (visit.state.first if marked is None else marked) // MOST * MOST)
    rows = _tokens(visit, doc_id, first, MOST)
    mean = rows["loss"].mean()
    said = [
        clip(visible(about["subset"] or ""), 60),
        f"{about['tokens']:,} tokens",
        f"{about['n_chars']:,} characters",
        f"{nats(mean, unit='nats')} a token" if isinstance(mean, float) else "",
        "" if about["duplicate_of"] is None else f"same text as {about['duplicate_of']}",
    ]
    return layout.panel(
        f"Document {doc_id}",
        html.Div(
            [
                html.Span(" · ".join(s for s in said if s), className="quiet"),
                _parts(visit, about["tokens"], first),
                layout.download("CSV", visit.file("document.csv", document=doc_id)),
            ],
            className="about",
        ),
        _strip(rows, SHADES[visit.state.colour], doc_id, marked),
        aside=_legend(visit),
    )


def _marked(visit: Visit[Any], tokens: int) -> int | None:
    """Position of the token that the address marks, if the document has it."""
    pos: int | None = visit.state.pos
    if pos is None or 0 <= pos < tokens:
        return pos
    visit.notes.append(f"The document has no position {pos}: its last is {tokens - 1}.")
    return None


def _parts(visit: Visit[Any], tokens: int, first: int) -> Component | None:
    """Links to the parts of a long document."""
    if tokens <= MOST:
        return None
    starts = range(0, tokens, MOST)
    links = [
        dcc.Link(
            f"{start:,}–{min(start + MOST, tokens) - 1:,}",
            href=visit.href(first=start, pos=None),
            className="on" if start == first else "",
        )
        for start in starts
    ]
    return html.Div(html.Div(links), className="options")


def _strip(rows: pl.DataFrame, shade: Shade, doc_id: int, marked: int | None) -> Component:
    """The tokens; ground by the shade's value, underlined where a rule is known; the one at the
    position marked is framed and brought into sight."""
    told = rows.to_dicts()
    return strip(
        rows["token"].to_list(),
        background=[_ground(shade, row[shade.label]) for row in told],
        underline=[SITES["resid"] if row["skill"] else "" for row in told],
        tips=[_told(row) for row in told],
        marked=[place for place, row in enumerate(told) if row["pos"] == marked],
        in_sight="" if marked is None else f"{doc_id} {marked}",
    )


def _ground(shade: Shade, value: float | None) -> str:
    if value is None:
        return ""
    share = math.log1p(value) / math.log1p(shade.full) if shade.log else value / shade.full
    return faint(NEGATIVE, round(0.75 * max(0.0, min(1.0, share)), 3))


def _told(row: dict[str, Any]) -> str:
    """What is known of a token."""
    said = [f"{clip(visible(row['token']), 60)}   at {row['pos']}"]
    if row["loss"] is None:
        return f"{said[0]}\nnot predicted"
    loss, entropy = (nats(row[key], unit="nats") for key in ("loss", "entropy"))
    said.append(f"loss {loss}, rank {row['rank']:,}, entropy {entropy}")
    if row["skill"]:
        rule = "/".join(clip(visible(part), 60) for part in (row["skill"], row["slot"]) if part)
        said.append(f"rule {rule}")
    if row["surprisal"] is not None:
        said.append(f"surprisal {nats(row['surprisal'], unit='nats')}")
    if row["trigram_seen"]:
        said.append("its trigram occurred before")
    return "\n".join(said)


def _legend(visit: Visit[Any]) -> Component:
    """Choice of the shade, and its scale."""
    shade = SHADES[visit.state.colour]
    steps = [0.0, 0.25, 0.5, 0.75, 1.0]
    scale = [
        html.Span(
            f"{shade.full**s if shade.log else shade.full * s:,.0f}",
            style={"backgroundColor": faint(NEGATIVE, 0.75 * s), "color": "var(--text)"},
        )
        for s in steps
    ]
    named = {name: s.label for name, s in SHADES.items()}
    return html.Div(
        [
            options(visit, "colour", "ground", named, visit.state.colour),
            html.Div([*scale, html.Span(shade.unit)], className="scale"),
            html.Span("rule known", style={"boxShadow": f"inset 0 -2px 0 {SITES['resid']}"}),
        ],
        className="legend",
    )


def _list(visit: Visit[Any], listed: pl.DataFrame) -> Component:
    rows = [
        {**row, "href": visit.href(document=row["doc_id"], first=0, pos=None)}
        for row in listed.to_dicts()
    ]
    columns = [
        Column("doc_id", "document", width=110),
        Column("subset", "subset", width=140),
        Column("tokens", "predicted", ",d", "tokens", width=90),
        Column("mean_loss", "mean loss", nats, "nats", term="loss", width=100),
        Column("excess", "excess", partial(nats, sign="+"), "nats", term="excess loss", width=110),
        Column("opening", "opening"),
    ]
    return table(TABLE, rows, columns, visit=visit, most_rows=12)


def _shard(doc_id: int) -> str:
    return f"{doc_id // PER_SHARD:05d}"


def _tokens(visit: Visit[Any], doc_id: int, first: int, most: int) -> pl.DataFrame:
    return visit.data.ask(
        "document_tokens",
        study=visit.study,
        shard=_shard(doc_id),
        doc_id=doc_id,
        first=first,
        most=most,
    )
