"""Projections of gradients: exact without compression, unbiased with it, as near as is said."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from dagster_project.embedded.corpus import document
from dagster_project.interp import gradient_projection as module
from dagster_project.interp.context_features import Window
from dagster_project.interp.context_gradients import Cosines, compared
from dagster_project.interp.gradient_projection import project, projection, size_for
from dagster_project.interp.loading import load_model
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.parameter_gradients import (
    LayerGradient,
    Shape,
    cosines,
    inner_products,
    layer_shapes,
)
from dagster_project.resources import WEIGHTS
from tests.interp.full_gradients import full_gradients, stacked
from tests.interp.test_parameter_gradients import WINDOWS, assert_close, layers_of

SHAPES = {"a": Shape(3, 4), "b": Shape(2, 5), "c": Shape(6, 1)}  # 12 + 10 + 6 entries


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def entries() -> dict[str, LayerGradient]:
    """28 contexts, each with a 1 in one entry of one layer; one token each."""
    layers, first = {}, 0
    for name, shape in SHAPES.items():
        x, delta = torch.zeros(28, 1, shape.inputs), torch.zeros(28, 1, shape.outputs)
        for row in range(shape.outputs):
            for column in range(shape.inputs):
                delta[first, 0, row] = x[first, 0, column] = 1
                first += 1
        layers[name] = LayerGradient(x, delta)
    return layers


@pytest.mark.parametrize("width", [7, 10, 27])
def test_each_entry_has_one_place_and_those_of_a_block_different_ones(width: int) -> None:
    found = project(entries(), projection(SHAPES, width, seed=3)).vectors
    assert found.shape == (28, width)
    assert found.abs().sum(1).eq(1).all()
    place = found.abs().argmax(1)
    for start in range(0, 28, width):
        block = place[start : start + width]
        assert block.unique().numel() == block.numel()
        steps = {int(b - a) % width for a, b in pairwise(block)}
        assert steps <= {1}  # rotated
    assert {-1.0, 1.0} <= set(found.flatten().tolist())


def test_without_compression_inner_products_are_exact(any_model: LanguageModel) -> None:
    G = stacked(full_gradients(any_model, WINDOWS))
    by = projection(layer_shapes(any_model), 10**6, seed=0)
    assert by.width == G.shape[1]  # no number more than there are parameters
    found = project(layers_of(any_model, WINDOWS), by)
    assert_close(found.vectors @ found.vectors.T, G @ G.T)
    assert_close(found.norms, G.norm(dim=1))


@pytest.mark.parametrize("size", [10, 40])
def test_inner_products_are_unbiased(any_model: LanguageModel, size: int) -> None:
    """10: P and Q of what is wider than 20, and the sum; 40: the sum alone."""
    layers = layers_of(any_model, WINDOWS)
    shapes = layer_shapes(any_model)
    unit = inner_products(layers).diagonal().sqrt()
    drawn = []
    for seed in range(400):
        found = project(layers, projection(shapes, size, seed)).vectors / unit[:, None]
        drawn.append(found @ found.T)
    products = torch.stack(drawn)
    standard_error = products.std(0) / math.sqrt(len(drawn))
    apart = products.mean(0) - cosines(inner_products(layers))
    assert (apart.abs() < 4 * standard_error + 1e-6).all()
    assert standard_error.min() > 0


def test_the_error_is_what_is_said() -> None:
    """The worst case: e₁f₁ᵀ ± e₂f₂ᵀ, of cosine 0: 1/100 from the sum, 1/200 each from P and Q."""
    draw = torch.Generator().manual_seed(0)
    e = torch.linalg.qr(torch.randn(400, 2, generator=draw)).Q.T
    f = torch.linalg.qr(torch.randn(300, 2, generator=draw)).Q.T
    other = f * torch.tensor([[1.0], [-1.0]])
    layers = {"a": LayerGradient(torch.stack([f, other]), torch.stack([e, e]))}
    assert inner_products(layers)[0, 1] == pytest.approx(0, abs=1e-5)
    size, found = 100, []
    for seed in range(600):
        v = project(layers, projection({"a": Shape(400, 300)}, size, seed)).vectors
        found.append(cosines(v @ v.T)[0, 1])
    variance = float(torch.stack(found).square().mean())
    assert variance == pytest.approx(2 / size, rel=0.25)  # 0.06 is a standard error


def test_sizes_by_hand() -> None:
    """2 (2.5758 / .05)² = 5307.9; half the error, four times the numbers."""
    assert size_for(0.05) == 5308
    assert size_for(0.025) == pytest.approx(4 * 5308, abs=3)


def test_norms_are_estimates_of_the_gradients(any_model: LanguageModel) -> None:
    layers = layers_of(any_model, WINDOWS)
    exact = inner_products(layers).diagonal()
    shapes = layer_shapes(any_model)
    squares = torch.stack(
        [project(layers, projection(shapes, 12, seed)).norms.square() for seed in range(300)]
    )
    error = squares.std(0) / math.sqrt(300)
    assert ((squares.mean(0) - exact).abs() < 4 * error + 1e-5 * exact).all()


def test_the_seed_determines_it(tiny_llama: LanguageModel) -> None:
    layers, shapes = layers_of(tiny_llama, WINDOWS), layer_shapes(tiny_llama)
    first, again, other = (project(layers, projection(shapes, 12, s)).vectors for s in (5, 5, 6))
    assert first.equal(again)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize("held", [1, 3000])
def test_portions_do_not_matter(
    any_model: LanguageModel, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    layers, by = layers_of(any_model, WINDOWS), projection(layer_shapes(any_model), 30, 0)
    whole = project(layers, by)
    monkeypatch.setattr(module, "HELD", held)
    torch.testing.assert_close(project(layers, by), whole)


def nearness(model: LanguageModel, windows: list[Window], size: int, seed: int) -> Cosines:
    layers = layers_of(model, windows)
    found = project(layers, projection(layer_shapes(model), size, seed)).vectors
    vectors = {w.context_id: v.tolist() for w, v in zip(windows, found, strict=True)}
    return compared(model, windows, vectors)


def cut(texts: list[list[int]], length: int) -> list[Window]:
    """The first tokens of each text, of different lengths, and what follows them."""
    lengths = [length - i % 5 for i in range(len(texts))]
    return [Window(i, t[:n], t[n]) for i, (t, n) in enumerate(zip(texts, lengths, strict=True))]


def assert_as_near_as_said(model: LanguageModel, windows: list[Window]) -> None:
    """At the usual error 99 % of the pairs are within it; and its formula holds at others."""
    for seed in (0, 1):
        found = nearness(model, windows, size_for(0.05), seed)
        assert len(found.exact) == len(windows) * (len(windows) - 1) / 2
        assert (found.within(0.05) or 0) >= 0.99
    coarse = nearness(model, windows, size_for(0.3), 0)
    assert (coarse.within(0.3) or 0) >= 0.99
    assert (coarse.within(0.05) or 1) < 0.9  # 148 numbers are few


def test_the_packages_model_is_within_the_error() -> None:
    model = load_model(WEIGHTS / "model")
    texts = [model.tokenizer(document(0, row).text).input_ids for row in range(80)]
    windows = cut([ids for ids in texts if len(ids) > 40][:40], 40)
    assert_as_near_as_said(model, windows)


def test_a_real_model_is_within_the_error(stories: LanguageModel, shared: Path) -> None:
    text = (shared / "data" / "tinystories" / "sample.txt").read_text()
    ids = stories.tokenizer(text[:12_000]).input_ids
    assert_as_near_as_said(stories, cut([ids[i * 50 : i * 50 + 50] for i in range(40)], 48))
