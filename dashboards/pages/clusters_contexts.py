"""The contexts of a cluster or of a lasso as texts, the answer marked.

Drawn by assets/contexts.js, as one part: put in place link by link, a page of them takes 0.2 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl
from dash import dcc, html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import options, pager, toggle
from dashboards.components.marks import drawn
from dashboards.numbers import written
from dashboards.page import Visit
from dashboards.pages.clusters_state import ORDERS, WIDTHS, ClustersState, Shown, number
from dashboards.state import address
from dashboards.text import LONGEST_TOKEN, clip, visible

PER_PAGE = 20
DOCUMENTS = 1_000_000  # rows of a shard: doc_id is shard ordinal × this + row


def contexts_view(visit: Visit[ClustersState], shown: Shown) -> list[Component]:
    """A page of the contexts."""
    pages = max(1, -(-shown.listed.height // PER_PAGE))
    page = _page(visit, pages)
    rows = shown.listed[page * PER_PAGE : (page + 1) * PER_PAGE]
    tokens = tokens_of(visit, rows) if rows.height else {}
    texts = [_context(visit, shown, row, tokens) for row in rows.iter_rows(named=True)]
    clear = dcc.Link("clear the lasso", href=visit.href(lasso="", page=0))
    return [
        layout.bar(
            options(visit, "order", "Sort", ORDERS, visit.state.order, page=0),
            options(visit, "width", "Tokens before", WIDTHS, visit.state.width),
            toggle(visit, "breaks", "Line breaks"),
        ),
        layout.panel(
            _title(shown),
            drawn("contexts", {"contexts": texts, "none": "No context lies there."}),
            aside=[
                html.Span(clear if visit.state.lasso else None),
                pager(visit, page, pages),
            ],
            name="listed",
        ),
    ]


def tokens_of(visit: Visit[ClustersState], contexts: pl.DataFrame) -> dict[int, list[str]]:
    """The tokens before each context's answer, as many as are shown, and the answer last."""
    ordinals = contexts.select(pl.col("doc_id").unique() // DOCUMENTS).to_series().unique()
    shards = visit.data.ask("shard_names", study=visit.study)
    read = shards.filter(pl.col("ordinal").is_in(ordinals.to_list()))["shard"].to_list()
    windows = visit.data.ask(
        "context_windows",
        study=visit.study,
        contexts=contexts["context_id"].to_list(),
        shards=read,
        width=int(visit.state.width),
    )
    return dict(windows.select("context_id", "tokens").iter_rows())


def _title(shown: Shown) -> str:
    if shown.polygon:
        return f"{shown.listed.height:,} contexts within the lasso"
    return f"{shown.listed.height:,} contexts of cluster {number(shown.cluster)}"


def _page(visit: Visit[ClustersState], pages: int) -> int:
    """The page that is asked for; the nearest where there is no such page, and that is said."""
    asked = visit.state.page
    page = min(max(asked, 0), pages - 1)
    if page != asked:
        visit.notes.append(f"There is no page {asked + 1:,}; this is page {page + 1:,}.")
        visit.state = replace(visit.state, page=page)
    return page


def _context(
    visit: Visit[ClustersState], shown: Shown, row: Mapping[str, Any], tokens: dict[int, list[str]]
) -> dict[str, Any]:
    """A context as assets/contexts.js draws it: what is said of it, and its text."""
    text = tokens.get(row["context_id"], [row["answer"]])
    document = visit.to("losses", by="document", document=row["doc_id"], pos=row["pos"])
    known = row["rule"] or row["subset"] or ""
    windowed = written(row["context_loss"], ".4f", "nats")
    given = f"Of the answer, given the document. Given its window: {windowed}"
    said = [
        {"text": f"document {row['doc_id']}", "href": document},
        {"text": f"position {row['pos']:,}"},
        {"text": written(row["loss"], ".4f", "nats"), "tip": given},
        {"text": visible(clip(known, 60))},
    ]
    if shown.polygon:
        task = f"{shown.clustering}-{row['cluster']}"
        of = {"study": visit.study, "clustering": shown.clustering, "cluster": task}
        said.append({"text": f"cluster {number(row['cluster'])}", "href": address("clusters", of)})
    return {
        "said": said,
        "tokens": [visible(clip(part, LONGEST_TOKEN)) for part in text],
        "marked": [len(text) - 1],
        "breaks": visit.state.breaks,
    }
