"""SQL on a lake, `make sql`: a shipped question, one file, one statement, or a session.

    python -m dagster_project.lake.prompt [--root R] [NAME [name=value …] | FILE.sql | -c SQL]
                                          [--csv FILE | --json FILE | --parquet FILE]

NAME is a shipped question or macro; values are for its parameters, or keep the rows of which a
column has that value. Without any of them, and on a terminal, a prompt with history and completion;
a statement ends with a semicolon, and `.tables`, `.queries`, `.macros`, `.schema losses`,
`.ask loss_by_subset study=embedded`, `.quit` help. The catalog is opened read-only and published
first when missing or outdated. A table shows the first 1,000 rows, a file holds all.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import duckdb
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory
from rich.console import Console
from rich.table import Table

from dagster_project.lake import outputs
from dagster_project.lake.asking import statement_of
from dagster_project.lake.catalog import connect, patiently, root_option
from dagster_project.lake.errors import LakeError
from dagster_project.lake.queries import SqlFile, shipped
from dagster_project.lake.rendering import rendered, told
from dagster_project.lake.schemas import LOGGED, TABLES
from dagster_project.lake.store import Lake

VIEWS = TABLES | LOGGED
MAX_ROWS = 1000  # shown of a result
PIPE_WIDTH = 10_000  # characters: what is not a terminal wraps nothing
COMMANDS = (".tables", ".queries", ".macros", ".schema", ".ask", ".quit")
WORDS = (
    "select from where group by order having limit join left using on with as distinct case when "
    "then else end and or not null is in between like filter over partition count sum avg median "
    "min max quantile desc asc nulls last union all qualify describe summarize copy to"
)


def main(arguments: list[str] | None = None) -> int:
    """Answer what the command line asks; the exit status."""
    given = _parser().parse_intermixed_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    try:
        with connect(Lake(Path(given.root))) as connection:
            sql = _asked(connection, given)
            if sql is None:
                converse(console, connection)
            elif kind := next((k for k in outputs.FORMATS if getattr(given, k)), None):
                _save(connection, sql, kind, getattr(given, kind))
            else:
                show(console, connection, sql)
    except (LakeError, duckdb.Error) as error:
        Console(stderr=True).print(told(error))
        return 1
    return 0


def _asked(connection: duckdb.DuckDBPyConnection, given: argparse.Namespace) -> str | None:
    """The SQL that the command line or a pipe asks; None: a session. Raises LakeError."""
    if given.command is not None and given.question:
        raise LakeError(f"-c or a question, not both: found {given.question[0]!r} besides")
    if given.command is not None:
        return str(given.command)
    if given.question:
        return statement_of(connection, given.question)
    if not sys.stdin.isatty():
        return sys.stdin.read()
    if any(getattr(given, kind) for kind in outputs.FORMATS):
        raise LakeError("a file needs something to be asked: a question, a file or -c")
    return None


def _save(connection: duckdb.DuckDBPyConnection, sql: str, kind: str, file: str) -> None:
    rows = patiently(partial(outputs.write, connection, sql, kind, file))
    if file != "-":
        told_of = f"{_size(rows)} in {file}"
        Console(stderr=True).print(told_of, markup=False, highlight=False, soft_wrap=True)


def show(console: Console, connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Run statements and print the rows of each."""
    for statement in duckdb.extract_statements(sql):
        names, rows = patiently(partial(_answer, connection, statement))
        console.print(rendered(names, rows[:MAX_ROWS]))
        console.print(_shown(len(rows)), style="dim")


def _answer(
    connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement
) -> tuple[list[str], list[tuple[object, ...]]]:
    """Column names and the first rows, one more than are printed."""
    answer = connection.execute(statement)
    names = [str(column[0]) for column in answer.description or ()]
    return names, answer.fetchmany(MAX_ROWS + 1)


def _shown(rows: int) -> str:
    if rows > MAX_ROWS:
        return f"first {MAX_ROWS:,} rows; --csv FILE writes all"
    return _size(rows)


def _size(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"


def converse(console: Console, connection: duckdb.DuckDBPyConnection) -> None:
    """Read statements until the end of input; errors are shown and leave the session be."""
    console.print("SQL on the lake. A statement ends with ;   .help shows the commands.")
    for text in _statements(_session()):
        try:
            if text.startswith(".ask "):
                show(console, connection, statement_of(connection, shlex.split(text)[1:]))
            elif text.startswith("."):
                console.print(answer_command(text))
            else:
                show(console, connection, text)
        except EOFError:
            return
        except (LakeError, duckdb.Error, ValueError) as error:  # ValueError: a quote left open
            console.print(told(error))
        except KeyboardInterrupt:
            console.print("interrupted", style="dim")


def answer_command(text: str) -> str | Table:
    """The answer to a command of the prompt. Raises EOFError for `.quit`."""
    match text.rstrip(";").split():
        case [".quit" | ".exit"]:
            raise EOFError
        case [".tables"]:
            return rendered(["table", "rows are"], [(t.name, t.doc) for t in VIEWS.values()])
        case [".queries" | ".macros" as command]:
            return _listed(command[1:])
        case [".schema", name] if name in VIEWS:
            columns = VIEWS[name].columns
            rows = [(c.name, VIEWS[name].sql_types[c.name], c.unit, c.doc) for c in columns]
            return rendered(["column", "type", "unit", "what"], rows)
        case [".schema", name] if name.removeprefix("queries.") in _by_name():
            return _described(_by_name()[name.removeprefix("queries.")])
    return (
        ".tables   .queries   .macros   .schema <table, query or macro>   "
        ".ask <query or macro> name=value …   .quit   or SQL that ends with ;"
    )


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


def _by_name() -> dict[str, SqlFile]:
    return shipped("queries") | shipped("macros")


def completer() -> WordCompleter:
    """Completes tables, columns, questions, macros and their parameters, the prompt's commands and
    the commonest words of SQL."""
    names = [*VIEWS, *shipped("macros"), *shipped("queries")]
    names += [f"queries.{name}" for name in shipped("queries")]
    columns = {name for table in VIEWS.values() for name in table.schema.names()}
    columns |= {p.name for file in _by_name().values() for p in file.parameters}
    words = [*names, *sorted(columns), *WORDS.split(), *COMMANDS]
    return WordCompleter(words, ignore_case=True, pattern=re.compile(r"[\w.]+"))


def _session() -> PromptSession[str]:
    state = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local/state"))
    folder = state / "circuit-lake"
    folder.mkdir(parents=True, exist_ok=True)
    history = FileHistory(str(folder / "sql_history"))
    return PromptSession(history=history, completer=completer(), complete_while_typing=False)


def _statements(session: PromptSession[str]) -> Iterator[str]:
    """What is typed, cut where a line ends with a semicolon or starts with a dot."""
    lines: list[str] = []
    while True:
        try:
            lines.append(session.prompt("  … " if lines else "sql> ").strip())
        except KeyboardInterrupt:
            lines = []
            continue
        except EOFError:
            return
        text = "\n".join(lines).strip()
        if not text or text.startswith(".") or text.endswith(";"):
            lines = []
            if text:
                yield text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make sql", description="SQL on a lake.")
    root_option(parser)
    parser.add_argument("-c", dest="command", metavar="SQL", help="statements")
    parser.add_argument(
        "question",
        nargs="*",
        metavar="NAME",
        help="a question of sql/queries, a macro or an SQL file, then name=value for its "
        "parameters or columns",
    )
    files = parser.add_mutually_exclusive_group()
    for kind in outputs.FORMATS:
        text = f"write all rows as {kind}" + ("" if kind == "parquet" else "; -: standard output")
        files.add_argument(f"--{kind}", metavar="FILE", help=text)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
