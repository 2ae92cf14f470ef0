"""What may have been meant, where a name is unknown or an answer has no rows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import duckdb

from dagster_project.lake.queries import askable, literal

MOST = 10  # values listed
_MISSING = re.compile(r"Table(?: Function)? with name \"?(\w+)\"? does not exist")
_KEPT: dict[str, tuple[str, str]] = {  # where the values of a parameter are: column and table
    "study": ("study", "shards"),
    "task": ("task", "pairs"),
    "circuit": ("circuit", "circuits"),
    "one": ("circuit", "circuits"),
    "other": ("circuit", "circuits"),
    "clustering": ("clustering", "clusterings"),
    "site": ("site", "dictionaries"),
    "token": ("token", "tokens"),
}


def closest(name: str, known: Iterable[str]) -> list[str]:
    """All of them: what begins with the name, what has it inside, then the most alike."""

    def distance(candidate: str) -> tuple[bool, bool, float, str]:
        text, asked = candidate.lower().strip(), name.lower().strip()
        alike = difflib.SequenceMatcher(None, asked, text).ratio()
        return not text.startswith(asked), asked not in text, -alike, candidate

    return sorted(set(known), key=distance)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A line that names up to three of the known; empty where none is near."""
    near = difflib.get_close_matches(name, list(known := list(known)), n=1)
    within = [found for found in closest(name, known) if len(name) > 1 and name in found][:3]
    found = list(dict.fromkeys([*near, *within]))[:3]
    return f"\nDid you mean {' or '.join(found)}?" if found else ""


def of_error(error: Exception) -> str:
    """How a question is read that a statement names as what it is not; else empty."""
    if not (isinstance(error, duckdb.Error) and (found := _MISSING.search(str(error)))):
        return ""
    file = askable().get(found[1])
    return f"\nIt is read so: {file.read_so}" if file else ""


def none_of(name: str, value: str, known: Iterable[str]) -> str:
    """That a value is none of those there are, and which there are, the closest first."""
    listed = [repr(v) if v != v.strip() else v for v in closest(value, known)]
    more = f" and {len(listed) - MOST} more" if len(listed) > MOST else ""
    return f"no {name} is {value!r}; there are {', '.join(listed[:MOST])}{more}"


def values_of_column(connection: duckdb.DuckDBPyConnection, sql: str, name: str) -> set[str]:
    """The texts that a column of a table has; none where it is not of texts."""
    types = {str(n): str(kind) for n, kind, *_ in connection.execute(f"describe {sql}").fetchall()}
    if types.get(name) != "VARCHAR":
        return set()
    found = connection.execute(f'select distinct "{name}" from (\n{sql}\n)').fetchall()
    return {value for (value,) in found if value is not None}


def values_of_parameter(
    connection: duckdb.DuckDBPyConnection, name: str, study: str | None
) -> set[str]:
    """What a parameter of that name can be, of a study or of all; none where it is not known."""
    if name not in _KEPT:
        return set()
    column, table = _KEPT[name]
    of_study = f" where study = {literal(study, 'varchar')}" if study and name != "study" else ""
    found = connection.execute(f"select distinct {column} from {table}{of_study}").fetchall()
    return {str(value) for (value,) in found}
