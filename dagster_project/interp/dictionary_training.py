"""Dictionaries for all sites at once, after Gao et al. 2024, "Scaling and evaluating sparse
autoencoders", and Bussmann et al. 2024, "BatchTopK sparse autoencoders".

Activations are centred at their geometric median and scaled to mean norm √d (both from the first
round); there each site learns f = BatchTopK(ReLU(x W_encᵀ + b_enc)), x̂ = f W_dec + b_dec: of a
batch the k strongest activations a token are kept, many of one token and few of another. The
running mean of the least that is kept becomes the threshold of a JumpReLU, which encodes each token
by itself. Centre and scale are folded into the weights at the end.

Loss: the mean over tokens of the squared error as a share of the token's own squared norm. As a
share of the batch's, tokens of small norm would count for little, and of the strongest activations
they have few: of the last stream a hundredth of the tokens then cost four fifths of the loss.
Plus the share that a reconstruction of the error by the d/2 strongest *dead* features leaves, which
revives them (Gao et al., section 2.4); dead is what has not been above the threshold for long.
Where the spec asks for it, the first features must also do alone (`nested`; Bussmann et al. 2025,
"Learning multi-level features with Matryoshka sparse autoencoders"). Decoder rows stay at norm 1:
the gradient along a row is removed, and rows are rescaled after each Adam step. The encoder starts
as the decoder's transpose.

Cost: 10 · F · d FLOPs a token and site, and finding the least that is kept. Many small steps do
better than few large ones. Deterministic, given the rounds: what is random follows from the seed
and the number of the round, and a checkpoint after a round holds the rest, so that a training
that was killed ends with the same bytes as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dagster_project.interp.dictionary import SparseDictionary
from dagster_project.interp.encoding import kth_largest
from dagster_project.interp.training_state import (
    SiteState,
    State,
    Weights,
    load_state,
    new_state,
    save_state,
)
from dagster_project.processes import cores, threads
from dagster_project.studies.study import TrainingSpec

THRESHOLD_RATE = 0.01  # weight of a step in the running mean, after the first hundred
LEAST_NORM = 0.1  # of the mean norm: what a token counts as at least, when its error is weighed

Rounds = Callable[[int], Iterator[Tensor]]  # first round -> rounds [site, tokens, d_model]


class Progress(NamedTuple):
    """Where a training stands, after each round."""

    step: int
    steps: int
    fve: dict[str, float]  # site -> fraction of variance explained in this round
    dead: dict[str, float]  # site -> share of features silent for `dead_after` tokens


class Checkpoint(NamedTuple):
    """Where and how often a training saves itself."""

    file: Path
    version: str  # a checkpoint of another version is ignored
    seconds: float = 30.0  # least time between two


def train(
    sites: Sequence[str],
    rounds: Rounds,
    spec: TrainingSpec,
    device: torch.device | str = "cpu",
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> dict[str, SparseDictionary]:
    """A dictionary for each site, trained on spec.tokens tokens of the rounds."""
    state = checkpoint and load_state(checkpoint.file, checkpoint.version, sites, device)
    steps = math.ceil(spec.tokens / spec.batch)
    saved = time.monotonic()
    source = rounds(state.round if state else 0)
    while state is None or state.step < steps:
        buffer = next(source)
        if state is None:
            state = new_state(sites, buffer, spec)
        progress(_train_round(state, buffer, spec, steps))
        if checkpoint and time.monotonic() - saved >= checkpoint.seconds:
            save_state(state, checkpoint.file, checkpoint.version)
            saved = time.monotonic()
    return {
        site: fold(here.weights.detached(), here.centre, here.scale, here.threshold)
        for site, here in state.sites.items()
    }


def _train_round(state: State, buffer: Tensor, spec: TrainingSpec, steps: int) -> Progress:
    """Every site on the batches of a shuffled round [site, tokens, d_model]."""
    order = np.random.default_rng([spec.seed, state.round]).permutation(buffer.shape[1])
    chunks = torch.from_numpy(order).to(buffer.device).split(spec.batch)[: steps - state.step]
    peak = peak_rate(spec, buffer.shape[-1])
    rates = [peak * schedule(state.step + i, steps) for i in range(len(chunks))]

    def work(name: str, site: SiteState, x: Tensor) -> float:
        nested = spec.nested_coefficients.get(name, 0.0)
        return 1 - _train_site(site, x, chunks, state.step, rates, spec, nested)

    with _workers(buffer.device) as workers:
        fve = list(workers(work, state.sites, state.sites.values(), buffer))
    state.step, state.round = state.step + len(chunks), state.round + 1
    dead = {
        site: float((here.silent >= spec.dead_after).float().mean())
        for site, here in state.sites.items()
    }
    return Progress(state.step, steps, dict(zip(state.sites, fve, strict=True)), dead)


@contextmanager
def _workers(device: torch.device) -> Iterator[Callable[..., Iterator[float]]]:
    """A `map` whose calls run side by side, one thread each, on a CPU; plain `map` elsewhere.

    Sites share nothing: this scales better than threads within small matrices.
    """
    if device.type != "cpu":
        yield map
        return
    with threads(1), ThreadPoolExecutor(cores()) as pool:
        yield pool.map


def _train_site(
    site: SiteState,
    x: Tensor,
    chunks: Sequence[Tensor],
    first: int,
    rates: Sequence[float],
    spec: TrainingSpec,
    nested: float,
) -> float:
    """A step of Adam, number `first` and on, for each chunk of rows of x [tokens, d_model]; ->
    mean unexplained share."""
    unexplained = torch.zeros((), device=x.device)
    for step, (rows, rate) in enumerate(zip(chunks, rates, strict=True), first):
        unexplained += _step(site, (x[rows] - site.centre) * site.scale, step, rate, spec, nested)
    return float(unexplained) / len(chunks)


def _step(
    site: SiteState, x: Tensor, step: int, rate: float, spec: TrainingSpec, nested: float
) -> Tensor:
    """The step number `step`, from 0 on, on x [batch, d_model]; -> unexplained share.

    nested: the site's coefficient.
    """
    weights = site.weights
    dead = site.silent >= spec.dead_after
    result = loss(weights, x, spec.k, site.threshold, dead, spec.nested if nested else ())
    total = result.relative + spec.aux_coefficient * result.auxiliary
    total = total + nested * result.nested
    gradients = torch.autograd.grad(total, weights)  # nnsight's backward() parses the caller
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    _remove_parallel(gradients[Weights._fields.index("W_dec")], weights.W_dec)
    site.optimizer.param_groups[0]["lr"] = rate
    site.optimizer.step()
    site.optimizer.zero_grad(set_to_none=True)
    _normalise(weights.W_dec)
    site.silent += len(x)
    site.silent[result.fired] = 0
    site.threshold.lerp_(result.least, max(THRESHOLD_RATE, 1 / (step + 1)))
    return result.unexplained


class Loss(NamedTuple):
    """One batch at one site."""

    unexplained: Tensor  # ‖x − x̂‖² / ‖x − mean‖² of the batch: how it is told, not what is learnt
    relative: Tensor  # mean over tokens of ‖x − x̂‖² / ‖x‖²
    auxiliary: Tensor  # what dead features leave unexplained of the error; 0 without any
    nested: Tensor  # `relative` by the first features alone, summed over the parts; 0 without any
    fired: Tensor  # [n_features] bool: above the threshold on some token
    least: Tensor  # [] the least activation that is kept


def loss(
    weights: Weights, x: Tensor, k: int, threshold: Tensor, dead: Tensor, nested: Sequence[int] = ()
) -> Loss:
    """Losses of x [batch, d_model] by the k · batch strongest features; dead [n_features] bool."""
    pre = torch.nn.functional.linear(x, weights.W_enc, weights.b_enc)
    least = kth_largest(pre.detach().flatten()[None], k * len(pre))[0, 0]
    least = least.clamp_min(torch.finfo(pre.dtype).tiny)
    f = torch.where(pre >= least, pre, 0.0)
    error = x - (f @ weights.W_dec + weights.b_dec)
    auxiliary = _auxiliary(weights, pre, error.detach(), dead)
    parts = [_relative(x - (f[:, :n] @ weights.W_dec[:n] + weights.b_dec), x) for n in nested]
    summed = torch.stack(parts).sum() if parts else error.new_zeros(())
    fired = f.detach().amax(0) > threshold
    unexplained = _share(error.detach(), x)
    return Loss(unexplained, _relative(error, x), auxiliary, summed, fired, least)


def _auxiliary(weights: Weights, pre: Tensor, error: Tensor, dead: Tensor) -> Tensor:
    """How much of the error the d/2 strongest dead features leave unexplained.

    Negative ones count too: a feature that is never positive would have no gradient otherwise.
    """
    indices = dead.nonzero()[:, 0]
    if not len(indices):
        return error.new_zeros(())
    silent = pre[:, indices]
    least = kth_largest(silent.detach(), max(1, error.shape[-1] // 2))
    f = torch.where(silent >= least, silent, 0.0)
    return _share(error - f @ weights.W_dec[indices], error)


def _relative(error: Tensor, x: Tensor) -> Tensor:
    """Mean of ‖error‖² / ‖x‖² over tokens of x, which has mean norm √d; both [batch, d_model]."""
    least = LEAST_NORM**2 * x.shape[-1]
    return (error.square().sum(-1) / x.square().sum(-1).clamp_min(least)).mean()


def _share(error: Tensor, x: Tensor) -> Tensor:
    """‖error‖² as a share of the variance of x; both [batch, d_model]."""
    variance = (x - x.mean(0)).square().sum()
    return error.square().sum() / variance.clamp_min(torch.finfo(x.dtype).tiny)


def schedule(step: int, steps: int) -> float:
    """Share of the learning rate: linear warm-up over 5 %, linear decay over the last 20 %."""
    return min(1.0, (step + 1) / (0.05 * steps), (steps - step) / (0.2 * steps))


def peak_rate(spec: TrainingSpec, d_model: int) -> float:
    """The learning rate is stated for 512 features and goes with 1/√features (Gao et al.)."""
    return spec.learning_rate * math.sqrt(512 / (spec.expansion * d_model))


def fold(weights: Weights, centre: Tensor, scale: float, threshold: Tensor) -> SparseDictionary:
    """The dictionary of the activations as they are: features are 1/scale times as large."""
    return SparseDictionary(
        W_enc=weights.W_enc,
        b_enc=weights.b_enc / scale - weights.W_enc @ centre,
        W_dec=weights.W_dec,
        b_dec=weights.b_dec / scale + centre,
        activation="jumprelu",
        threshold=float(threshold) / scale,
    )


def mean_of(values: Mapping[str, float]) -> float:
    """Mean over sites."""
    return sum(values.values()) / len(values)


@torch.no_grad()
def _remove_parallel(gradient: Tensor, rows: Tensor) -> None:
    """Take the part of each row's gradient that lies along the (unit) row away, in place."""
    gradient -= (gradient * rows).sum(-1, keepdim=True) * rows


@torch.no_grad()
def _normalise(rows: Tensor) -> None:
    rows /= rows.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
