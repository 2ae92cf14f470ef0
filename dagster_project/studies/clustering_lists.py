"""Several clusterings from one table of a study: a list of n_clusters or of parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_type_hints

from dagster_project.studies.parsing import StudyError, converted, to_dataclass

LISTS = ("n_clusters", "part")
"""Keys that may hold a list."""


def with_lists(study: dict[str, object], file: Path, spec: type) -> dict[str, object]:
    """A study's tables in which each clustering has one n_clusters and one part.

    `[clusterings.a] n_clusters = [100, 500]` becomes `a-100` and `a-500`, which differ in nothing
    else and share the embedding of the largest; `part = ["choose", "report"]` becomes `a-choose`
    and `a-report`. spec: the dataclass of one clustering; what it refuses is named as the file has
    it. Raises StudyError where a list is none of different values, or a name is taken.
    """
    clusterings = study.get("clusterings")
    if not isinstance(clusterings, dict):
        return study
    made: dict[str, object] = {}
    for name, table in clusterings.items():
        for full_name, one in _one_by_one(name, table, file, spec):
            if full_name in made or (full_name != name and full_name in clusterings):
                expected = f"a name that no list makes of clusterings.{name}"
                raise StudyError(file, f"clusterings.{full_name}", expected, full_name)
            made[full_name] = one
    return {**study, "clusterings": made}


def _one_by_one(name: str, table: object, file: Path, spec: type) -> Sequence[tuple[str, object]]:
    if not isinstance(table, dict):
        return [(name, table)]
    made: list[tuple[str, dict[str, object]]] = [(name, table)]
    for key in LISTS:
        if isinstance(table.get(key), list):
            values = _different(table[key], spec, key, f"clusterings.{name}.{key}", file)
            made = [(f"{n}-{v}", {**t, key: v}) for n, t in made for v in values]
    if made[0][0] != name:
        to_dataclass(spec, made[0][1], file, f"clusterings.{name}.")  # else named as the first
    sizes = table.get("n_clusters")
    widest = {"embedded": max(sizes)} if isinstance(sizes, list) else {}
    return [(full_name, {**widest, **one}) for full_name, one in made]


def _different(
    values: list[object], spec: type, key: str, full_key: str, file: Path
) -> list[object]:
    """A list's values. Raises StudyError where one is none of the key's, or two are the same."""
    hint = get_type_hints(spec, include_extras=True)[key]
    for place, value in enumerate(values):
        converted(hint, value, file, f"{full_key}[{place}]")
    if not values or len(set(values)) < len(values):
        raise StudyError(file, full_key, "a value or a list of different ones", values)
    return values
