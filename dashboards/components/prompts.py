"""Examples of tasks: clean prompt and patch side by side, what differs marked, each with its
answer. Drawn by assets/prompts.js."""

from __future__ import annotations

import re
from typing import Any

import polars as pl
from dash.development.base_component import Component

from dashboards.components import strips
from dashboards.components.marks import drawn
from dashboards.text import clip, token, visible

LONGEST_CASE = 60  # characters
_WORD = re.compile(r"\s*\w+|\s*[^\w\s]+|\s+")


def prompts(rows: pl.DataFrame, most: int) -> Component:
    """A row an example of `task_examples`. most: characters of a prompt, of which the last are
    shown."""
    paired = rows["patch_prefix"].is_not_null().any()
    shown = [_row(row, most) for row in rows.iter_rows(named=True)]
    return drawn("prompts", {"paired": paired, "rows": shown})


def differing(clean: list[str], patch: list[str]) -> tuple[list[int], list[int]]:
    """Places of the words that two prompts do not have in common: place by place where they are
    equally long, else all between their common start and their common end."""
    if len(clean) == len(patch):
        places = [
            i for i, (one, other) in enumerate(zip(clean, patch, strict=True)) if one != other
        ]
        return places, places
    start = _alike(clean, patch)
    shorter = min(len(clean), len(patch))
    end = min(_alike(clean[::-1], patch[::-1]), shorter - start)
    return [*range(start, len(clean) - end)], [*range(start, len(patch) - end)]


def _alike(one: list[str], other: list[str]) -> int:
    """How many words two prompts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _row(row: dict[str, Any], most: int) -> dict[str, Any]:
    clean, patch = (_words(row[f"{side}_prefix"], most) for side in ("clean", "patch"))
    marked = differing(clean, patch) if row["patch_prefix"] is not None else ([], [])
    return {
        "number": row["example"],
        "of": row["split"],
        "case": clip(visible(row["case"] or ""), LONGEST_CASE),
        "clean": _prompt(clean, marked[0], row["clean_answer"]),
        "patch": _prompt(patch, marked[1], row["patch_answer"]) if patch else None,
    }


def _words(text: str | None, most: int) -> list[str]:
    """The last words of a prompt."""
    if not text:
        return []
    cut = ["…"] if len(text) > most else []
    return cut + _WORD.findall(text[-most:])


def _prompt(words: list[str], marked: list[int], answer: str | None) -> dict[str, Any]:
    strip = strips.data(words, marked=marked, breaks=False)
    return {"strip": strip, "answer": None if answer is None else token(answer)}
