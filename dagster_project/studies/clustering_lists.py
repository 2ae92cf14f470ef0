"""Several clusterings from one table of a study: a list of n_clusters or of parts."""

from __future__ import annotations

from pathlib import Path

from dagster_project.studies.parsing import StudyError

LISTS = {"n_clusters": int, "part": str}
"""Keys that may hold a list, and the kind of its values."""


def with_lists(study: dict[str, object], file: Path) -> dict[str, object]:
    """A study's tables in which each clustering has one n_clusters and one part.

    `[clusterings.a] n_clusters = [100, 500]` becomes `a-100` and `a-500`, which differ in nothing
    else and share the embedding of the largest; `part = ["choose", "report"]` becomes `a-choose`
    and `a-report`. Raises StudyError where a list is none of different values, or a name is taken.
    """
    clusterings = study.get("clusterings")
    if not isinstance(clusterings, dict):
        return study
    made: dict[str, object] = {}
    for name, table in clusterings.items():
        for full_name, one in _one_by_one(name, table, file):
            if full_name in made or (full_name != name and full_name in clusterings):
                expected = f"a name that no list makes of clusterings.{name}"
                raise StudyError(file, f"clusterings.{full_name}", expected, full_name)
            made[full_name] = one
    return {**study, "clusterings": made}


def _one_by_one(name: str, table: object, file: Path) -> list[tuple[str, object]]:
    if not isinstance(table, dict):
        return [(name, table)]
    made = [(name, table)]
    for key in LISTS:
        if isinstance(table.get(key), list):
            values = _different(table[key], f"clusterings.{name}.{key}", file)
            made = [(f"{n}-{v}", {**t, key: v}) for n, t in made for v in values]
    sizes = table.get("n_clusters")
    widest = {"embedded": max(sizes)} if isinstance(sizes, list) else {}
    return [(full_name, {**widest, **one}) for full_name, one in made]


def _different(values: list[object], key: str, file: Path) -> list[object]:
    """A list's values. Raises StudyError where they are not different ones of the key's kind."""
    kind = LISTS[key.rpartition(".")[2]]
    known = [value for value in values if type(value) is kind]  # True is no number here
    if not values or len(set(known)) < len(values):
        one, all_ = ("number", "whole numbers") if kind is int else ("text", "texts")
        raise StudyError(file, key, f"a {one} or a list of different {all_}", values)
    return values
