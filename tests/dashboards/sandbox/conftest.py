"""A snapshot of the small lake, and the process that answers from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_project.lake.store import Lake
from dashboards.data import Data
from dashboards.sandbox.runner import Runner
from dashboards.sandbox.snapshot import Order, build, wanted


@pytest.fixture(scope="session")
def snapshot(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies `plain` and `hostile`, whole."""
    return taken(lake, tmp_path_factory.mktemp("snapshot") / "snapshot.duckdb")


@pytest.fixture(scope="session")
def runner() -> Runner:
    """Patient with a machine that has other things to do."""
    return Runner(seconds=60)


def taken(lake: Lake, file: Path) -> Path:
    data = Data(lake)
    held = {study: data.holdings(study) for study in data.studies()}
    for part in build(Order(root=str(lake.root), file=str(file), wants=wanted(held))):
        assert part["fault"] == ""
    return file
