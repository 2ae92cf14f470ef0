"""Where two prompts differ, worked out by hand."""

from __future__ import annotations

import json

import polars as pl
import pytest

from dashboards.components.prompts import differing, prompts


@pytest.mark.parametrize(
    ("clean", "patch", "expected"),
    [
        ("The banker has", "The bankers has", ([1], [1])),
        ("a b c d", "x b c y", ([0, 3], [0, 3])),  # equally long: place by place
        ("a b c", "a b c", ([], [])),
        ("a c", "a b b c", ([], [1, 2])),  # what is between start and end alone
        ("a a", "a a a", ([], [2])),  # start and end do not overlap
        ("a b c", "", ([0, 1, 2], [])),
    ],
)
def test_words_that_differ(clean: str, patch: str, expected: tuple[list[int], list[int]]) -> None:
    assert differing(clean.split(), patch.split()) == expected
    assert differing(patch.split(), clean.split()) == expected[::-1]


def test_of_a_long_prompt_its_end_is_shown() -> None:
    row = {"split": "train", "example": 3, "case": None, "clean_prefix": "x" * 50 + " the end"}
    row |= {"patch_prefix": None, "clean_answer": " of", "patch_answer": None}
    made = prompts(pl.DataFrame([row]), 8).to_plotly_json()["props"]
    drawn = json.loads(made["data-with"])
    assert not drawn["paired"]
    (shown,) = drawn["rows"]
    assert shown["clean"]["strip"]["tokens"] == ["…", " the", " end"]
    assert shown["clean"]["answer"] == "·of"
    assert shown["patch"] is None
