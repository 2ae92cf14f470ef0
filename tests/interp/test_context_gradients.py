"""Rows of context_gradients, the sample that they are measured on, and their unit vectors."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from dagster_project.interp import context_gradients as module
from dagster_project.interp.context_gradients import (
    Cosines,
    compared,
    context_gradients,
    sample_size,
    tokens_at_once,
    unit_vectors,
)
from dagster_project.interp.gradient_projection import Projection, projection
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.parameter_gradients import layer_shapes
from tests.interp.full_gradients import full_gradients, stacked
from tests.interp.test_parameter_gradients import WINDOWS


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def exact(model: LanguageModel) -> Projection:
    return projection(layer_shapes(model), 10**6, seed=0)


def table(model: LanguageModel, batch_tokens: int = 12) -> pl.DataFrame:
    return pl.concat(context_gradients(model, WINDOWS, exact(model), batch_tokens))


def test_rows_are_the_gradients_in_the_order_of_the_contexts(any_model: LanguageModel) -> None:
    G = stacked(full_gradients(any_model, WINDOWS)).numpy()
    rows = table(any_model)
    assert rows.schema == {
        "context_id": pl.Int64,
        "vector": pl.List(pl.Float32),
        "norm": pl.Float32,
    }
    assert rows["context_id"].to_list() == [w.context_id for w in WINDOWS]
    vectors = np.stack([v.to_numpy() for v in rows["vector"]])
    np.testing.assert_allclose(vectors @ vectors.T, G @ G.T, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(rows["norm"], np.linalg.norm(G, axis=1), rtol=1e-4)


@pytest.mark.parametrize(("batch_tokens", "group"), [(1, 1024), (1000, 1024), (12, 2), (12, 1)])
def test_batches_and_frames_do_not_matter(
    tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch, batch_tokens: int, group: int
) -> None:
    expected = table(tiny_llama)
    monkeypatch.setattr(module, "GROUP", group)
    found = table(tiny_llama, batch_tokens)
    assert found["context_id"].equals(expected["context_id"])
    for a, b in zip(found["vector"], expected["vector"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_contexts_are_told_as_they_are_done(tiny_llama: LanguageModel) -> None:
    done: list[int] = []
    list(context_gradients(tiny_llama, WINDOWS, exact(tiny_llama), 12, done.append))
    assert sum(done) == len(WINDOWS)
    assert len(done) > 1


def test_a_batch_holds_what_memory_allows(
    tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """560 numbers a token: q, k, v, o: 32 + 24 + 24 + 32, the MLP's 3 · 56; of two layers."""
    assert tokens_at_once(tiny_llama, 100) == 100
    assert sample_size(tiny_llama, WINDOWS, 18) == 3  # of 6 tokens
    assert sample_size(tiny_llama, WINDOWS, 10**6) == module.SAMPLE
    assert sample_size(tiny_llama, [], 100) == module.SAMPLE
    monkeypatch.setattr(module, "AT_ONCE", 560 * 30)
    assert tokens_at_once(tiny_llama, 100) == 30
    assert sample_size(tiny_llama, WINDOWS, 100) == 5
    monkeypatch.setattr(module, "AT_ONCE", 560)
    assert sample_size(tiny_llama, WINDOWS, 100) == 2


def test_vectors_are_compared_with_the_gradients(any_model: LanguageModel) -> None:
    """Of three contexts, the vector of the third turned to that of the first."""
    G = stacked(full_gradients(any_model, WINDOWS[:3]))
    unit = (G / G.norm(dim=1, keepdim=True)).numpy()
    vectors = {w.context_id: unit[i].tolist() for i, w in enumerate(WINDOWS[:3])}
    found = compared(any_model, WINDOWS[:3], vectors)
    pairs = [unit[0] @ unit[1], unit[0] @ unit[2], unit[1] @ unit[2]]
    np.testing.assert_allclose(found.exact, pairs, atol=1e-5)
    np.testing.assert_allclose(found.projected, pairs, atol=1e-5)
    assert found.within(1e-4) == 1
    vectors[WINDOWS[2].context_id] = unit[0].tolist()
    wrong = compared(any_model, WINDOWS[:3], vectors)
    assert wrong.projected.tolist() == pytest.approx([pairs[0], 1, pairs[0]], abs=1e-5)
    assert wrong.largest == pytest.approx(1 - pairs[1], abs=1e-5)
    assert wrong.within(1e-4) == pytest.approx(1 / 3)


def test_zero_vectors_and_single_contexts_make_no_pair(tiny_llama: LanguageModel) -> None:
    vectors = {7: [1.0, 0.0], 9: [0.0, 0.0]}
    for windows in (WINDOWS[:2], WINDOWS[:1], []):
        found = compared(tiny_llama, windows, vectors)
        assert (len(found.exact), found.largest, found.within(0.05)) == (0, None, None)


def test_a_difference_of_the_error_is_within_it() -> None:
    apart = np.array([0.0, 0.25, 0.5], np.float32)
    assert Cosines(apart, np.zeros(3, np.float32)).within(0.25) == pytest.approx(2 / 3)


def test_unit_vectors_by_hand() -> None:
    rows = pl.LazyFrame(
        {"context_id": [4, 2, 9], "vector": [[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]]},
        {"context_id": pl.Int64, "vector": pl.List(pl.Float32)},
    )
    assert unit_vectors(rows, [2, 4]).tolist() == [[0, 0], pytest.approx([0.6, 0.8])]
    assert unit_vectors(rows, [2, 4]).dtype == np.float32
    with pytest.raises(ValueError, match="1 of 2 contexts have no gradient"):
        unit_vectors(rows, [4, 5])
