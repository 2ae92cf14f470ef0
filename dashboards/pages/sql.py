"""SQL: a statement of one's own, or a shipped one, asked of a snapshot of the lake.

The page names the statement and the tables there are; assets/sql_*.js ask, and show what comes
(sandbox/routes.py). The address holds the statement, so a link to it asks it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dash import html
from dash.development.base_component import Component

from dagster_project.lake.queries import shipped
from dagster_project.lake.schemas import LOGGED, TABLES
from dashboards.components import layout
from dashboards.components.controls import choice
from dashboards.components.marks import drawn
from dashboards.components.tables import table
from dashboards.flow import FILLED_BY
from dashboards.page import Page, PageState, Visit
from dashboards.sandbox.runner import FILED, MEMORY, SECONDS, SHOWN
from dashboards.sandbox.snapshot import MOST_BYTES, MOST_ROWS
from dashboards.state import LONGEST

OPENING = "study_overview"
OWN = "A statement of your own"


@dataclass(frozen=True)
class SqlState(PageState):
    """What is asked."""

    query: str = ""  # a shipped one; empty: the opening one
    sql: str = ""  # one's own, in place of it


def show(visit: Visit[SqlState]) -> Component:
    """The page."""
    asked = {"sql": statement(visit), "study": visit.study, "longest": LONGEST - 200}
    asked["file"] = "answer.csv" if visit.state.sql else f"{visit.state.query}.csv"
    return html.Div(
        [
            html.Div(
                [
                    layout.bar(_questions(visit)),
                    layout.panel("Statement", drawn("sqlstatement", asked), aside=_bounds()),
                    html.Section([drawn("sqlanswer", {}), _grid()], className="panel sqlfound"),
                ]
            ),
            layout.panel("Tables", drawn("sqltables", _tables(visit)), name="sqlside"),
        ],
        className="sqlbench",
    )


def statement(visit: Visit[SqlState]) -> str:
    """The statement that the address stands for."""
    if visit.state.sql:
        return visit.state.sql
    queries = shipped("queries")
    file = queries[visit.choose("query", [*queries], OPENING)]
    examples = _examples(visit) if file.needed else {}
    return file.filled({name: examples[name] for name in file.needed})


def _examples(visit: Visit[SqlState]) -> dict[str, str | None]:
    """Values for what a question must be given: the first that the study has; null without any."""
    circuits = visit.data.ask("circuit_list", study=visit.study)["circuit"].to_list()
    clusterings = visit.data.ask("clustering_runs", study=visit.study)["clustering"].to_list()
    one, other = [*circuits, None, None][:2]
    return {"one": one, "other": other, "clustering": [*clusterings, None][0]}


def _questions(visit: Visit[SqlState]) -> Component:
    named = {name: file.header["question"] for name, file in shipped("queries").items()}
    if visit.state.sql:
        named = {"": OWN, **named}
    value = "" if visit.state.sql else visit.state.query
    return choice("query", "Question", named, value, resets="sql")


def _bounds() -> str:
    return (
        f"One select; $study is the study above. At most {SECONDS} s, {MEMORY >> 20} MiB, "
        f"{SHOWN.rows:,} rows shown, {FILED.rows:,} in a CSV"
    )


def _grid() -> Component:
    """The table of an answer, filled by sql_answer.js."""
    return table("sql-answer", [], [], suppressFieldDotNotation=True)


def _tables(visit: Visit[SqlState]) -> dict[str, Any]:
    """What is known of the tables before there is a snapshot."""
    told = [
        {
            "name": name,
            "doc": made.doc,
            "filled": f"the asset {visit.study}/{FILLED_BY[name]} fills it"
            if name in FILLED_BY
            else "readers fill it",
            "columns": [
                {"name": column, "type": kind, "doc": _doc(name, column)}
                for column, kind in made.sql_types.items()
            ],
        }
        for name, made in {**TABLES, **LOGGED}.items()
    ]
    size = f"{MOST_ROWS:,} rows or {MOST_BYTES >> 20} MiB of Parquet"
    note = (
        "What statements read: a copy, taken anew when the lake has changed. A table of more than "
        f"{size}, all studies together, is a sample: whole documents, contexts, features or tasks."
    )
    return {"study": visit.study, "tables": told, "note": note}


def _doc(table_name: str, name: str) -> str:
    made = {**TABLES, **LOGGED}[table_name]
    found = next((c for c in made.columns if c.name == name), None)
    if found is None:  # of the path
        return f"The row's {name}"
    return found.doc + (f" [{found.unit}]" if found.unit else "")


PAGE = Page("sql", "SQL", "What else would you like to know?", SqlState, show)
