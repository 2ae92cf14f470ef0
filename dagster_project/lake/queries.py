"""The SQL that the project ships: `sql/views` (one a table), `sql/macros` (what queries and people
repeat) and `sql/queries` (one a question).

A file opens with header lines `-- key: text`; lines `--   text` continue the one before. Views
have what, grain and columns; queries question, grain and columns; macros what, and grain and
columns where they make a table. Macros and some queries have parameters besides, one a line:
`--   name type: what it is`, or `--   name type = default: …`. The SQL says `$name` for one, as a
prepared statement does; in the catalog such a file is a macro.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from dagster_project.lake.errors import LakeError

SQL_FOLDER = Path(__file__).resolve().parents[2] / "sql"
_HEADER = re.compile(r"-- (\w+):(.*)")
_PARAMETER = re.compile(r"(\w+) (\w+)(?: = ([^:]+))?: (.+)")
_NAMED = re.compile(r"\$([a-z_]+)")


@dataclass(frozen=True)
class Parameter:
    """What a query or macro is asked with."""

    name: str
    type: str  # DuckDB's name of it
    default: str | None  # an SQL literal; None: it must be given
    doc: str


@dataclass(frozen=True)
class SqlFile:
    """A shipped statement."""

    name: str  # of the file, without .sql
    header: dict[str, str]  # question or what, grain, columns
    sql: str  # one select, or one expression, without the final semicolon
    parameters: tuple[Parameter, ...] = ()

    @property
    def answers(self) -> str:
        """The question, or what the view or macro is."""
        return self.header.get("question") or self.header.get("what", "")

    @property
    def makes_a_table(self) -> bool:
        """It is a select, not an expression."""
        return "grain" in self.header

    @property
    def needed(self) -> list[str]:
        """Names of the parameters that must be given."""
        return [p.name for p in self.parameters if p.default is None]

    def filled(self, values: Mapping[str, str | None]) -> str:
        """The SQL with literals for its parameters. Raises KeyError for one that is needed."""
        texts = {p.name: p.default for p in self.parameters if p.default is not None}
        types = {p.name: p.type for p in self.parameters}
        texts |= {name: literal(value, types[name]) for name, value in values.items()}
        return _NAMED.sub(lambda found: texts[found[1]], self.sql)

    def macro(self) -> str:
        """Parameter list and body, as `create macro` takes them after the name."""
        given = ", ".join(
            f"{p.name} {p.type}" + (f" := {p.default}" if p.default is not None else "")
            for p in self.parameters
        )
        body = _NAMED.sub(r"\1", self.sql)
        return f"({given}) as table\n{body}" if self.makes_a_table else f"({given}) as (\n{body}\n)"


def literal(value: str | None, kind: str) -> str:
    """An SQL literal of a type, from text."""
    quoted = "null" if value is None else "'" + value.replace("'", "''") + "'"
    return f"cast({quoted} as {kind})"


@cache
def shipped(kind: str) -> dict[str, SqlFile]:
    """The files of `sql/<kind>` (views, macros, queries) by name."""
    return {file.stem: read(file) for file in sorted((SQL_FOLDER / kind).glob("*.sql"))}


@cache
def in_order() -> tuple[tuple[str, SqlFile], ...]:
    """Kind and file of all macros and queries, each after those that it mentions."""
    files = {f.name: (kind, f) for kind in ("macros", "queries") for f in shipped(kind).values()}
    mentioned = {name: _mentioned(f) & (files.keys() - {name}) for name, (_, f) in files.items()}
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
    parameters = tuple(_parameter(file, line) for line in lines if line)
    body = text.strip().removesuffix(";")
    return SqlFile(file.stem, {k: " ".join(v).strip() for k, v in header.items()}, body, parameters)


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
