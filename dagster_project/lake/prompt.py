"""SQL on a lake, `make sql`: a shipped question, one file, one statement, or a session.

    python -m dagster_project.lake.prompt [--root R] [NAME [name=value …] | FILE.sql | -c SQL]
                                          [--csv FILE | --json FILE | --parquet FILE]

NAME is a shipped question, a macro or a table; values are for its parameters, or keep the rows of
which a column has that value. Without any of them, and on a terminal, a prompt with history and
completion; a statement ends with a semicolon, and `.tables`, `.queries`, `.macros`,
`.schema losses`, `.ask loss_by_subset study=embedded`, `.quit` help, from a pipe too. The catalog
is opened read-only and published first when missing or outdated. A table shows the first 1,000
rows, a file holds all.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import duckdb
from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory
from rich.console import Console

from dagster_project.lake import outputs
from dagster_project.lake.asking import statement_of, why_no_rows
from dagster_project.lake.catalog import FILL, connect, existing, is_empty, patiently, root_option
from dagster_project.lake.commands import answer_command, completer
from dagster_project.lake.errors import LakeError
from dagster_project.lake.hints import of_error
from dagster_project.lake.rendering import fitted, told, visible

MAX_ROWS = 1000  # shown of a result
PIPE_WIDTH = 10_000  # characters: what is not a terminal wraps nothing


def main(arguments: list[str] | None = None) -> int:
    """Answer what the command line asks; the exit status."""
    given = _parser().parse_intermixed_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    notes = Console(stderr=True)
    try:
        lake = existing(given.root)
        if is_empty(lake):
            note(notes, f"{lake.root} is an empty lake: {FILL}")
        with connect(lake) as connection:
            sql = _asked(connection, given)
            kind = next((k for k in outputs.FORMATS if getattr(given, k)), None)
            if sql is None:
                converse(console, connection)
                return 0
            if kind:
                rows = _save(notes, connection, sql, kind, getattr(given, kind))
            else:
                rows = sum(answer(console, connection, part) for part in spoken(sql))
            if given.question and not rows:
                _explain(notes, connection, given.question)
    except EOFError:  # .quit
        return 0
    except (LakeError, duckdb.Error) as error:
        notes.print(told(error, of_error(error)))
        return 1
    return 0


def note(console: Console, text: str) -> None:
    """Print a remark that is no markup, unbroken."""
    console.print(visible(text), markup=False, highlight=False, soft_wrap=True)


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


def _save(
    notes: Console, connection: duckdb.DuckDBPyConnection, sql: str, kind: str, file: str
) -> int:
    rows = patiently(partial(outputs.write, connection, sql, kind, file))
    if file != "-":
        note(notes, f"{_size(rows)} in {file}")
    return rows


def _explain(
    console: Console, connection: duckdb.DuckDBPyConnection, question: Sequence[str]
) -> None:
    for line in why_no_rows(connection, question):
        note(console, f"{question[0]}: {line}")


def spoken(text: str) -> Iterator[str]:
    """What a pipe says, cut at lines that are commands: they stand between whole statements."""
    said = ""
    for line in text.splitlines(keepends=True):
        if line.startswith(".") and (not said.strip() or said.rstrip().endswith(";")):
            yield from (said, line)
            said = ""
        else:
            said += line
    yield said


def answer(console: Console, connection: duckdb.DuckDBPyConnection, text: str) -> int:
    """Do what a command or statements say; the rows shown. Raises EOFError for `.quit`."""
    if not text.startswith("."):
        return show(console, connection, text)
    try:
        command, *question = shlex.split(text.strip().rstrip(";"))
    except ValueError as error:  # a quote left open
        raise LakeError(f"{text}: {error}") from error
    if command != ".ask":
        console.print(answer_command(text))
        return 0
    if not question:
        raise LakeError(".ask takes a query or macro: .ask loss_by_subset study=embedded")
    rows = show(console, connection, statement_of(connection, question))
    if not rows:
        _explain(console, connection, question)
    return rows


def show(console: Console, connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    """Run statements and print the rows of each; how many rows."""
    total = 0
    for statement in duckdb.extract_statements(sql):
        names, rows = patiently(partial(_answer, connection, statement))
        console.print(fitted(console, names, rows[:MAX_ROWS]))
        console.print(_shown(len(rows)), style="dim")
        total += len(rows)
    return total


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
            answer(console, connection, text)
        except EOFError:
            return
        except (LakeError, duckdb.Error, ValueError) as error:  # ValueError: a quote left open
            console.print(told(error, of_error(error)))
        except KeyboardInterrupt:
            console.print("interrupted", style="dim")


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
        help="a question of sql/queries, a macro, a table or an SQL file, then name=value for its "
        "parameters or columns",
    )
    files = parser.add_mutually_exclusive_group()
    for kind in outputs.FORMATS:
        text = f"write all rows as {kind}" + ("" if kind == "parquet" else "; -: standard output")
        files.add_argument(f"--{kind}", metavar="FILE", help=text)
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `… | head` ends it without a word
    raise SystemExit(main())
