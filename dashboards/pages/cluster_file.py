"""A cluster file of the original's format, read and shown in the browser alone.

The file is not sent anywhere: assets/cluster_file.js reads it. Its address holds no state.
"""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.marks import drawn
from dashboards.page import Page, PageState, Visit


def show(_: Visit[PageState]) -> Component:
    """The page, the same in every study."""
    forms = [
        (
            "contexts of a cluster",
            '{id: {"context": [tokens], "answer": token, "document_idx": n}}',
        ),
        ("the same in its first form", 'with "y" in place of "answer"'),
        ("clusterings of such contexts", "{k: [[cluster of each context], null]}; open both files"),
    ]
    return html.Div(
        [
            layout.panel(
                "File",
                drawn("clusterFile", {"most": 20}, "cluster-file"),
                aside="stays in this browser: nothing is sent",
            ),
            layout.panel(
                "What can be opened",
                layout.facts([(name, html.Code(form)) for name, form in forms]),
            ),
        ]
    )


PAGE = Page(
    "cluster-file",
    "Cluster file",
    "What is in a cluster that someone else found?",
    PageState,
    show,
    part_of="clusters",
)
