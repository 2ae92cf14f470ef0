"""What the catalog says of itself: its tables `lake_contract`, `lake_columns` and `lake_queries`,
and the comments that DuckDB keeps of views, columns and macros.
"""

from __future__ import annotations

from functools import cache

import duckdb
import polars as pl

from dagster_project.lake.columns import Table
from dagster_project.lake.queries import SqlFile, askable, quoted, shipped
from dagster_project.lake.schemas import CONTRACT_VERSION, LOGGED, TABLES
from dagster_project.lake.writer import package_version


def describe(connection: duckdb.DuckDBPyConnection, root: str, made_for: str) -> None:
    """Make the tables that say what a catalog is."""
    mend = "run python -m dagster_project.lake.catalog --root <the lake's new folder>"
    contract = pl.DataFrame(
        {
            "contract_version": [CONTRACT_VERSION],
            "package_version": [package_version()],
            "root": [root],
            "after_a_move": [mend],
            "fingerprint": [made_for],
        }
    )
    columns = pl.DataFrame(
        [row for t in (*TABLES.values(), *LOGGED.values()) for row in documentation(t)]
    )
    questions = pl.DataFrame([_question(file) for file in askable().values()])
    described = {"lake_contract": contract, "lake_columns": columns, "lake_queries": questions}
    for name, frame in described.items():
        connection.register("described", frame)
        connection.execute(f"create table {name} as from described")
        connection.unregister("described")


def _question(file: SqlFile) -> dict[str, str]:
    return {
        "ask": file.read_so,
        "answers": file.answers,
        "parameters": "; ".join(
            f"{p.name} {p.type}" + (f" = {p.default}" if p.default else "") + f": {p.doc}"
            for p in file.parameters
        ),
        "grain": file.header.get("grain", "a value"),
        "columns": file.header.get("columns", ""),
    }


@cache
def comments() -> tuple[str, ...]:
    """Statements that give views, their columns and macros of a catalog their comments."""
    made = []
    for table in (*TABLES.values(), *LOGGED.values()):
        made.append(_comment("view", table.name, _said(shipped("views")[table.name], "grain")))
        for row in documentation(table):
            text = f"{row['doc']} [{row['unit']}]" if row["unit"] else str(row["doc"])
            made.append(_comment("column", f'{table.name}."{row["column_name"]}"', text))
    for file in askable().values():
        of_tables = "macro table" if file.makes_a_table else "macro"
        kind = of_tables if file.is_macro else "view"
        made.append(_comment(kind, file.called, _said(file, "grain", "columns")))
    return tuple(made)


def _comment(kind: str, name: str, text: str) -> str:
    return f"comment on {kind} {name} is {quoted(text)}"


def _said(file: SqlFile, *keys: str) -> str:
    return "\n".join([file.answers, *(f"{k}: {file.header[k]}" for k in keys if k in file.header)])


def grain(table: Table) -> tuple[str, ...]:
    """Columns that are unique to a row of the table (a shard adds nothing to a document)."""
    return tuple(key for key in (*table.path_keys, *table.key) if key != "shard")


def documentation(table: Table) -> list[dict[str, str | bool]]:
    """What `lake_columns` says of each column of a table, those of the path first."""
    path = {
        "study": "Study that the row belongs to",
        "shard": "Shard: row range of a source",
        "task": "Task that the row belongs to",
        "clustering": "Clustering that the row belongs to",
        "point": "Point of the sweep: its form, width and sparsity",
    }
    docs = {key: (path[key], "", False) for key in table.path_keys}
    docs |= {c.name: (c.doc, c.unit, c.nullable) for c in table.columns}
    return [
        {
            "table_name": table.name,
            "column_name": name,
            "type": table.sql_types[name],
            "unit": unit,
            "nullable": nullable,
            "in_key": name in grain(table),
            "doc": doc,
        }
        for name, (doc, unit, nullable) in docs.items()
    ]
