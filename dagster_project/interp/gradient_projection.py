"""Projection of parameter gradients: a vector a context, whose inner products are the gradients'.

A layer's gradient G = Σ_t δ_t x_tᵀ becomes P G Qᵀ = Σ_t (P δ_t)(Q x_t)ᵀ with seeded maps P, Q of
±1/√m to m = 2·size numbers, one a dimension, for inputs and for outputs; what has at most m is left
alone. All layers' entries in a row are then cut into blocks of `width` numbers, width = size where
there are so many; each entry gets a random sign, each block a random rotation, and their sum is the
vector: a count sketch in which entries of one block never meet, and of two blocks with probability
1/width. Inner products of vectors are unbiased estimates of the gradients', and exact where nothing
is larger than `size`.

Error of a cosine c: its variance, to first order, is (1 − c²)²/width from the sum and at most 1/m
from each of P and Q, however many layers share them, so at most 2/size in all. The two-token
gradients e₁f₁ᵀ ± e₂f₂ᵀ reach that; the more tokens and layers share in a gradient, the less P and Q
add. `size_for` makes 2.58 of these standard deviations the stated error, so that 99 % of the pairs
are within it: 5,308 numbers for .05. Where no layer is wider than m the standard deviation is 1/√2
of that, and all but 3 in 10,000 are.

Cost, for n parameters and T tokens: 2nT FLOPs a context, and 1 to 3 ns a parameter for the sum; at
most 4·size bytes a context. Memory: a byte a parameter for the signs, the maps, and HELD numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from dagster_project.interp.parameter_gradients import LayerGradient, Shape

CERTAIN = 0.99
"""Share of pairs whose cosine is to lie within the stated error."""
HELD = 1 << 22
"""Entries of a layer's gradients held at a time (16 MiB in float32), or one context's."""


class Projection(NamedTuple):
    """A seeded linear map of gradients of given layers to `width` numbers."""

    shapes: dict[str, Shape]  # of the layers, in order
    outputs: dict[int, Tensor]  # dimension above m -> P [m, dimension]
    inputs: dict[int, Tensor]  # dimension above m -> Q [m, dimension]
    sign: Tensor  # [entry] int8, ±1, of all layers
    rotation: list[int]  # of each block, in 0 … width − 1
    width: int


class Projected(NamedTuple):
    """Gradients of a batch of contexts, projected."""

    vectors: Tensor  # [batch, width] float32
    norms: Tensor  # [batch] of the full gradients: estimated, exact without P and Q


def size_for(error: float) -> int:
    """Numbers with which 99 % of the pairs have a cosine within `error` of the gradients'."""
    z = NormalDist().inv_cdf((1 + CERTAIN) / 2)
    return math.ceil(2 * (z / error) ** 2)


def projection(
    shapes: Mapping[str, Shape], size: int, seed: int, device: torch.device | str = "cpu"
) -> Projection:
    """A projection to at most `size` numbers; seed and shapes determine it on every device."""
    draw, m = torch.Generator().manual_seed(seed), 2 * size
    outputs = _maps({shape.outputs for shape in shapes.values()}, m, draw)
    inputs = _maps({shape.inputs for shape in shapes.values()}, m, draw)
    total = sum(min(s.outputs, m) * min(s.inputs, m) for s in shapes.values())
    width = min(size, total)
    sign = torch.randint(0, 2, (total,), generator=draw, dtype=torch.int8) * 2 - 1
    rotation = torch.randint(0, width, (-(-total // width),), generator=draw).tolist()
    return Projection(
        dict(shapes),
        {n: P.to(device) for n, P in outputs.items()},
        {n: Q.to(device) for n, Q in inputs.items()},
        sign.to(device),
        rotation,
        width,
    )


def project(layers: Mapping[str, LayerGradient], by: Projection) -> Projected:
    """The layers' gradients as vectors; layers: those of by.shapes, of one batch."""
    batch, device = len(next(iter(layers.values())).x), by.sign.device
    vectors, squares = (
        torch.zeros(batch, by.width, device=device),
        torch.zeros(batch, device=device),
    )
    first = 0
    for name in by.shapes:
        delta = _mapped(layers[name].delta, by.outputs)
        x = _mapped(layers[name].x, by.inputs)
        entries = delta.shape[-1] * x.shape[-1]
        at_once = max(1, HELD // entries)
        for start in range(0, batch, at_once):
            rows = slice(start, start + at_once)
            gradient = (delta[rows].mT @ x[rows]).flatten(1)
            squares[rows] += gradient.square().sum(1)
            _add(vectors[rows], gradient, first, by)
        first += entries
    return Projected(vectors, squares.sqrt())


def _maps(dimensions: set[int], m: int, draw: torch.Generator) -> dict[int, Tensor]:
    """Maps of ±1/√m [m, dimension] for what is larger than m."""
    return {
        n: (torch.randint(0, 2, (m, n), generator=draw) * 2 - 1) / math.sqrt(m)
        for n in sorted(dimensions)
        if n > m
    }


def _mapped(x: Tensor, maps: Mapping[int, Tensor]) -> Tensor:
    return x @ maps[x.shape[-1]].T if x.shape[-1] in maps else x


def _add(vectors: Tensor, gradient: Tensor, first: int, by: Projection) -> None:
    """Add entries [batch, entry] to vectors [batch, width]; first: number of the first entry."""
    start, stop = 0, gradient.shape[1]
    while start < stop:
        block, place = divmod(first + start, by.width)
        end = min(stop, start + by.width - place)
        signed = gradient[:, start:end] * by.sign[first + start : first + end]
        place = (place + by.rotation[block]) % by.width
        fit = min(end - start, by.width - place)  # the rest goes around
        vectors[:, place : place + fit] += signed[:, :fit]
        vectors[:, : end - start - fit] += signed[:, fit:]
        start = end
