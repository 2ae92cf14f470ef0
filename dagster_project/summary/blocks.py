"""The blocks of a study's summary: each a title, a sentence that says what it is, and a table.

A block without rows says which stage would make them. Tables fit 80 columns, and tell more where
there are WIDE.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from dagster_project.summary.figures import Figures, Row

SIZES, FEW_SIZES = (50, 100, 200, 300), (100, 300)  # nodes kept
WIDE = 110  # columns
MOST = 30  # rows of a table
NONE = "–"
REPRESENTATIONS = {
    "activations": "activations of features",
    "effects": "effects (activation × gradient)",
    "abs_effects": "|effects|",
    "root_effects": "√|effects|",
    "gradients": "gradients over the parameters",
}

EDITS = {
    "none": "nothing",
    "by_hand": "features chosen by hand",
    "by_rule": "features chosen by rule",
    "random": "random features",
    "neurons": "neurons chosen by rule",
    "oracle": "nothing, balanced training",
}


class Block(NamedTuple):
    """A part of the summary."""

    title: str
    sentence: str
    table: Table | None = None
    below: str = ""


def blocks(study: str, found: Figures, width: int = WIDE) -> Iterator[Block]:
    """All blocks, in the order of the flow."""
    yield overview(study, found.overview)
    yield losses(found.rules)
    yield dictionaries(found.dictionaries)
    yield clusterings(found.representations, found.clusterings)
    yield circuits(found.circuits, found.faithfulness, SIZES if width >= WIDE else FEW_SIZES)
    if found.shift:
        yield shift(found.shift)


def overview(study: str, rows: Sequence[Row]) -> Block:
    """Corpus and model in a few sentences."""
    (row,) = rows
    said = []
    if row["documents"]:
        rules = f", {row['rules']} known rules" if row["rules"] else ""
        said.append(
            f"Corpus: {_counted(row['documents'], 'document')} of "
            f"{_counted(row['subsets'], 'subset')} in {_counted(row['shards'], 'shard')}, "
            f"{row['tokens'] or 0:,} tokens{rules}."
        )
    if row["sites"]:
        said.append(
            f"Model: {_counted(row['n_layers'], 'layer')} of width {row['d_model']}; "
            f"dictionaries of {_counted(row['sites'], 'site')} with {row['n_features']:,} features."
        )
    if row["mean_loss"] is not None:
        best = "" if row["excess"] is None else f", {row['excess']:.3f} over the least possible"
        said.append(
            f"The next token costs it {row['mean_loss']:.3f} nats{best}, and is its first choice "
            f"in {row['top_share']:.0%}."
        )
    return Block(study, " ".join(said))


def losses(rules: Sequence[Row]) -> Block:
    """Excess loss by known rule."""
    title = "Loss by rule"
    if not rules:
        return Block(title, "Left out: no rules behind tokens are known (or no losses are there).")
    sentence = (
        f"How far the model is from each rule behind {sum(r['pieces'] for r in rules):,} pieces of "
        "text: excess is its loss beyond the least that the rule allows, in nats a piece; 0 is "
        "perfect."
    )
    table = _table("rule", "excess", "   rule", "excess")
    half = (len(rules) + 1) // 2
    for left, right in zip(rules[:half], [*rules[half:], None], strict=False):
        table.add_row(*_rule(left), *(_rule(right, "   ") if right else ()))
    return Block(title, sentence, table, "make sql SQL=excess_loss_by_skill")


def _rule(row: Row, indent: str = "") -> list[str]:
    name = row["skill"] + (f"/{row['slot']}" if row["slot"] else "")
    return [indent + escape(name), _number(row["excess"])]


def dictionaries(rows: Sequence[Row]) -> Block:
    """Quality by site."""
    title = "Dictionaries"
    if not rows:
        return Block(title, "Left out: none has been measured (stage dictionary_quality).")
    sentence = (
        "Each site's activation, rebuilt from the few features that are on (L0 a token): the "
        "share of its variance that they explain, what the loss rises by (nats) when the rebuilt "
        "one takes its place, and features that are never on."
    )
    table = _table("site", "kind", "features", "L0", "explained", "loss rises", "dead")
    for row in rows[:MOST]:
        table.add_row(
            row["site"],
            row["kind"],
            f"{row['n_features']:,}",
            f"{row['l0']:.1f}",
            f"{row['fve']:.1%}",
            f"{row['loss_increase']:+.4f}",
            f"{row['dead_fraction']:.1%}",
        )
    return Block(title, sentence, table, _more(rows, "make sql SQL=dictionary_quality"))


def clusterings(representations: Sequence[Row], rows: Sequence[Row]) -> Block:
    """Agreement with the known rules, beside trivial groupings; without rules, what there is."""
    title = "Clusters of contexts"
    if not rows:
        return Block(title, "Left out: none has been made (stage clusterings).")
    if any(row["report_ari"] is not None for row in representations):
        return _compared(title, representations)
    sentence = (
        "Contexts that the model predicts by the same features. Silhouette: how well they are "
        "apart (−1 to 1). ARI: agreement with known rules (1 is all, 0 is chance)."
    )
    table = _table("clustering", "representation", "clusters", "contexts", "silhouette", "ARI")
    for row in rows[:MOST]:
        names = [escape(row["clustering"]), row["representation"]]
        counts = [f"{row['n_clusters']:,}", f"{row['n_contexts']:,}"]
        table.add_row(*names, *counts, _number(row["silhouette"]), _number(row["ari"]))
    return Block(title, sentence, table, _more(rows, "make sql SQL=cluster_ranking"))


def _compared(title: str, rows: Sequence[Row]) -> Block:
    sentence = (
        "Contexts that the model predicts by the same features, held against the rules behind them "
        "(ARI: 1 is the rules, 0 is chance). The representation is chosen on one half of the "
        "contexts and reported on the other, beside groupings that take no gradient to find."
    )
    table = _table("grouped by", "clusters", "ARI, choosing", "reporting")
    for row in rows[:MOST]:
        name = _made_of(row) + (" (chosen)" if row["chosen"] else "")
        figures = (_number(row["choose_ari"]), _number(row["report_ari"]))
        style = "bold" if row["chosen"] else ""
        table.add_row(name, str(row["clusters_asked"]), *figures, style=style)
    chosen = next((row for row in rows if row["chosen"]), rows[0])
    for name, column in (
        ("activations at the last position alone", "last_ari"),
        ("previous token", "previous_ari"),
        ("answer token", "answer_ari"),
    ):
        table.add_row(name, "", "", _number(chosen[column]), style="dim")
    return Block(title, sentence, table, _more(rows, "make sql SQL=clusterings_compared"))


def _made_of(row: Row) -> str:
    """The representation, and which of its options are not the usual ones."""
    said = [REPRESENTATIONS[row["representation"]]]
    if row["aggregation"] == "last position":
        said.append("at the last position")
    if row["errors"]:
        said.append("with error nodes")
    if row["similarity"] != "cosine":
        said.append(f"{row['similarity']} similarity")
    if row["unit_norm_per_site"] is False and row["representation"] != "gradients":
        said.append("sites as they are")
    if row["unit_rows"] is False:
        said.append("rows as they are")
    if row["svd_cut"]:
        said.append(f"SVD cut {row['svd_cut']:g}")
    if row["assign"] not in (None, "kmeans"):
        least = row["min_cluster_size"]
        said.append(f"by {row['assign']}" + (f" from {least} on" if least else ""))
    return ", ".join(said)


def circuits(rows: Sequence[Row], faithfulness: Sequence[Row], sizes: Sequence[int]) -> Block:
    """Size and faithfulness by task, of circuits of direct edges."""
    title, rows = "Circuits", [row for row in rows if row["edge_kind"] == "direct"]
    if not rows:
        return Block(title, "Left out: none has been made (stage circuits).")
    told = ", ".join(map(str, sizes))
    sentence = (
        "For each task how often the model is right on held-out pairs; its circuit: nodes "
        "(features and error nodes) whose effect on the answer passes a threshold, and the edges "
        "between them; and faithfulness: how much, in %, of what the model does on held-out "
        f"prompts is left when only the strongest {told} nodes act (<0: less than without any). "
        "Features with and without their error nodes, neurons, and random features."
    )
    table = _table("task", "right", "nodes/edges", "features", "no errors", "neurons", "random")
    for row in rows[:MOST]:
        curve = [f for f in faithfulness if f["task"] == row["task"]]
        table.add_row(
            escape(row["task"]),
            _percent(next((f["accuracy"] for f in curve), None)),
            f"{row['n_nodes']}/{row['n_edges']}",
            _curve(curve, sizes, "default", "features"),
            _curve(curve, sizes, "remove", "features"),
            _curve(curve, sizes, "default", "neurons"),
            _curve(curve, sizes, _first_mode(curve), "random"),
        )
    return Block(title, sentence, table, _more(rows, "make sql SQL=faithfulness_curves"))


def shift(rows: Sequence[Row]) -> Block:
    """Probes before and after gender is ablated."""
    sentence = (
        "A probe of biographies that was trained where profession and gender come together, and "
        "asked where they do not: how often it is right, how often it says what gender would "
        "(leakage: 50 is chance), and is right in the worst of four subgroups, in %. As it is, "
        "with features of gender ablated, and beside baselines."
    )
    table = _table("probe", "ablated", "nodes", "right", "leakage", "worst group")
    once = [row for row in rows if not row["retrained"]]
    for row in once[:MOST]:
        shares = [_percent(row[name]) for name in ("accuracy", "leakage", "worst_group")]
        table.add_row(escape(row["probe"]), EDITS[row["edit"]], str(row["n_nodes"]), *shares)
    return Block("SHIFT", sentence, table, _more(once, "make sql SQL=shift_compared"))


def _first_mode(rows: Sequence[Row]) -> str:
    """The error mode of random circuits."""
    return next((row["errors"] for row in rows if row["random"] is not None), "default")


def _curve(rows: Sequence[Row], sizes: Sequence[int], errors: str, unit: str) -> str:
    """Faithfulness by size; of the first ablation where there are several."""
    first: dict[int, float | None] = {}
    for row in rows:
        if row["errors"] == errors:
            first.setdefault(row["value"], row[unit])
    found = [_percent(first.get(size)) for size in sizes]
    return NONE if set(found) == {NONE} else " ".join(value.rjust(2) for value in found)


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _percent(value: float | None) -> str:
    if value is None:
        return NONE
    return "<0" if round(100 * value) < 0 else f"{abs(value):.0%}".rstrip("%")


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        words = number == 0 or name.strip() in ("rule", "kind", "representation", "ablated")
        table.add_column(name, justify="left" if words else "right", overflow="fold")
    return table


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value + 0.0:.3f}"


def _more(rows: Sequence[Row], command: str) -> str:
    """The command that shows the block's rows, and how many are not shown."""
    return command if len(rows) <= MOST else f"{len(rows) - MOST} more: {command}"
