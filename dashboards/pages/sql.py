"""SQL: a statement of one's own, or a shipped one, asked of a snapshot of the lake.

The page names the statement and the tables there are; assets/sql_*.js ask, and show what comes
(sandbox/routes.py). The address holds the statement, so a link to it asks it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from dash import html
from dash.development.base_component import Component

from dagster_project.lake.queries import SqlFile, shipped
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
from dashboards.text import clip, visible

OPENING = "study_overview"
MOST_CHOICES = 200  # of a parameter, to choose from
OWN = "A statement of your own"


@dataclass(frozen=True)
class SqlState(PageState):
    """What is asked."""

    query: str = ""  # a shipped one; empty: the opening one
    given: str = ""  # values of its parameters, as a query string
    sql: str = ""  # one's own, in place of it


def show(visit: Visit[SqlState]) -> Component:
    """The page."""
    asked: dict[str, Any] = {
        "sql": statement(visit),
        "study": visit.study,
        "longest": LONGEST - 200,
    }
    asked["parameters"] = _parameters(visit)
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
    file = _file(visit)
    names = {p.name for p in file.parameters}
    visit.notes += [
        f"The question has no parameter “{clip(visible(name), 60)}”."
        for name in _given(visit)
        if name not in names
    ]
    return file.filled(_values(visit, file))


def _given(visit: Visit[SqlState]) -> dict[str, str]:
    """Values of parameters in the address."""
    return dict(parse_qsl(visit.state.given, keep_blank_values=True))


def _file(visit: Visit[SqlState]) -> SqlFile:
    """The shipped question that is asked."""
    queries = shipped("queries")
    return queries[visit.choose("query", [*queries], OPENING)]


def _values(visit: Visit[SqlState], file: SqlFile) -> dict[str, str | None]:
    """Values for the parameters of a question: those of the address, else the first that the study
    has of what must be given; the other defaults are left to the file."""
    given = {p.name: v for p in file.parameters if (v := _given(visit).get(p.name)) is not None}
    found = _found(visit) if file.needed else {}
    examples = {name: found[name][0] if found[name] else None for name in file.needed}
    if "other" in examples:
        examples["other"] = [*found["other"], None, None][1]
    return examples | given


def _found(visit: Visit[SqlState]) -> dict[str, list[str]]:
    """What a study has that a question may ask of, by the parameter's name."""
    circuits = visit.data.ask("circuit_list", study=visit.study)["circuit"].to_list()
    clusterings = visit.data.ask("clustering_runs", study=visit.study)["clustering"].to_list()
    return {"one": circuits, "other": circuits, "clustering": clusterings}


def _parameters(visit: Visit[SqlState]) -> list[dict[str, Any]]:
    """The fields of a question's parameters; a statement of one's own has none."""
    if visit.state.sql or not (file := _file(visit)).parameters:
        return []
    values, found = _values(visit, file), _found(visit)
    return [
        {
            "name": p.name,
            "doc": f"{p.doc} [{p.type}]",
            "value": values.get(p.name, (p.default or "").strip("'")) or "",
            "choices": found.get(p.name, [])[:MOST_CHOICES],
        }
        for p in file.parameters
    ]


def _questions(visit: Visit[SqlState]) -> Component:
    named = {name: file.header["question"] for name, file in shipped("queries").items()}
    if visit.state.sql:
        named = {"": OWN, **named}
    value = "" if visit.state.sql else visit.state.query
    return choice("query", "Question", named, value, resets="sql given")


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
