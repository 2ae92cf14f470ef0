"""Activations around examples, by hand; against a whole recomputation in test_features."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
import torch
from torch import Tensor

from dagster_project.interp import feature_windows
from dagster_project.interp.feature_tally import Active
from dagster_project.interp.feature_tokens import feature_tokens
from dagster_project.interp.feature_windows import NEAR, Windows
from tests.interp.test_feature_tokens import rows

# Feature 0 on tokens 0 2 3 5 of the first document and 6 of the second; feature 1 on 2 and 7.
PAIRS = [(0, 0, 1.0), (2, 0, 2.0), (3, 0, 3.0), (5, 0, 4.0), (6, 0, 5.0), (2, 1, 6.0), (7, 1, 7.0)]


def active(pairs: list[tuple[int, int, float]]) -> Active:
    token, feature = (torch.tensor([p[i] for p in pairs], dtype=torch.int64) for i in (0, 1))
    return Active(token, feature, torch.tensor([p[2] for p in pairs]))


def tenfold(found: Active) -> Callable[[Tensor], Tensor]:
    """Effects that are told from activations."""
    return lambda place: 10 * found.activation[place]


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """From two before to one after, within the document; examples in an order of their own."""
    monkeypatch.setattr(feature_windows, "BEFORE", 2)
    monkeypatch.setattr(feature_windows, "AFTER", 1)
    tokens = feature_tokens(rows({4: [9] * 6, 8: [9] * 2}), 0, None)
    examples = pl.DataFrame({"feature": [0, 0, 0, 1, 1], "token": [5, 6, 2, 7, 2]})
    windows = Windows(tokens, examples, n_features=2)
    for row, pairs in ((1, PAIRS[4:5] + PAIRS[6:]), (0, PAIRS[:4] + PAIRS[5:6])):
        windows.add([row], active(pairs), tenfold(active(pairs)))
    found = windows.near()
    assert found.schema == NEAR
    assert found["near_offsets"].to_list() == [[-2, 0], [0], [-2, 0, 1], [0], [0]]
    expected = [[3.0, 4.0], [5.0], [1.0, 2.0, 3.0], [7.0], [6.0]]
    assert found["near_activations"].to_list() == expected
    assert found["near_effects"].to_list() == [[10 * value for value in row] for row in expected]


def test_documents_without_examples_and_examples_without_anything() -> None:
    tokens = feature_tokens(rows({4: [9] * 6, 8: [9] * 2}), 0, None)
    examples = pl.DataFrame({"feature": [1], "token": [3]})
    windows = Windows(tokens, examples, n_features=2)
    windows.add([1], active(PAIRS[4:5]), tenfold(active(PAIRS[4:5])))
    windows.add([0], active([]), tenfold(active([])))
    assert windows.near().rows() == [([], [], [])]


def test_effects_that_are_not_finite_are_not_known() -> None:
    tokens = feature_tokens(rows({4: [9] * 6}), 0, None)
    windows = Windows(tokens, pl.DataFrame({"feature": [0], "token": [2]}), n_features=2)
    values = torch.tensor([1.0, torch.nan, torch.inf, -1.0])
    windows.add([0], active(PAIRS[:4]), lambda place: values[place])
    assert windows.near()["near_effects"].to_list() == [[1.0, None, None, -1.0]]
