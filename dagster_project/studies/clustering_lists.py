"""Clusterings of several sizes from one table of a study: a list of n_clusters."""

from __future__ import annotations

from pathlib import Path

from dagster_project.studies.parsing import StudyError


def with_lists(study: dict[str, object], file: Path) -> dict[str, object]:
    """A study's tables in which each clustering has one n_clusters.

    `[clusterings.a] n_clusters = [100, 500]` becomes `a-100` and `a-500`, which differ in nothing
    else and share the embedding of the largest. Raises StudyError where a list is no list of
    different whole numbers, or where a name is taken.
    """
    clusterings = study.get("clusterings")
    if not isinstance(clusterings, dict):
        return study
    made: dict[str, object] = {}
    for name, table in clusterings.items():
        for full_name, one in _one_by_one(name, table, file):
            if full_name in made or (full_name != name and full_name in clusterings):
                expected = f"a name that no list of n_clusters makes of clusterings.{name}"
                raise StudyError(file, f"clusterings.{full_name}", expected, full_name)
            made[full_name] = one
    return {**study, "clusterings": made}


def _one_by_one(name: str, table: object, file: Path) -> list[tuple[str, object]]:
    sizes = table.get("n_clusters") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(sizes, list):
        return [(name, table)]
    known = [size for size in sizes if type(size) is int]  # True is no number here
    if not sizes or len(set(known)) < len(sizes):
        expected = "a number or a list of different whole numbers"
        raise StudyError(file, f"clusterings.{name}.n_clusters", expected, sizes)
    widest = {"embedded": max(known)}
    return [(f"{name}-{size}", {**widest, **table, "n_clusters": size}) for size in known]
