"""The table contract: every table of the lake, its columns, dtypes, units, keys and meaning.

Names and columns are what SQL, dashboards and notebooks rely on: tables and nullable columns may
be added, and whatever else changes raises CONTRACT_VERSION. Conventions: losses and entropies in
nats; site is `embed`, `attn_0`, `mlp_0`, `resid_0`, …; feature −1 is a site's error node; `pos`
counts tokens from 0, BOS included, except where its column says otherwise.
"""

from __future__ import annotations

from dagster_project.lake.circuit_tables import CIRCUIT_TABLES, DICTIONARY_TABLES, EFFECT_TABLES
from dagster_project.lake.columns import Column, PartitionKey, Table, arrow_type, sql_type
from dagster_project.lake.corpus_tables import CLUSTERING_TABLES, CORPUS_TABLES
from dagster_project.lake.label_tables import LABEL_TABLES
from dagster_project.lake.shift_tables import SHIFT_TABLES

__all__ = [
    "CONTRACT_VERSION",
    "LOGGED",
    "TABLES",
    "Column",
    "PartitionKey",
    "Table",
    "arrow_type",
    "sql_type",
]

CONTRACT_VERSION = 1

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        *CORPUS_TABLES,
        *DICTIONARY_TABLES,
        *CLUSTERING_TABLES,
        *EFFECT_TABLES,
        *CIRCUIT_TABLES,
        *SHIFT_TABLES,
    )
}
LOGGED: dict[str, Table] = {table.name: table for table in LABEL_TABLES}
"""Views of logs, which are queried like tables and written by people, not by stages."""
