"""The command for one's own prompt, on the embedded study in a lake that has nothing yet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from dagster_project import resources
from dagster_project.assets.flow import STAGES
from dagster_project.assets.materialize import UnfitError
from dagster_project.interp.prompt import Prompt, circuit_of
from dagster_project.lake.catalog import connect
from dagster_project.lake.store import Lake
from dagster_project.prompt import main, meanings
from dagster_project.prompt_task import MADE, make, prompt_name, with_prompt
from dagster_project.studies.registry import load_studies
from dagster_project.studies.study import Study, read_study
from tests.conftest import write_tiny_study
from tests.lake.frames import put

PROMPT = Prompt("The baker near the doctors", " is", "The bakers near the doctors", " are")
NAME = prompt_name(PROMPT)
ASKED = ["embedded", "--clean", PROMPT.clean, "--answer", PROMPT.answer]
PATCHED = ["--patch", str(PROMPT.patch), "--patch-answer", str(PROMPT.patch_answer)]


@pytest.fixture(scope="module")
def study() -> Study:
    return load_studies().studies["embedded"]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """With the prompt's circuit of direct and of total edges."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    assert main([*ASKED, *PATCHED, "--total", "--root", str(lake.root)]) == 0
    return lake


def test_its_rows_are_those_of_the_function(lake: Lake, study: Study) -> None:
    model, dictionaries = resources.model(study), resources.dictionaries(study, lake)
    keys = {"study": "embedded", "task": NAME}
    for kind, threshold in (("direct", 0.01), ("total", 0.1)):
        (row,) = lake.scan("circuits", **keys).filter(edge_kind=kind).collect().to_dicts()
        found = circuit_of(
            model,
            dictionaries,
            PROMPT,
            edge_threshold=threshold,
            edge_kind="total" if kind == "total" else "direct",
        )
        assert (row["n_nodes"], row["n_edges"]) == (len(found.nodes), len(found.edges))
        assert row["total_effect"] == pytest.approx(
            (found.values.clean or 0) - (found.values.patch or 0), rel=1e-4
        )
        for table, frame, value in (
            ("circuit_nodes", found.nodes, "effect"),
            ("circuit_edges", found.edges, "weight"),
        ):
            rows = lake.scan(table, **keys).filter(circuit=row["circuit"]).collect()
            names = [c for c in frame.columns if c not in (value, "patch_only")]
            both = rows.join(frame, on=names, nulls_equal=True, suffix="_too")
            assert len(both) == len(rows) == len(frame)
            assert (both[value] - both[f"{value}_too"]).abs().max() < 1e-4  # type: ignore[operator]


def test_sql_shows_it_like_any_task(lake: Lake) -> None:
    with connect(lake) as connection:
        found = connection.sql("select circuit, edge_kind from circuits order by circuit").pl()
        assert found.rows() == [(f"{NAME}.ig.none", "direct"), (f"{NAME}.ig.none.total", "total")]
        for table in ("pairs", "site_effects", "node_effects"):
            tasks = connection.sql(f"select distinct task from {table}").pl()
            assert tasks["task"].to_list() == [NAME]
        between = connection.sql(
            f"from circuit_between(study := 'embedded', circuit := '{NAME}.ig.none', "
            "source := 'embed', target := 'y')"
        ).pl()
        assert set(between["up_site"]) >= {"embed", "attn_2", "resid_2"}


def test_the_same_prompt_is_the_same_partition(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    before = lake.file("circuits", study="embedded", task=NAME).stat().st_ino
    again = [*ASKED, *PATCHED, "--total", "--root", str(lake.root)]
    assert main(again) == 0
    assert "node_effects" not in capsys.readouterr().err  # it is fresh
    assert lake.file("circuits", study="embedded", task=NAME).stat().st_ino == before
    assert main([*again, "--threshold", "2"]) == 0
    assert lake.partitions("circuits", "embedded") == [NAME]
    nodes = lake.scan("circuit_nodes", study="embedded", task=NAME).collect()
    direct = nodes.filter(pl.col("circuit") == f"{NAME}.ig.none")
    assert direct["effect"].abs().min() > 2  # type: ignore[operator]
    assert main(again) == 0  # as the other tests have it


def test_what_is_printed(lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "picture.svg"
    assert main([*ASKED, *PATCHED, "--root", str(lake.root), "--svg", str(file)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert 'logit of " is" less that of " are": +3.387 after "The baker' in printed
    assert "resid_1/338@2" in printed
    assert str(file) in printed.replace(" ", "")
    assert file.read_text().startswith("<svg")
    assert main([*ASKED, "--name", "alone", "--root", str(lake.root)]) == 0
    assert 'log p(" is") after "The baker near the doctors"' in capsys.readouterr().out


def test_meanings_come_from_labels_and_from_what_features_raise(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    logit = {"site": "embed", "feature": 3, "sign": 1, "logit": 1.0}
    rows = [logit | {"rank": i, "token": text} for i, text in enumerate([" are", " have"])]
    put(lake, "feature_logits", [*rows, logit | {"sign": -1, "rank": 0, "token": " is"}], study="s")
    put(lake, "features", [{"site": "embed", "feature": 4, "label": "plural"}], study="s")
    nodes = pl.DataFrame({"site": ["embed"] * 4, "feature": [3, 4, -1, 9]})
    assert meanings(lake, "s", nodes) == [
        "raises ' are' ' have'",
        "plural",
        "what the dictionary leaves out",
        "",
    ]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nothing", *ASKED[1:]], 'There is no study "nothing". Studies: embedded'),
        ([*ASKED, "--patch", "The baker", "--patch-answer", " are"], "prompts differ in length"),
        ([*ASKED[:-1], " is happy"], "an answer must be one token, found 2 tokens"),
        ([*ASKED, "--name", "rc"], "expected one that no task of embedded has"),
        ([*ASKED, "--name", "root-effects-report-3"], "expected one that no task of embedded has"),
        ([*ASKED, "--name", "../x"], "expected letters, digits, - and _"),
    ],
)
def test_what_cannot_be_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    assert main([*arguments, "--root", str(tmp_path)]) == 1
    assert why in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.parquet"))


def test_dictionaries_that_need_a_corpus_are_asked_for(tmp_path: Path) -> None:
    study, lake = read_study(write_tiny_study(tmp_path)), Lake(tmp_path / "lake")
    prompt = Prompt("the girl", " was")
    task = with_prompt(study, lake, prompt, "mine")
    with pytest.raises(UnfitError, match="run tiny --only corpus documents tokens dictionaries"):
        make(task, lake, "mine", lambda _: None)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--patch", "The bakers"], "--patch needs --patch-answer"),
        (["--patch-answer", " are"], "--patch-answer needs --patch"),
    ],
)
def test_half_a_patch_is_refused_before_anything_is_imported(
    tmp_path: Path, arguments: list[str], why: str
) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "dagster_project.prompt"]
    asked = [*command, *ASKED, *arguments, "--root", str(tmp_path)]
    ended = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"error: {why}" in ended.stderr
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "argparse" in imported
    assert not imported & {"torch", "transformers", "dagster"}


def test_a_prompt_is_taken_out_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(tmp_path)]
    for name in ("mine", "other"):
        assert main([*ASKED, "--name", name, *root]) == 0
    lake = Lake(tmp_path)
    made = [table for stage in MADE for table in STAGES[stage].tables]
    assert all(lake.partitions(table, "embedded") == ["mine", "other"] for table in made)
    others = {file: file.stat().st_mtime_ns for t in made for file in lake.files(t, task="other")}
    capsys.readouterr()
    assert main(["embedded", "--remove", "mine", *root]) == 0
    assert "mine.jsonl" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*mine*"))
    assert others == {f: f.stat().st_mtime_ns for t in made for f in lake.files(t)}
    with connect(lake) as connection:
        assert connection.sql("select distinct task from circuits").pl()["task"].to_list() == [
            "other"
        ]
    for name in ("mine", "rc"):  # gone; a task of the study
        assert main(["embedded", "--remove", name, *root]) == 1
        assert "expected the name of a prompt, one of other" in capsys.readouterr().err


def test_names_tell_prompts_apart() -> None:
    assert NAME.startswith("prompt-the-baker-near-the-doctors-")
    other = prompt_name(PROMPT._replace(answer=" has"))
    assert other != NAME
    assert prompt_name(Prompt("…", "!")).count("-") == 1


def test_a_threshold_is_no_less_than_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*ASKED, "--threshold", "-1"])
    assert "expected 0 or more, found -1" in capsys.readouterr().err
