"""A SQL prompt on a lake, `make sql`: one statement, one file, one shipped question, or a session.

`python -m dagster_project.lake.prompt [--root R] [file.sql | name of a shipped question]`, or
`-c "statement"`. Without either, and on a terminal, a prompt with history and completion; a
statement ends with a semicolon, and `.tables`, `.queries`, `.schema losses`, `.quit` help. The
catalog is opened read-only and published first when missing or outdated. At most 1,000 rows of a
result are printed; `copy (select …) to 'file.csv'` writes all of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import duckdb
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from dagster_project.lake.catalog import connect, patiently, root_option
from dagster_project.lake.errors import LakeError
from dagster_project.lake.queries import SqlFile, read, shipped
from dagster_project.lake.schemas import TABLES
from dagster_project.lake.store import Lake

MAX_ROWS = 1000  # printed of a result
PIPE_WIDTH = 10_000  # characters: what is not a terminal wraps nothing
WORDS = "select from where group by order limit having join using with as count avg sum desc"


def main(arguments: list[str] | None = None) -> int:
    """Answer what the command line asks; the exit status."""
    given = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    try:
        with connect(Lake(Path(given.root))) as connection:
            if given.command is not None:
                show(console, connection, given.command)
            elif given.file is not None:
                show(console, connection, statement_of(given.file))
            elif sys.stdin.isatty():
                converse(console, connection)
            else:
                show(console, connection, sys.stdin.read())
    except (LakeError, duckdb.Error) as error:
        Console(stderr=True).print(told(error))
        return 1
    return 0


def statement_of(given: str) -> str:
    """The SQL of a file or of a shipped question. Raises LakeError that lists the questions."""
    if given in shipped("queries"):
        return shipped("queries")[given].sql
    if Path(given).is_file():
        return read(Path(given)).sql
    known = ", ".join(shipped("queries"))
    raise LakeError(f"{given}: neither a file nor a shipped question, which are: {known}")


def show(console: Console, connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Run statements and print the rows of each."""
    for statement in duckdb.extract_statements(sql):
        names, rows = patiently(partial(_answer, connection, statement))
        console.print(rendered(names, rows[:MAX_ROWS]))
        console.print(_size(len(rows)), style="dim")


def _answer(
    connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement
) -> tuple[list[str], list[tuple[object, ...]]]:
    """Column names and the first rows, one more than are printed."""
    answer = connection.execute(statement)
    names = [str(column[0]) for column in answer.description or ()]
    return names, answer.fetchmany(MAX_ROWS + 1)


def _size(rows: int) -> str:
    if rows > MAX_ROWS:
        return f"first {MAX_ROWS} rows"
    return "1 row" if rows == 1 else f"{rows} rows"


def rendered(names: list[str], rows: Sequence[tuple[object, ...]]) -> RichTable:
    """Rows as a table; numbers to the right, floats in four significant digits."""
    table = RichTable(header_style="bold", box=SIMPLE_HEAD)
    for i, name in enumerate(names):
        number = any(isinstance(row[i], int | float) for row in rows)
        table.add_column(cell(name), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    return table


def cell(value: object) -> str:
    """A value as text of a cell; corpus text is neither markup nor does it steer the terminal."""
    if value is None:
        return "[dim]null[/dim]"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(cell(v) for v in value)
    return escape(visible(str(value)))


def visible(text: str) -> str:
    """Text on one line, with escapes for what is not seen but acts: control characters, marks that
    turn the direction of writing, and all else of Unicode's category C."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c).startswith("C") else c
        for c in text
    )


def told(error: Exception) -> str:
    """An error as markup; it may quote corpus text."""
    return "[red]" + escape("\n".join(map(visible, str(error).split("\n")))) + "[/red]"


def converse(console: Console, connection: duckdb.DuckDBPyConnection) -> None:
    """Read statements until the end of input; errors are shown and leave the session be."""
    console.print("SQL on the lake. A statement ends with ;   .help shows the commands.")
    for text in _statements(_session()):
        try:
            if text.startswith("."):
                console.print(answer_command(text))
            else:
                show(console, connection, text)
        except EOFError:
            return
        except (LakeError, duckdb.Error) as error:
            console.print(told(error))
        except KeyboardInterrupt:
            console.print("interrupted", style="dim")


def answer_command(text: str) -> str | RichTable:
    """The answer to a command of the prompt. Raises EOFError for `.quit`."""
    match text.rstrip(";").split():
        case [".quit" | ".exit"]:
            raise EOFError
        case [".tables"]:
            return rendered(["table", "rows are"], [(t.name, t.doc) for t in TABLES.values()])
        case [".queries"]:
            lines = [(f"queries.{q.name}", q.header["question"]) for q in _questions()]
            return rendered(["view", "question"], lines)
        case [".schema", name] if name in TABLES:
            columns = TABLES[name].columns
            rows = [(c.name, TABLES[name].sql_types[c.name], c.unit, c.doc) for c in columns]
            return rendered(["column", "type", "unit", "what"], rows)
    return ".tables   .queries   .schema <table>   .quit   or SQL that ends with ;"


def completer() -> WordCompleter:
    """Completes tables, columns, shipped questions and the commonest words of SQL."""
    tables = [*TABLES, *(f"queries.{q.name}" for q in _questions())]
    columns = sorted({name for table in TABLES.values() for name in table.schema.names()})
    commands = [".tables", ".queries", ".schema", ".quit"]
    return WordCompleter([*tables, *columns, *WORDS.split(), *commands], WORD=True)


def _questions() -> Iterator[SqlFile]:
    yield from shipped("queries").values()


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
    parser = argparse.ArgumentParser(description="SQL on a lake.")
    root_option(parser)
    parser.add_argument("-c", dest="command", help="one statement")
    parser.add_argument("file", nargs="?", help="an SQL file, or a question of sql/queries by name")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
