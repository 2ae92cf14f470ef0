"""The commands of the SQL prompt, `.tables` and the like, and what it completes."""

from __future__ import annotations

import re

from prompt_toolkit.completion import WordCompleter
from rich.table import Table

from dagster_project.lake.documentation import documentation
from dagster_project.lake.errors import LakeError
from dagster_project.lake.hints import did_you_mean
from dagster_project.lake.queries import SqlFile, askable, shipped
from dagster_project.lake.rendering import rendered
from dagster_project.lake.schemas import LOGGED, TABLES

VIEWS = TABLES | LOGGED
COMMANDS = (".tables", ".queries", ".macros", ".schema", ".ask", ".help", ".quit")
HELP = (
    ".tables   .queries   .macros   .schema <table, query or macro>   "
    ".ask <query or macro> name=value …   .quit   or SQL that ends with ;"
)
WORDS = (
    "select from where group by order having limit join left using on with as distinct case when "
    "then else end and or not null is in between like filter over partition count sum avg median "
    "min max quantile desc asc nulls last union all qualify describe summarize copy to"
)


def answer_command(text: str) -> str | Table:
    """The answer to a command of the prompt. Raises EOFError for `.quit`, LakeError for what is
    unknown."""
    match text.rstrip(";").split():
        case [".quit" | ".exit"]:
            raise EOFError
        case [".help"]:
            return HELP
        case [".tables"]:
            return rendered(["table", "rows are"], [(t.name, t.doc) for t in VIEWS.values()])
        case [".queries" | ".macros" as command]:
            return _listed(command[1:])
        case [".schema", name]:
            return _schema(name)
        case [".schema", *_]:
            raise LakeError(".schema takes one table, query or macro: .schema losses")
        case [command, *_]:
            hint = did_you_mean(command, COMMANDS)
            raise LakeError(f"unknown command {command}{hint}\n{HELP}")
    return HELP


def _schema(name: str) -> Table:
    if name in VIEWS:
        said = ("column_name", "type", "unit", "doc")
        rows = [tuple(row[key] for key in said) for row in documentation(VIEWS[name])]
        return rendered(["column", "type", "unit", "what"], rows)
    if (bare := name.removeprefix("queries.")) in askable():
        return _described(askable()[bare])
    raise LakeError(f"no table, query or macro {name!r}{did_you_mean(name, [*VIEWS, *askable()])}")


def _listed(kind: str) -> Table:
    """What can be asked, with its parameters."""
    prefix = "queries." if kind == "queries" else ""
    lines = []
    for file in shipped(kind).values():
        call = f"({', '.join(p.name for p in file.parameters)})"
        brackets = call if kind == "macros" or file.parameters else ""
        lines.append((f"{prefix}{file.name}{brackets}", file.answers))
    return rendered([kind, "answers"], lines)


def _described(file: SqlFile) -> Table:
    """Parameters, grain and columns of a query or macro."""
    given = [
        (p.name, p.type if p.default is None else f"{p.type} = {p.default}", p.doc)
        for p in file.parameters
    ]
    said = [(key, "", file.header[key]) for key in ("grain", "columns") if key in file.header]
    return rendered([file.name, "type", file.answers], [*given, *said])


def completer() -> WordCompleter:
    """Completes tables, columns, questions, macros and their parameters, the prompt's commands and
    the commonest words of SQL."""
    names = [*VIEWS, *shipped("macros"), *shipped("queries")]
    names += [f"queries.{name}" for name in shipped("queries")]
    columns = {name for table in VIEWS.values() for name in table.schema.names()}
    columns |= {p.name for file in askable().values() for p in file.parameters}
    words = [*names, *sorted(columns), *WORDS.split(), *COMMANDS]
    return WordCompleter(words, ignore_case=True, pattern=re.compile(r"[\w.]+"))
