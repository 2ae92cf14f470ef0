"""Progress of a stage that nobody watches goes into its log, now and then."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_project.assets.progress import EVERY, amount, progress
from dagster_project.assets.stage import StageRun
from dagster_project.lake.store import Lake
from dagster_project.studies.study import CorpusSpec, ModelSpec, Study


def test_a_line_every_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    study = Study("s", tmp_path / "s.toml", ModelSpec("m"), CorpusSpec())
    lines = list[str]()
    run = StageRun(study, Lake(tmp_path), "00003", "v", lines.append)
    with progress(run, "losses", "tokens", 3000) as advance:
        for _ in range(6):  # half of EVERY each
            now[0] += EVERY / 2
            advance(500)
    assert lines == [
        "losses 00003: 1,000 of 3,000 tokens",
        "losses 00003: 2,000 of 3,000 tokens",
        "losses 00003: 3,000 of 3,000 tokens",
    ]


@pytest.mark.parametrize(
    ("done", "total", "said"),
    [(0, 10, "0 of 10 rows"), (1234567, None, "1,234,567 rows"), (5, 0, "5 rows")],
)
def test_amounts(done: int, total: int | None, said: str) -> None:
    assert amount(done, total, "rows") == said
