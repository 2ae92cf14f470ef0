"""The model card of a folder of weights: what made them and every figure measured, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CARD, RECIPE_FILE = "README.md", "recipe.json"
SITE_FIGURES = {
    "n_features": "features",
    "l0": "L0",
    "fve": "variance explained",
    "loss_increase": "loss increase, nats",
    "loss_recovered": "loss recovered (mean)",
    "loss_recovered_zero": "loss recovered (zero)",
    "dead_fraction": "dead",
}


def card(folder: Path) -> str:
    """Made of `model/figures.json`, `dictionaries/figures.json` and `recipe.json`."""
    model, dictionaries = (
        json.loads((folder / part / "figures.json").read_text(encoding="utf-8"))
        for part in ("model", "dictionaries")
    )
    made = json.loads((folder / RECIPE_FILE).read_text(encoding="utf-8"))
    recipe = made["recipe"]
    return "\n".join(
        [
            "# Model card",
            "",
            f"A GPT-NeoX with {recipe['n_layers']} layers, width {recipe['d_model']} and "
            f"{recipe['n_heads']} heads, a byte-level BPE of {recipe['vocabulary']:,} entries, and "
            "sparse dictionaries for all of its sites. It has read "
            f"{recipe['documents']:,} generated documents (corpus version "
            f"{made['corpus_version']}, training seed {recipe['seed']}), each once, and is for "
            "measuring interpretability tools; it knows nothing of the world.",
            "",
            f"Measured on {recipe['held_out']:,} generated documents of another seed, with the "
            f"weights in float16 as they are stored: {model['loss']:.4f} nats a token, "
            f"{model['excess_loss_per_token']:.4f} more than the generator's own surprisal.",
            "",
            *_table(
                ("rule", "excess loss, nats a piece"), _numbers(model["excess_loss_per_piece"])
            ),
            "",
            "Accuracy is on words of the tasks' test halves, which the model has read; `withheld` "
            "is of nouns and auxiliaries that never were subject and main verb in what it read.",
            "",
            *_table(("task", "accuracy"), _numbers(model["accuracy"])),
            "",
            *_table(("site", *SITE_FIGURES.values()), _sites(dictionaries)),
            "",
        ]
    )


def _sites(figures: Mapping[str, Any]) -> Iterable[list[str]]:
    return ([site, *(_number(own[name]) for name in SITE_FIGURES)] for site, own in figures.items())


def _numbers(figures: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    return ((name, _number(value)) for name, value in figures.items())


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    names = list(head)
    lines = [names, ["---"] * len(names), *(list(row) for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]
