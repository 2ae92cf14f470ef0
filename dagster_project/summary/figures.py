"""The figures of a study's summary: rows of shipped queries and of tables, from the lake alone."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, TypeAlias

import duckdb

from dagster_project.lake.catalog import connect, patiently
from dagster_project.lake.store import Lake

Row: TypeAlias = dict[str, Any]  # by column


class Figures(NamedTuple):
    """What is known of one study; no rows where its lake has none yet."""

    overview: list[Row]  # one row
    rules: list[Row]  # by known rule, farthest from its best possible loss first
    dictionaries: list[Row]  # by site, in forward order
    representations: list[Row]  # of clusterings that choose and report, best first
    clusterings: list[Row]
    circuits: list[Row]  # by task
    faithfulness: list[Row]  # by task, error mode and nodes kept
    shift: list[Row]  # by probe, edit and training


VIEWS = {
    "overview": "queries.study_overview",
    "rules": "queries.excess_loss_by_skill",
    "dictionaries": "queries.dictionary_quality",
    "representations": "queries.clusterings_compared",
    "clusterings": "clusterings",
    "circuits": "circuits",
    "faithfulness": "queries.faithfulness_curves",
    "shift": "queries.shift_compared",
}
"""Views of the catalog, by the figures that they hold."""


def figures(lake: Lake, study: str) -> Figures:
    """Figures of a study. Raises LakeError."""
    with connect(lake) as connection:
        return Figures(
            **{name: patiently(partial(_rows, connection, v, study)) for name, v in VIEWS.items()}
        )


def _rows(connection: duckdb.DuckDBPyConnection, view: str, study: str) -> list[Row]:
    return connection.sql(f"from {view} where study = ?", params=[study]).pl().to_dicts()
