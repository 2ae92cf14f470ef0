"""The SQL that the project ships: `sql/views` (one a table) and `sql/queries` (one a question).

A file opens with header lines `-- key: text`; lines `--   text` continue the one before. Views
have what, grain and columns; queries question, grain and columns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dagster_project.lake.errors import LakeError

SQL_FOLDER = Path(__file__).resolve().parents[2] / "sql"
_HEADER = re.compile(r"-- (\w+):(.*)")


@dataclass(frozen=True)
class SqlFile:
    """A shipped statement."""

    name: str  # of the file, without .sql
    header: dict[str, str]  # question or what, grain, columns
    sql: str  # one select, without the final semicolon


@cache
def shipped(kind: str) -> dict[str, SqlFile]:
    """The files of `sql/<kind>` (views or queries) by name."""
    return {file.stem: read(file) for file in sorted((SQL_FOLDER / kind).glob("*.sql"))}


def read(file: Path) -> SqlFile:
    """An SQL file, its header apart. Raises LakeError where it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LakeError(f"{file}: no readable SQL file ({error})") from error
    return SqlFile(file.stem, _header(text), text.strip().removesuffix(";"))


def _header(text: str) -> dict[str, str]:
    header: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        if found := _HEADER.fullmatch(line):
            key = found[1]
            header[key] = found[2].strip()
        elif key:
            header[key] = f"{header[key]} {line[2:].strip()}".strip()
    return header
