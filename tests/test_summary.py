"""The summary of a study: what it says of a lake made by hand, of one with holes, and its bars."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from rich.console import Console

from dagster_project.lake.store import Lake
from dagster_project.studies.study import ClusteringSpec
from dagster_project.summary.__main__ import main, show
from dagster_project.summary.blocks import REPRESENTATIONS, blocks
from dagster_project.summary.figures import VIEWS, Figures, figures
from tests.lake.frames import Row, put
from tests.sql.rows import faithful

README = Path(__file__).parents[1] / "README.md"
S = {"study": "s"}


def losses_of(skill: str, slot: str | None, loss: float, surprisal: float) -> Row:
    return {"skill": skill, "slot": slot, "loss": loss, "surprisal": surprisal, "piece": 0}


LOSSES: list[Row] = [  # two tokens of one piece: 2.5 + 0.5 − 1; then 0.25 − 0
    {"doc_id": 1, "pos": 1} | losses_of("date", "day", 2.5, 1.0),
    {"doc_id": 1, "pos": 2} | losses_of("date", "day", 0.5, 0.0),
    {"doc_id": 2, "pos": 1} | losses_of("sum", "result", 0.25, 0.0),
    {"doc_id": 2, "pos": 2, "loss": 0.75, "rank": 3},
]
SITE: Row = {"kind": "topk", "d_model": 8, "n_features": 64, "l0": 4.0, "fve": 0.875}
DICTIONARIES: list[Row] = [
    SITE | {"site": "embed", "loss_increase": 0.125, "dead_fraction": 0.25},
    SITE | {"site": "resid_0", "loss_increase": -0.0625, "dead_fraction": 0.0},
]
USUAL: Row = {"similarity": "cosine", "unit_norm_per_site": True, "unit_rows": True}
USUAL |= {"assign": "kmeans"}
CLUSTERED: Row = {"representation": "abs_effects", "n_clusters": 9} | USUAL
REPORT: Row = {"ari": 0.75, "previous_ari": 0.25, "answer_ari": 0.125, "last_ari": 0.5}
CIRCUIT: Row = {"circuit": "rc.ig.none", "edge_kind": "direct", "n_nodes": 12, "n_edges": 34}
CURVE: list[Row] = [
    faithful("feature", 50, 0.5, 50, errors="default", accuracy=0.75),
    faithful("feature", 100, 0.875, 100, errors="default"),
    faithful("feature", 50, 0.25, 50, errors="remove"),
    faithful("neuron", 50, 0.125, 50, errors="default"),
    faithful("random", 50, -0.5, 50, errors="default", seed=0),
    faithful("random", 50, 0.0, 50, errors="default", seed=1),
]

SHIFT: list[Row] = [
    {"probe": "p", "edit": "none", "accuracy": 0.5, "leakage": 1.0},
    {"probe": "p", "edit": "by_hand", "n_nodes": 3, "accuracy": 0.875, "leakage": 0.53125}
    | {"worst_group": 0.75},
    {"probe": "p", "edit": "by_hand", "retrained": True, "leakage": 0.625},
]


def put_corpus(lake: Lake, study: str = "s") -> None:
    """Two documents of two subsets."""
    documents: list[Row] = [{"doc_id": i, "pile_set_name": f"subset {i}"} for i in (1, 2)]
    put(lake, "documents", documents, study=study, shard="00000")


def put_losses(lake: Lake) -> None:
    tokens: list[Row] = [{"doc_id": i, "pos": p} for i in (1, 2) for p in (0, 1, 2)]
    put(lake, "tokens", tokens, **S, shard="00000")
    put(lake, "losses", LOSSES, **S, shard="00000")


def put_rest(lake: Lake) -> None:
    put(lake, "dictionaries", DICTIONARIES, **S)
    put(lake, "clusterings", [CLUSTERED | {"part": "choose", "ari": 0.875}], **S, clustering="c")
    put(lake, "clusterings", [CLUSTERED | REPORT | {"part": "report"}], **S, clustering="r")
    put(lake, "circuits", [CIRCUIT], **S, task="rc")
    put(lake, "faithfulness", CURVE, **S, task="rc")
    put(lake, "shift", SHIFT, **S)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


Said = Callable[..., str]


@pytest.fixture
def said(lake: Lake, capsys: pytest.CaptureFixture[str]) -> Said:
    """What the command prints of the lake, on one line with single spaces."""

    def run(*arguments: str, study: str = "s") -> str:
        assert main([study, "--root", str(lake.root), *arguments]) == 0
        return " ".join(capsys.readouterr().out.split())

    return run


def test_each_block_says_what_it_is_with_its_figures(lake: Lake, said: Said) -> None:
    put_corpus(lake)
    put_losses(lake)
    put_rest(lake)
    text = said()
    # (1.5 + −0.5 + 0.25) / 3 tokens whose surprisal is known; ranks 0 of 3 in 4
    for sentence in (
        "2 documents of 2 subsets in 1 shard, 6 tokens, 2 known rules.",
        "Model: 1 layer of width 8; dictionaries of 2 sites with 128 features.",
        "1.000 nats, 0.750 over the least possible, and is its first choice in 75%.",
        "each rule behind 2 pieces of text",
        "date/day 2.000 sum/result 0.250",
        "embed topk 64 4.0 87.5% +0.1250 25.0%",
        "resid_0 topk 64 4.0 87.5% -0.0625 0.0%",
        "|effects| (chosen) 9 0.875 0.750",
        "activations at the last position alone 0.500 previous token 0.250 answer token 0.125",
        "rc 75 12/34 50 88 – – 25 – – – 12 – – – <0 – – –",
        "p nothing 0 50 100 0 p features chosen by hand 3 88 53 75 make sql SQL=shift_compared",
    ):
        assert text.count(sentence) == 1, sentence


def test_tables_fit_a_narrow_terminal(lake: Lake) -> None:
    put_corpus(lake)
    put_losses(lake)
    put_rest(lake)
    large: Row = {"n_nodes": 1234, "n_error_nodes": 12, "n_edges": 23456}
    put(lake, "circuits", [CIRCUIT | large], **S, task="indirect_object")
    console = Console(file=io.StringIO(), width=80)
    for block in blocks("s", figures(lake, "s"), console.width):
        show(console, block)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    for whole in ("indirect_object", "1234/23456", "activations at the last position alone"):
        assert any(whole in line for line in lines), whole


def test_every_door_of_the_readme_is_named(lake: Lake, said: Said) -> None:
    put_corpus(lake)
    doors = README.read_text(encoding="utf-8").partition("## The doors")[2].partition("\n## ")[0]
    commands = set(re.findall(r"\(`(make [a-z]+)`", doors))
    assert len(commands) == 3
    text = said()
    assert all(command in text for command in commands)


def test_what_is_not_there_is_left_out_with_the_reason(lake: Lake, said: Said) -> None:
    put_corpus(lake)
    text = said()
    assert "2 documents of 2 subsets in 1 shard, 0 tokens." in text
    assert text.count("Left out:") == 4
    for stage in ("dictionary_quality", "clusterings", "circuits"):
        assert f"(stage {stage})" in text


def test_clusterings_that_report_nothing_are_listed_one_by_one(lake: Lake, said: Said) -> None:
    put_corpus(lake)
    whole: Row = {"part": "all", "n_contexts": 60, "silhouette": 0.25}
    put(lake, "clusterings", [CLUSTERED | whole], **S, clustering="c")
    assert "c abs_effects 9 60 0.250 –" in said()


def test_representations_that_differ_in_options_have_different_names(
    lake: Lake, said: Said
) -> None:
    put_corpus(lake)
    options: list[Row] = [
        {},
        {"errors": True},
        {"similarity": "angular"},
        {"aggregation": "last position"},
        {"assign": "hdbscan", "min_cluster_size": 4, "clusters_asked": 30, "n_clusters": 17},
    ]
    usual: Row = {"representation": "root_effects", "n_clusters": 30} | USUAL
    for place, more in enumerate(options):
        row = usual | more | {"part": "report", "ari": 0.5 - place / 16}
        put(lake, "clusterings", [row], **S, clustering=f"c{place}")
    text = said()
    for name in (
        "√|effects| 30",
        "√|effects|, with error nodes 30",
        "√|effects|, angular similarity 30",
        "√|effects|, at the last position 30",
        "√|effects|, by hdbscan from 4 on 30",
    ):
        assert text.count(name) == 1, name


def test_every_representation_has_a_name() -> None:
    assert set(REPRESENTATIONS) == set(get_args(get_type_hints(ClusteringSpec)["representation"]))


def test_names_from_outside_are_no_markup(lake: Lake, said: Said) -> None:
    put_corpus(lake)
    row = {"doc_id": 1, "pos": 1} | losses_of("[red]x[/nonsense]", None, 1.0, 0.0)
    put(lake, "losses", [row], **S, shard="00000")
    assert "[red]x[/nonsense] 1.000" in said()


def test_only_the_studys_own_rows_count(lake: Lake, said: Said) -> None:
    put_corpus(lake)
    put_corpus(lake, study="other")
    put_losses(lake)
    assert "Left out: no rules behind tokens" in said(study="other")


@pytest.mark.parametrize("made", [True, False])
def test_a_study_that_is_not_in_the_lake_is_an_error(
    lake: Lake, capsys: pytest.CaptureFixture[str], made: bool
) -> None:
    if made:
        put_corpus(lake)
    root = lake.root if made else lake.root / "nowhere"
    assert main(["absent", "--root", str(root)]) == 1
    assert "python -m dagster_project.run absent" in " ".join(capsys.readouterr().err.split())
    assert not (lake.root / "nowhere").exists()


def test_all_figures_are_written_as_json(lake: Lake, said: Said, tmp_path: Path) -> None:
    put_corpus(lake)
    put_losses(lake)
    put_rest(lake)
    said("--json", str(tmp_path / "out.json"))
    written = json.loads((tmp_path / "out.json").read_text())
    assert written == {"study": "s", **figures(lake, "s")._asdict()}
    assert set(VIEWS) == set(Figures._fields)
