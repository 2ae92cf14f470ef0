"""Time of every shipped question on a lake: `python -m bench.queries LAKE [--repeats N]`.

The lake is only read: the catalog's views are made in memory. Parameters that have no default are
taken from the lake: the largest clustering, the two largest circuits, the feature of most circuits
and a context with it. Reports, slowest first, rows, the best wall time of so many runs, and the
CPU time of all threads in that run: what the wall time would be at most on cores of one's own.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import duckdb
from rich.console import Console
from rich.table import Table

from dagster_project.lake.catalog import define_views
from dagster_project.lake.queries import SqlFile, in_order
from dagster_project.lake.store import Lake

CHOSEN = """
select
    (select max_by(study, n_nodes) from circuits) as study,
    (select max_by(clustering, n_contexts) from clusterings) as clustering,
    (select max_by(circuit, n_nodes, 2) from circuits) as circuits,
    (select {'site': site, 'feature': feature}
        from queries.shared_features order by circuits desc limit 1) as feature,
    (select {'doc_id': doc_id, 'pos': pos} from contexts limit 1) as place
"""


class Timing(NamedTuple):
    """What one question took."""

    name: str
    rows: int
    wall: float  # seconds
    cpu: float  # seconds of all threads


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.queries", description=__doc__)
    parser.add_argument("lake", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with duckdb.connect() as connection:
        define_views(connection, Lake(options.lake))
        values = chosen(connection)
        found = [
            timed(connection, file, values, options.repeats)
            for file in in_order()
            if file.makes_a_table or file.parameters
        ]
    table = Table("question", "rows", "wall ms", "cpu ms")
    for timing in sorted(found, key=lambda t: -t.wall):
        milliseconds = (f"{1000 * seconds:,.0f}" for seconds in (timing.wall, timing.cpu))
        table.add_row(timing.name, f"{timing.rows:,}", *milliseconds)
    Console().print(table)


def chosen(connection: duckdb.DuckDBPyConnection) -> dict[str, str | None]:
    """Values for the parameters of all questions."""
    row = connection.sql(CHOSEN).pl().row(0, named=True)
    first, other = (*(row["circuits"] or ()), None, None)[:2]
    feature, place = row["feature"] or {}, row["place"] or {}
    found = {**row, **feature, **place, "circuit": first, "one": first, "other": other}
    return {name: None if value is None else str(value) for name, value in found.items()} | {
        "source": "embed",
        "target": "y",
    }


def timed(
    connection: duckdb.DuckDBPyConnection,
    file: SqlFile,
    values: dict[str, str | None],
    repeats: int,
) -> Timing:
    """The best of some runs."""
    sql = file.filled({name: values.get(name) for name in file.needed})
    statement = sql if file.makes_a_table else f"select {sql}"
    runs = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        rows = connection.sql(statement).pl().height
        runs.append((time.perf_counter() - wall, time.process_time() - cpu, rows))
    best = min(runs)
    return Timing(file.name, best[2], best[0], best[1])


if __name__ == "__main__":
    main()
