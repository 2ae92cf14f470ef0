"""Context features against a float64 model with one dictionary at a time inside its graph."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, get_args

import polars as pl
import pytest
import torch
from torch import Tensor

from dagster_project.interp import context_features as module
from dagster_project.interp import encoding
from dagster_project.interp.context_features import (
    EFFECT,
    Window,
    context_features,
    nodes,
    windows_of,
)
from dagster_project.interp.dictionary import (
    Activation,
    Dictionary,
    IdentityDictionary,
    SparseDictionary,
)
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import site_names
from dagster_project.studies.study import ContextFeaturesSpec, Metric
from tests.interp.in_graph import Key, Values, naive

BOS = 1
WINDOWS = [
    Window(7, [BOS, 20, 33, 41, 5], 12),
    Window(9, [17, 8, 60], 33),
    Window(11, [BOS, 44], 20),
    Window(30, [60, 50, 40, 30, 20, 10], 5),
]
EACH = ContextFeaturesSpec(aggregation="last", last_k=64, skip_bos=False)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def sparse(
    seed: int, activation: Activation, d_model: int = 16, n_features: int = 40
) -> SparseDictionary:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return SparseDictionary(
        W_enc=draw(n_features, d_model),
        b_enc=draw(n_features) - 1,
        W_dec=draw(n_features, d_model) / 6,
        b_dec=draw(d_model) / 10,
        activation=activation,
        k=5,
        threshold=0.4,
    )


def mixed(model: LanguageModel) -> dict[str, Dictionary]:
    """A dictionary of every kind, in turn."""
    kinds: tuple[Activation | Literal["identity"], ...] = ("topk", "identity", "relu", "jumprelu")
    found: dict[str, Dictionary] = {}
    for i, site in enumerate(site_names(model.n_layers)):
        kind = kinds[i % 4]
        found[site] = IdentityDictionary(16) if kind == "identity" else sparse(i, kind)
    return found


def table(
    model: LanguageModel, spec: ContextFeaturesSpec, batch_tokens: int = 12
) -> dict[Key, Values]:
    frames = pl.concat(context_features(model, mixed(model), WINDOWS, spec, batch_tokens))
    product = frames["gradient"].is_not_null()
    assert (frames["effect"].is_null() == product).all()  # stored is what nothing else tells
    return keyed(frames.with_columns(EFFECT))


def keyed(frame: pl.DataFrame) -> dict[Key, Values]:
    found = {tuple(row[:4]): tuple(row[4:]) for row in frame.iter_rows()}
    assert len(found) == len(frame), "a key occurs twice"
    return found


def sums(found: dict[Key, Values]) -> dict[Key, Values]:
    total: dict[Key, Values] = {}
    for (context, _, site, feature), (activation, _, effect) in found.items():
        key = (context, None, site, feature)
        a, _, e = total.get(key, (0.0, None, 0.0))
        total[key] = (a + activation, None, e + effect)
    return total


def assert_close(found: dict[Key, Values], expected: dict[Key, Values]) -> None:
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        for got, wanted in zip(found[key], values, strict=True):
            if wanted is None:
                assert got is None, key
            else:
                assert got == pytest.approx(wanted, rel=1e-4, abs=2e-5), key


@pytest.mark.parametrize("metric", get_args(Metric))
def test_equals_the_dictionary_in_the_graph(any_model: LanguageModel, metric: Metric) -> None:
    expected = naive(any_model, WINDOWS, mixed(any_model), metric)
    assert_close(table(any_model, replace(EACH, metric=metric)), expected)


def test_sum_adds_products_and_errors(tiny_llama: LanguageModel) -> None:
    expected = naive(tiny_llama, WINDOWS, mixed(tiny_llama), "log_prob")
    spec = ContextFeaturesSpec(aggregation="sum", skip_bos=False)
    assert_close(table(tiny_llama, spec), sums(expected))


@pytest.mark.parametrize("skip_bos", [True, False])
def test_the_last_position_besides_the_sums(tiny_llama: LanguageModel, skip_bos: bool) -> None:
    spec = ContextFeaturesSpec(aggregation="sum", also_last=True, skip_bos=skip_bos)
    summed = table(tiny_llama, replace(spec, also_last=False))
    last = table(tiny_llama, replace(spec, also_last=False, aggregation="last", last_k=1))
    assert {key[1] for key in last} == {-1}
    assert_close(table(tiny_llama, spec), summed | last)


def test_bos_is_left_out_where_a_window_starts_with_it(tiny_llama: LanguageModel) -> None:
    with_bos = table(tiny_llama, EACH)
    without = table(tiny_llama, replace(EACH, skip_bos=True))
    first = {7: -5, 11: -2}  # the windows that start with BOS
    assert_close(without, {k: v for k, v in with_bos.items() if k[1] != first.get(k[0])})


def test_last_keeps_the_last_positions(tiny_llama: LanguageModel) -> None:
    every = table(tiny_llama, EACH)
    last = table(tiny_llama, replace(EACH, last_k=2))
    assert {k[1] for k in last} == {-1, -2}
    assert_close(last, {k: v for k, v in every.items() if k[1] in (-1, -2)})


@pytest.mark.parametrize("batch_tokens", [1, 6, 12, 1000])
def test_batches_and_chunks_do_not_matter(
    tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch, batch_tokens: int
) -> None:
    spec = ContextFeaturesSpec()
    expected = table(tiny_llama, spec)
    monkeypatch.setattr(encoding, "ENCODED", 40 * batch_tokens)
    assert_close(table(tiny_llama, spec, batch_tokens), expected)


def test_a_context_that_is_bos_alone_has_no_rows(tiny_llama: LanguageModel) -> None:
    one = [Window(0, [BOS], 5)]
    spec = ContextFeaturesSpec()
    assert list(context_features(tiny_llama, mixed(tiny_llama), one, spec, 100)) == []


def test_sum_of_products_by_hand() -> None:
    # Two features with unit decoder rows; one context, two positions, x = f exactly.
    # f = (1, 0), (2, 3); G = (5, 7), (−1, 2), so that effects are 1·5 + 2·(−1) = 3 and 3·2 = 6;
    # the product of sums would be (1+2)(5−1) = 12 and 3·(7+2) = 27. No error.
    eye = torch.eye(2)
    dictionary = SparseDictionary(eye, torch.zeros(2), eye, torch.zeros(2))
    x, G = torch.tensor([[1.0, 0.0], [2.0, 3.0]]), torch.tensor([[5.0, 7.0], [-1.0, 2.0]])
    tokens = module.Tokens(torch.ones(1, 2), torch.tensor([4, 4]), torch.tensor([-2, -1]))
    frame = module._site_frame(dictionary, x, G, tokens, ContextFeaturesSpec()).sort("feature")
    assert frame.rows() == [(4, None, 0, 3.0, None, 3.0), (4, None, 1, 3.0, None, 6.0)]


def test_error_node_by_hand() -> None:
    # One feature reads the first coordinate: x̂ = (3, 0), ε = (0, 4), ‖ε‖ = 4, ε·G = 4·0.5.
    e = torch.tensor([[1.0, 0.0]])
    dictionary = SparseDictionary(e, torch.zeros(1), e, torch.zeros(2))
    found = nodes(dictionary, torch.tensor([[3.0, 4.0]]), torch.tensor([[10.0, 0.5]]))
    assert found.feature.tolist() == [-1, 0]
    assert found.activation.tolist() == [4.0, 3.0]
    assert found.effect.tolist() == [2.0, 30.0]
    assert math.isnan(found.gradient[0])
    assert found.gradient[1] == 10.0


def test_windows_are_the_tokens_before_the_answer() -> None:
    tokens = pl.DataFrame(
        {"doc_id": [1] * 5 + [2] * 3, "pos": [0, 1, 2, 3, 4, 0, 1, 2], "token_id": range(8)},
        schema={"doc_id": pl.Int64, "pos": pl.UInt16, "token_id": pl.UInt32},
    )
    contexts = pl.DataFrame(
        {"context_id": [3, 1, 0], "doc_id": [1, 1, 2], "pos": [1, 4, 2], "answer_id": [1, 4, 7]},
        schema={
            "context_id": pl.Int64,
            "doc_id": pl.Int64,
            "pos": pl.UInt16,
            "answer_id": pl.UInt32,
        },
    )
    found = windows_of(contexts, tokens.lazy(), n_ctx=3)
    assert found == [Window(0, [5, 6], 7), Window(1, [1, 2, 3], 4), Window(3, [0], 1)]


def test_sums_are_the_same_bytes_with_several_threads() -> None:
    """So many nodes that torch would share them among its threads."""
    draw = torch.Generator().manual_seed(0)
    n, n_features = 200_000, 16
    token = torch.randint(64, (n,), generator=draw).sort().values
    value = torch.rand(n, generator=draw)
    feature = torch.randint(n_features, (n,), generator=draw)
    found = module.Nodes(token, feature, value, value, value)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        context_id = torch.zeros(64, dtype=torch.int64)
        made = [module._summed(found, context_id, n_features) for _ in range(8)]
    finally:
        torch.set_num_threads(before)
    assert all(frame.equals(made[0]) for frame in made)
