"""The SQL that the project ships: `sql/views` (one a table), `sql/macros` (what queries and people
repeat) and `sql/queries` (one a question).

A file opens with header lines `-- key: text`; lines `--   text` continue the one before. Views
have what, grain and columns; queries question, grain and columns; macros what, and grain and
columns where they make a table. Macros and some queries have parameters besides, one a line:
`--   name type: what it is`, or `--   name type = default: …`. The SQL says `$name` for one, as a
prepared statement does; in the catalog such a file is a macro. A file of one's own needs no header:
a `$name` that it uses is a parameter of any type.

Threads add in an order of chance, which shows in the last digits: queries round what they sum from
many rows to nine decimals, so that the files of two runs are the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from dagster_project.lake.errors import LakeError

SQL_FOLDER = Path(__file__).resolve().parents[2] / "sql"
_HEADER = re.compile(r"-- (\w+):(.*)")
_PARAMETER = re.compile(r"(\w+) (\w+)(?: = ([^:]+))?: (.+)")
_NAMED = re.compile(  # a parameter; or what may look like one inside: texts, names, comments
    r"\$([A-Za-z_]\w*)(?![\w$])|'(?:[^']|'')*'|\"[^\"]*\"|\$(\w*)\$.*?\$\2\$|--[^\n]*|/\*.*?\*/",
    re.DOTALL,
)


@dataclass(frozen=True)
class Parameter:
    """What a query or macro is asked with."""

    name: str
    type: str  # DuckDB's name of it; empty: any
    default: str | None  # an SQL literal; None: it must be given
    doc: str


@dataclass(frozen=True)
class SqlFile:
    """A shipped statement."""

    name: str  # of the file, without .sql
    header: dict[str, str]  # question or what, grain, columns
    sql: str  # one select, or one expression, without the final semicolon
    parameters: tuple[Parameter, ...] = ()
    kind: str = ""  # views, macros or queries; empty: a file of one's own

    @property
    def answers(self) -> str:
        """The question, or what the view or macro is."""
        return self.header.get("question") or self.header.get("what", "")

    @property
    def makes_a_table(self) -> bool:
        """It is a select, not an expression."""
        return "grain" in self.header

    @property
    def is_macro(self) -> bool:
        """The catalog has it as a macro, not as a view."""
        return self.kind == "macros" or bool(self.parameters)

    @property
    def called(self) -> str:
        """Its name in the catalog."""
        return f"queries.{self.name}" if self.kind == "queries" else self.name

    @property
    def read_so(self) -> str:
        """SQL that asks it, with `…` for each parameter that must be given."""
        given = ", ".join(f"{p.name} := {p.default or '…'}" for p in self.parameters)
        verb = "from" if self.makes_a_table else "select"
        return f"{verb} {self.called}({given})" if self.is_macro else f"{verb} {self.called}"

    @property
    def needed(self) -> list[str]:
        """Names of the parameters that must be given."""
        return [p.name for p in self.parameters if p.default is None]

    def filled(self, values: Mapping[str, str | None]) -> str:
        """The SQL with literals for its parameters. Raises KeyError for one that is needed."""
        texts = {p.name: p.default for p in self.parameters if p.default is not None}
        types = {p.name: p.type for p in self.parameters}
        texts |= {name: literal(value, types[name]) for name, value in values.items()}
        return _NAMED.sub(lambda found: texts[found[1]] if found[1] else found[0], self.sql)

    def macro(self) -> str:
        """Parameter list and body, as `create macro` takes them after the name."""
        given = ", ".join(
            f"{p.name} {p.type}" + (f" := {p.default}" if p.default is not None else "")
            for p in self.parameters
        )
        body = _NAMED.sub(lambda found: found[1] or found[0], self.sql)
        return f"({given}) as table\n{body}" if self.makes_a_table else f"({given}) as (\n{body}\n)"


def literal(value: str | None, kind: str) -> str:
    """An SQL literal of a type, from text. Without one DuckDB takes what stands beside it."""
    text = "null" if value is None else quoted(value)
    return f"cast({text} as {kind})" if kind else text


def quoted(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


@cache
def shipped(kind: str) -> dict[str, SqlFile]:
    """The files of `sql/<kind>` (views, macros, queries) by name."""
    files = sorted((SQL_FOLDER / kind).glob("*.sql"))
    return {file.stem: replace(read(file), kind=kind) for file in files}


def askable() -> dict[str, SqlFile]:
    """All queries by name, then all macros."""
    return shipped("queries") | shipped("macros")


@cache
def in_order() -> tuple[SqlFile, ...]:
    """All macros and queries, each after those that it mentions."""
    files = askable()
    mentioned = {name: _mentioned(f) & (files.keys() - {name}) for name, f in files.items()}
    order = TopologicalSorter({name: sorted(mentioned[name]) for name in sorted(mentioned)})
    return tuple(files[name] for name in order.static_order())


def read(file: Path) -> SqlFile:
    """An SQL file, its header apart. Raises LakeError where it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LakeError(f"{file}: no readable SQL file ({error})") from error
    header = _header(text)
    lines = header.pop("parameters", [])
    declared = [_parameter(file, line) for line in lines if line]
    body = text.strip().removesuffix(";")
    used = dict.fromkeys(found[1] for found in _NAMED.finditer(body) if found[1])
    others = used.keys() - {p.name for p in declared}
    undeclared = [Parameter(name, "", None, "") for name in used if name in others]
    said = {key: " ".join(lines).strip() for key, lines in header.items()}
    return SqlFile(file.stem, said, body, (*declared, *undeclared))


def _mentioned(file: SqlFile) -> set[str]:
    """Names that are called, or read in the schema `queries`."""
    return set(re.findall(r"\b(\w+)\(", file.sql)) | set(re.findall(r"\bqueries\.(\w+)", file.sql))


def _parameter(file: Path, line: str) -> Parameter:
    if found := _PARAMETER.fullmatch(line):
        return Parameter(found[1], found[2], found[3], found[4])
    raise LakeError(f"{file}: a parameter is `name type: what`, or with ` = default`: {line!r}")


def _header(text: str) -> dict[str, list[str]]:
    """Lines of each key."""
    header: dict[str, list[str]] = {}
    key = ""
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        if found := _HEADER.fullmatch(line):
            key = found[1]
            header[key] = [found[2].strip()]
        elif key:
            header[key].append(line[2:].strip())
    return header
