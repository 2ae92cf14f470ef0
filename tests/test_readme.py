"""The README is true where a program can tell: its study loads, its tables and targets exist."""

from __future__ import annotations

import re
from pathlib import Path

from dagster_project.lake.schemas import TABLES
from dagster_project.studies.study import read_study
from dagster_project.studies.sweep import points

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_study_that_it_shows_loads(tmp_path: Path) -> None:
    (shown,) = blocks("toml")
    file = tmp_path / "shown.toml"
    file.write_text(shown)
    study = read_study(file)
    assert study.cluster_tasks.clustering in study.clusterings
    assert study.tasks["number"].answers == (" was", " were")


def test_the_sweep_that_the_documentation_shows_loads(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "dictionaries.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    file = tmp_path / "stories.toml"
    file.write_text(shown)
    made = points(read_study(file))
    assert len(made) == 16
    assert (made["topk-x8-k4"].form, made["topk-x8-k4"].k) == ("topk", 4)
    assert {train.tokens for train in made.values()} == {400_000}


def test_it_names_every_table() -> None:
    section = README.split("## Tables")[1].split("## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]
    named = {name.strip() for cell in cells for name in cell.split(",")}
    assert set(TABLES) <= named


def test_its_commands_and_files_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", README)) <= targets
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (REPOSITORY / link).exists(), link
    for query in re.findall(r"make sql SQL=(\w+)`", README):
        assert (REPOSITORY / "sql" / "queries" / f"{query}.sql").is_file(), query
