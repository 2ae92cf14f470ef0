"""Bars: each reads its own figure, fails beyond its limit, and says which."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.bars import BARS, PROBES, STRUCTURES, Bar, judged

REPOSITORY = Path(__file__).parents[1]


def excellent() -> dict[str, Any]:
    """Figures that reach every bar."""
    skills = [
        "fact",
        "coreference",
        "html",
        "date",
        "record",
        "sum",
        "enumeration",
        "induction",
        "bracket",
    ]
    rules = [*((skill, "") for skill in skills), ("biography", "pronoun"), ("code", "last")]
    point = {"features": 0.96, "neurons": 0.3, "random": 0.0}
    return {
        "rules": [{"skill": s, "slot": t, "pieces": 10, "excess": 0.01} for s, t in rules],
        "dictionaries": [
            {"site": s, "l0": 16.0, "fve": 0.97, "loss_increase": 0.001, "dead_fraction": 0.0}
            for s in ("embed", "resid_0")
        ],
        "representations": [
            {"chosen": True, "report_ari": 0.8, "previous_ari": 0.3}
            | {"over_previous": 0.5, "over_answer": 0.5, "over_last": 0.1},
        ],
        "faithfulness": [
            {"task": task, "value": size, "errors": errors, **point}
            for task in (*STRUCTURES, "within_rc")
            for size in (50, 100, 200, 300)
            for errors in ("default", "remove")
        ],
        "shift": [
            {"probe": probe, "edit": edit, "retrained": False, "gain": 0.2}
            | {"leakage": 0.9, "off_chance": 0.02}
            for probe in PROBES
            for edit in ("none", "by_hand")
        ],
        "seconds": 200.0,
        "bytes": 5_000_000,
        "accuracy": {
            name + which: 1.0 for name in (*STRUCTURES, "within_rc") for which in ("", " withheld")
        },
    }


def test_excellent_figures_pass_every_bar() -> None:
    found = excellent()
    verdicts = [judged(bar, bar.figure(found)) for bar in BARS]
    assert [line for passed, line in verdicts if not passed] == []


@pytest.mark.parametrize("bar", BARS, ids=lambda bar: bar.name)
def test_a_bar_fails_without_a_figure_and_beyond_its_limit(bar: Bar) -> None:
    empty: dict[str, Any] = {name: [] for name in excellent()}
    nothing = bar.figure(empty | {"seconds": None, "bytes": 1e9, "accuracy": {}})
    assert not judged(bar, nothing)[0]
    limit = bar.known if bar.known is not None else bar.least if bar.least is not None else bar.most
    if limit is not None:
        worse = limit - 0.01 if bar.least is not None else limit + 0.01
        passed, line = judged(bar, worse)
        assert not passed
        assert line.startswith("FAILED")


def test_each_bar_reads_its_own_figure() -> None:
    """A figure made worse fails those bars that are about it, and no others."""
    found = copy.deepcopy(excellent())
    next(r for r in found["rules"] if r["skill"] == "html")["excess"] = 0.06
    found["dictionaries"][1]["loss_increase"] = 0.03  # of a stream: less than its 0.04
    found["dictionaries"][0]["dead_fraction"] = 0.2
    row = next(r for r in found["faithfulness"] if r["task"] == "rc" and r["value"] == 200)
    row["neurons"] = 0.97
    verdicts = {bar.name: judged(bar, bar.figure(found))[0] for bar in BARS}
    assert {name for name, passed in verdicts.items() if not passed} == {
        "excess loss, HTML",
        "excess loss, worst of the other rules",
        "dictionaries, most dead",
        "faithfulness, rc, 200 nodes, above neurons",
    }


def test_a_bar_known_to_be_missed_is_shown_and_guarded() -> None:
    bar = Bar("b", lambda found: found["x"], least=0.8, known=0.7)
    assert judged(bar, 0.75) == (True, "missed  b: 0.75 ≥ 0.8 (known; guarded at 0.7)")
    assert judged(bar, 0.69)[0] is False
    assert judged(bar, 0.8) == (True, "met     b: 0.8 ≥ 0.8")


def test_the_check_is_a_program_with_an_exit_status(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    for figures_, status in ((excellent(), 0), (excellent() | {"representations": []}, 1)):
        file.write_text(json.dumps(figures_))
        command = [sys.executable, "-m", "bench.bars", str(file), "100"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
        assert done.returncode == status, done.stdout + done.stderr
        assert "met     seconds of make demo: 100 ≤ 300" in done.stdout
