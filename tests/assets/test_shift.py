"""The stage `shift` on a tiny model: rows, checks, and what makes it stale or refuses it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dagster_project import resources
from dagster_project.assets import shift
from dagster_project.assets.stage import StageResult, StageRun
from dagster_project.lake.store import Lake
from dagster_project.studies.parsing import StudyError
from dagster_project.studies.study import Study, read_study
from tests.conftest import taught, write_tiny_study
from tests.interp.ablation_cases import random_dictionaries

LIST = """
dictionaries = "other"
[[features]]
site = "embed"
feature = 3
why = "she"
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(write_tiny_study(tmp_path))


def made(study: Study, root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[StageResult, Lake]:
    """The stage, on dictionaries that need no training."""
    model = taught("llama")
    monkeypatch.setattr(resources, "dictionaries", lambda *_: random_dictionaries(model))
    lake = Lake(root)
    run = StageRun(study, lake, "", "v", lambda _: None)
    return shift.STAGE.compute(run), lake


def test_rows_are_those_of_each_probe(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert study.shift
    study = replace(study, shift=replace(study.shift, probes={"one": (), **study.shift.probes}))
    result, lake = made(study, tmp_path / "lake", monkeypatch)
    edits = lake.scan("shift", study="tiny").collect()
    assert set(edits["probe"]) == {"one", "two"}
    assert sorted(edits.filter(probe="two")["edit"]) == [
        *("by_rule", "by_rule", "neurons", "neurons", "none", "oracle", "random")
    ]
    groups = pl.concat_list("women_usual", "women_unusual", "men_usual", "men_unusual")
    means = edits.select(mean=groups.list.mean(), worst=groups.list.min())  # equally large groups
    assert means["mean"].to_list() == pytest.approx(edits["accuracy"].to_list())
    assert means["worst"].to_list() == pytest.approx(edits["worst_group"].to_list())
    features = lake.scan("shift_features", study="tiny").collect()
    assert features.filter(probe="one")["by_rule"].sum() == 3
    assert set(features["site"]) <= {"embed", "attn_0", "mlp_0", "resid_0"}
    assert all(check.passed for check in result.checks)
    assert {check.name for check in result.checks} == set(shift.STAGE.checks)
    assert result.plot


def test_what_cannot_be_fails_its_check(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, lake = made(study, tmp_path / "lake", monkeypatch)
    edits = lake.scan("shift", study="tiny").collect()
    features = lake.scan("shift_features", study="tiny").collect()

    def failed(edits: pl.DataFrame, features: pl.DataFrame) -> list[str]:
        return [check.name for check in shift.checks(edits, features) if not check.passed]

    assert failed(edits, features) == []
    assert failed(edits.with_columns(leakage=pl.lit(1.5)), features) == ["shares"]
    assert failed(edits.with_columns(accuracy=pl.lit(0.01)), features) == ["balanced"]
    nan = features.with_columns(effect=pl.lit(float("nan")))
    assert failed(edits, nan) == ["finite"]


def test_a_list_of_other_dictionaries_is_refused(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert study.shift
    (tmp_path / "list.toml").write_text(LIST)
    study = replace(study, shift=replace(study.shift, features="list.toml"))
    with pytest.raises(StudyError, match=r"list\.toml: dictionaries must be"):
        made(study, tmp_path / "lake", monkeypatch)


def test_the_lists_content_counts_not_its_name(study: Study, tmp_path: Path) -> None:
    assert study.shift
    content, reads = shift.STAGE.content, shift.STAGE.reads
    assert content
    versions = []
    for name, text in (
        ("a.toml", LIST),
        ("a.toml", LIST + "# more\n"),
        ("gone.toml", ""),
        ("", ""),
    ):
        if text:
            (tmp_path / name).write_text(text)
        named = replace(study, shift=replace(study.shift, features=name))
        versions.append(content(named, Lake(tmp_path), ""))
        assert reads(named, "") == reads(study, "")
    assert len(set(versions)) == 4
