"""Hold a summary's figures against what they must reach: `python -m bench.bars SUMMARY SECONDS`.

SUMMARY is what `python -m dagster_project.summary embedded --json` writes, SECONDS what `make demo`
took. One line a bar; the exit status is 1 where one fails. A bar that the shipped weights are known
to miss has a floor (a ceiling where less is better): it is shown as missed with its figure, and
fails only beyond that. Accuracies are those that the recipe has measured and left beside the model.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

WEIGHTS = Path(__file__).resolve().parents[1] / "dagster_project" / "embedded" / "weights"
Figures = dict[str, Any]  # of the summary, with seconds, and bytes and accuracy of the weights
Figure = Callable[[Figures], "float | None"]


@dataclass(frozen=True)
class Bar:
    """A figure and what it must reach; without a limit it is only stated."""

    name: str
    figure: Figure
    least: float | None = None  # the figure must not be below this,
    most: float | None = None  # or not above this
    known: float | None = None  # the bar is missed; the figure must not be worse than this


def rules(skill: str, *slots: str) -> Figure:
    """Excess loss of a skill, or of some slots of it, in nats a piece."""

    def figure(found: Figures) -> float | None:
        chosen = [
            row
            for row in found["rules"]
            if row["skill"] == skill and (not slots or row["slot"] in slots)
        ]
        pieces = sum(row["pieces"] for row in chosen)
        return sum(row["excess"] * row["pieces"] for row in chosen) / pieces if pieces else None

    return figure


def worst_rule(found: Figures) -> float | None:
    """The largest excess loss of any one rule of the skills without bars of their own, in nats a
    piece."""
    rows = [row["excess"] for row in found["rules"] if row["skill"] not in LOOSER]
    return max(rows) if rows else None


def sites(
    column: str, worst: Callable[[Iterable[float]], float], *, resid: bool | None = None
) -> Figure:
    """The worst figure of the dictionaries; of the streams alone, or of the others."""

    def figure(found: Figures) -> float | None:
        chosen = [
            row[column]
            for row in found["dictionaries"]
            if resid is None or row["site"].startswith("resid_") == resid
        ]
        return worst(chosen) if chosen else None

    return figure


def curve(task: str, size: int, unit: str, errors: str = "default") -> Figure:
    """Faithfulness of a task's circuit with so many nodes."""

    def figure(found: Figures) -> float | None:
        key = (task, size, errors)
        rows = found["faithfulness"]
        return next((r[unit] for r in rows if (r["task"], r["value"], r["errors"]) == key), None)

    return figure


def above(task: str, size: int, unit: str) -> Figure:
    """By how much features are more faithful than neurons or random ones."""
    ours, theirs = curve(task, size, "features"), curve(task, size, unit)

    def figure(found: Figures) -> float | None:
        one, other = ours(found), theirs(found)
        return None if one is None or other is None else one - other

    return figure


def accuracy(name: str) -> Figure:
    """Share of pairs on which the model prefers the clean answer."""
    return lambda found: found["accuracy"].get(name)


def chosen(column: str) -> Figure:
    """A figure of the representation that is best on the choosing half."""

    def figure(found: Figures) -> float | None:
        return next((row[column] for row in found["representations"] if row["chosen"]), None)

    return figure


def probed(probe: str, edit: str, column: str) -> Figure:
    """A figure of a probe as it was trained, under an edit."""

    def figure(found: Figures) -> float | None:
        rows = (r for r in found["shift"] if not r["retrained"])
        return next((r[column] for r in rows if (r["probe"], r["edit"]) == (probe, edit)), None)

    return figure


LOOSER = ("induction", "sum", "enumeration", "bracket")  # skills with bars of their own
PROBES = ("nurse-pilot", "eight")
STRUCTURES = ("simple", "nounpp", "rc", "stacked", "past")
BARS = [
    *(
        Bar(f"accuracy on test words, {task}", accuracy(task), least=0.99)
        for task in (*STRUCTURES, "within_rc")
    ),
    *(
        Bar(f"accuracy on pairs never read, {task}", accuracy(f"{task} withheld"), least=0.99)
        for task in STRUCTURES
    ),
    Bar("excess loss, facts", rules("fact"), most=0.05),
    Bar("excess loss, pronouns", rules("biography", "pronoun", "possessive"), most=0.05),
    Bar("excess loss, coreference", rules("coreference"), most=0.05),
    Bar("excess loss, HTML", rules("html"), most=0.05),
    Bar("excess loss, dates", rules("date"), most=0.05),
    Bar("excess loss, JSON", rules("record"), most=0.05),
    Bar("excess loss, code copies", rules("code", "last", "argument"), most=0.05),
    Bar("excess loss, worst of the other rules", worst_rule, most=0.05),
    Bar("excess loss, sums", rules("sum"), most=0.15),
    Bar("excess loss, enumerations", rules("enumeration"), most=0.15),
    Bar("excess loss, induction", rules("induction"), most=0.15),
    Bar("excess loss, brackets", rules("bracket"), most=0.15),
    Bar("dictionaries, largest L0", sites("l0", max), most=16),
    Bar("dictionaries, least variance explained", sites("fve", min), least=0.95),
    Bar("dictionaries, loss increase, resid", sites("loss_increase", max, resid=True), most=0.04),
    Bar("dictionaries, loss increase, others", sites("loss_increase", max, resid=False), most=0.01),
    Bar("dictionaries, most dead", sites("dead_fraction", max), most=0.05),
    Bar("faithfulness, rc, 100 nodes", curve("rc", 100, "features"), least=0.85),
    Bar(
        "faithfulness, rc, 100 nodes, no errors",
        curve("rc", 100, "features", "remove"),
        least=0.85,
    ),
    *(
        Bar(f"faithfulness, {task}, 100 nodes", curve(task, 100, "features"), least=0.94)
        for task in (*STRUCTURES, "within_rc")
        if task != "rc"
    ),
    *(
        Bar(f"faithfulness, rc, {size} nodes, above {unit}", above("rc", size, unit), least=0.0)
        for size in (50, 100, 200, 300)
        for unit in ("neurons", "random")
    ),
    Bar("ARI of clusters", chosen("report_ari"), least=0.75),
    Bar("ARI above the previous token", chosen("over_previous"), least=0.20),
    Bar("ARI above the answer token", chosen("over_answer"), least=0.20),
    Bar("ARI above last-position activations", chosen("over_last"), least=0.05),
    Bar("ARI of the previous token", chosen("previous_ari"), most=0.40),
    *(
        bar
        for probe in PROBES
        for bar in (
            Bar(f"SHIFT, {probe}, leakage before", probed(probe, "none", "leakage"), least=0.65),
            Bar(f"SHIFT, {probe}, off chance", probed(probe, "by_hand", "off_chance"), most=0.05),
            Bar(f"SHIFT, {probe}, accuracy gained", probed(probe, "by_hand", "gain"), least=0.1),
        )
    ),
    Bar("megabytes of weights", lambda found: found["bytes"] / 1e6, most=6.0),
    Bar("seconds of make demo", lambda found: found["seconds"], most=300, known=900),
]


def judged(bar: Bar, figure: float | None) -> tuple[bool, str]:
    """Whether a bar passes, and the line that says so."""
    sign, limit = ("≥", bar.least) if bar.least is not None else ("≤", bar.most)
    if figure is None:
        return False, f"FAILED  {bar.name}: no figure"
    if limit is None:
        return True, f"stated  {bar.name}: {figure:.4g}"
    told = f"{bar.name}: {figure:.4g} {sign} {limit}"
    if reaches(bar, figure, limit):
        return True, f"met     {told}"
    if bar.known is None:
        return False, f"FAILED  {told}"
    kept = reaches(bar, figure, bar.known)
    return kept, f"{'missed' if kept else 'FAILED'}  {told} (known; guarded at {bar.known})"


def reaches(bar: Bar, figure: float, limit: float) -> bool:
    """Whether a figure is as good as a limit."""
    return figure >= limit if bar.least is not None else figure <= limit


def figures_of(summary: Path, weights: Path, seconds: float) -> Figures:
    """A summary's figures, with those of the weights that it is of."""
    size = sum(file.stat().st_size for file in weights.rglob("*") if file.is_file())
    known = json.loads((weights / "model" / "figures.json").read_text(encoding="utf-8"))
    found = json.loads(summary.read_text(encoding="utf-8"))
    return found | {"seconds": seconds, "bytes": size, "accuracy": known["accuracy"]}


def main() -> int:
    console = Console(soft_wrap=True)
    file, seconds = sys.argv[1:]
    found = figures_of(Path(file), WEIGHTS, float(seconds))
    verdicts = [judged(bar, bar.figure(found)) for bar in BARS]
    for _, line in verdicts:
        console.print(line, markup=False, highlight=False)
    failed = sum(not passed for passed, _ in verdicts)
    console.print(
        f"{failed} of {len(BARS)} bars failed" if failed else f"all {len(BARS)} bars pass"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
