"""Time and memory of a whole study, by stage, into a new lake: `python -m bench [STUDY.toml]`.

Without a file the study is `embedded`. Runs `dagster_project.run` in a process of its own and
reports what Dagster recorded: seconds, peak memory and rows of each stage, bytes on disk, and the
whole run's wall time and peak memory.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from rich.console import Console
from rich.table import Table

from dagster_project.lake.schemas import TABLES
from dagster_project.lake.store import Lake

if TYPE_CHECKING:
    import dagster as dg

DEFAULT = "embedded"


def costs_by_asset(home: Path) -> pl.DataFrame:
    """Summed compute seconds and largest peak in MiB of each asset, from the metadata of its
    materializations."""
    import dagster as dg

    rows = []
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for key in instance.all_asset_keys():
            found = instance.fetch_materializations(key, limit=10_000).records
            events = [r.asset_materialization for r in found if r.asset_materialization]
            seconds, peaks = _numbers(events, "seconds"), _numbers(events, "peak memory, MiB")
            if seconds:
                rows.append((key.path[-1], len(seconds), sum(seconds), max(peaks)))
    schema = ["asset", "partitions", "seconds", "peak"]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _numbers(events: Sequence[dg.AssetMaterialization], name: str) -> list[float]:
    return [float(str(e.metadata[name].value)) for e in events if name in e.metadata]


def main() -> int:
    file = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
    study = file.stem if file else DEFAULT
    with tempfile.TemporaryDirectory() as folder:
        home, root = Path(folder, "dagster"), Path(folder, "lake")
        home.mkdir()
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        environment = os.environ | {
            "DAGSTER_HOME": str(home),
            "CIRCUIT_LAKE_ROOT": str(root),
        }
        if file:
            environment["CIRCUIT_LAKE_STUDIES"] = str(file.parent)
        started = time.perf_counter()
        command = [sys.executable, "-m", "dagster_project.run", study]
        if status := subprocess.run(command, env=environment, check=False).returncode:
            return status
        wall = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        lake = Lake(root)
        report(costs_by_asset(home), lake)
    title = f"{study}: {wall:.0f} s, peak memory {peak:.2f} GiB"
    Console().print(f"{title} ({os.cpu_count()} cores, {platform.machine()})")
    return 0


def report(costs: pl.DataFrame, lake: Lake) -> None:
    """Two tables: seconds and memory by asset, rows and bytes by table."""
    times = Table("asset", "partitions", "seconds", "peak memory, MiB")
    for asset, partitions, total, peak in costs.sort("seconds", descending=True).iter_rows():
        times.add_row(asset, str(partitions), f"{total:.1f}", f"{peak:,.0f}")
    sizes = Table("table", "rows", "bytes", "bytes a row")
    for name in TABLES:
        rows = lake.rows(name)
        size = lake.size(name)
        sizes.add_row(name, f"{rows:,}", f"{size:,}", f"{size / rows:.1f}" if rows else "–")
    Console().print(times, sizes)


if __name__ == "__main__":
    sys.exit(main())
