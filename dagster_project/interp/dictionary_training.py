"""Dictionaries for all sites at once, by the form that a study asks for (`training_forms`).

Activations are centred at their geometric median and scaled to mean norm √d (both from the first
round); there each site learns f = sparse(x W_encᵀ + b_enc), x̂ = f W_dec + b_dec, by the loss of
`training_loss`. Centre and scale are folded into the weights at the end. Decoder rows stay at norm
1: the gradient along a row is removed, and rows are rescaled after each Adam step. The encoder
starts as the decoder's transpose. Dead is a feature that has not been on for long.

Cost: 10 · F · d FLOPs a token and site (matryoshka: 15 or so), and finding the least that is kept.
Many small steps do better than few large ones. Deterministic, given the rounds: what is random
follows from the seed and the number of the round, and a checkpoint after a round holds the rest, so
that a training that was killed ends with the same bytes as one that was not.
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
from dagster_project.interp.training_forms import FORMS, Goal, nested_parts
from dagster_project.interp.training_loss import Loss, loss
from dagster_project.interp.training_state import (
    SiteState,
    State,
    load_state,
    new_state,
    save_state,
)
from dagster_project.processes import cores, threads
from dagster_project.studies.study import TrainingSpec

THRESHOLD_RATE = 0.01  # weight of a step in the running mean, after the first hundred
TERMS = ("relative", "auxiliary", "nested", "penalty")  # of the loss, unweighted

Rounds = Callable[[int], Iterator[Tensor]]  # first round -> rounds [site, tokens, d_model]


class Progress(NamedTuple):
    """Where a training stands, after each round; by site where not said otherwise."""

    step: int
    steps: int
    rate: float  # learning rate of the round's last step
    fve: dict[str, float]  # fraction of variance explained in this round
    l0: dict[str, float]  # features above 0 a token
    dead: dict[str, float]  # share of features silent for `dead_after` tokens
    terms: dict[str, float]  # term of the loss -> its mean over sites
    tokens_per_second: float  # at every site, activations included


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
        started = time.monotonic()
        buffer = next(source)
        if state is None:
            state = new_state(sites, buffer, spec)
        progress(_train_round(state, buffer, spec, steps, started))
        if checkpoint and time.monotonic() - saved >= checkpoint.seconds:
            save_state(state, checkpoint.file, checkpoint.version)
            saved = time.monotonic()
    form = FORMS[spec.form]
    return {site: form.fold(here, spec.k) for site, here in state.sites.items()}


def _train_round(
    state: State, buffer: Tensor, spec: TrainingSpec, steps: int, started: float
) -> Progress:
    """Every site on the batches of a shuffled round [site, tokens, d_model]. started: when the
    round was asked for."""
    order = np.random.default_rng([spec.seed, state.round]).permutation(buffer.shape[1])
    chunks = torch.from_numpy(order).to(buffer.device).split(spec.batch)[: steps - state.step]
    at = [_moment(spec, state.step + i, steps, buffer.shape[-1]) for i in range(len(chunks))]

    def work(name: str, site: SiteState, x: Tensor) -> dict[str, float]:
        nested = nested_parts(spec, name, len(site.silent))
        return _train_site(site, x, chunks, at, spec, nested)

    with _workers(buffer.device) as workers:
        done = dict(
            zip(state.sites, workers(work, state.sites, state.sites.values(), buffer), strict=True)
        )
    state.step, state.round = state.step + len(chunks), state.round + 1
    dead = {
        site: float((here.silent >= spec.dead_after).float().mean())
        for site, here in state.sites.items()
    }
    return Progress(
        state.step,
        steps,
        at[-1].rate,
        {site: 1 - means["unexplained"] for site, means in done.items()},
        {site: means["l0"] for site, means in done.items()},
        dead,
        {term: mean_of({s: means[term] for s, means in done.items()}) for term in TERMS},
        sum(map(len, chunks)) / (time.monotonic() - started),
    )


@contextmanager
def _workers(device: torch.device) -> Iterator[Callable[..., Iterator[dict[str, float]]]]:
    """A `map` whose calls run side by side, one thread each, on a CPU; plain `map` elsewhere.

    Sites share nothing: this scales better than threads within small matrices.
    """
    if device.type != "cpu":
        yield map
        return
    with threads(1), ThreadPoolExecutor(cores()) as pool:
        yield pool.map


class Moment(NamedTuple):
    """A step's place in the schedules."""

    step: int  # from 0 on
    rate: float  # learning rate
    pressure: float  # 0: features are many; 1: as few as they are to be


def _moment(spec: TrainingSpec, step: int, steps: int, d_model: int) -> Moment:
    rate = peak_rate(spec, d_model) * schedule(step, steps, spec.warm_up, spec.decay)
    return Moment(step, rate, schedule(step, steps, spec.sparsity_warm_up, 0.0))


def _train_site(
    site: SiteState,
    x: Tensor,
    chunks: Sequence[Tensor],
    moments: Sequence[Moment],
    spec: TrainingSpec,
    nested: tuple[Sequence[int], float],
) -> dict[str, float]:
    """A step of Adam for each chunk of rows of x [tokens, d_model]; -> means of what was told."""
    told = ("unexplained", "l0", *TERMS)
    total = torch.zeros(len(told), device=x.device)
    for rows, now in zip(chunks, moments, strict=True):
        found = _step(site, (x[rows] - site.centre) * site.scale, now, spec, nested)
        total += torch.stack([getattr(found, name).detach() for name in told])
    return dict(zip(told, (total / len(chunks)).tolist(), strict=True))


def _step(
    site: SiteState, x: Tensor, now: Moment, spec: TrainingSpec, nested: tuple[Sequence[int], float]
) -> Loss:
    """One step on x [batch, d_model]. nested: the site's parts and their weight."""
    weights, (parts, weight_of_parts) = site.weights, nested
    goal = Goal(spec.k, now.pressure, site.silent >= spec.dead_after)
    in_bfloat16 = spec.bfloat16 and x.is_cuda
    with torch.autocast("cuda", torch.bfloat16, enabled=in_bfloat16):
        result = loss(FORMS[spec.form], weights, x, goal, site.threshold, parts)
    total = result.relative + spec.aux_coefficient * result.auxiliary
    total = total + weight_of_parts * result.nested + result.penalty
    _descend(site, total, now.rate)
    site.silent += len(x)
    site.silent[result.fired] = 0
    site.threshold.lerp_(result.least, max(THRESHOLD_RATE, 1 / (now.step + 1)))
    return result


def _descend(site: SiteState, total: Tensor, rate: float) -> None:
    """A step of Adam that keeps the decoder's rows at norm 1."""
    weights = site.weights
    named = weights.named()
    # Not `backward`: nnsight's own parses the code that calls it.
    gradients = torch.autograd.grad(total, list(named.values()))
    for (name, weight), gradient in zip(named.items(), gradients, strict=True):
        if name == "W_dec":
            _remove_parallel(gradient, weight)
        weight.grad = gradient
    site.optimizer.param_groups[0]["lr"] = rate
    site.optimizer.step()
    site.optimizer.zero_grad(set_to_none=True)
    _normalise(weights.W_dec)


def schedule(step: int, steps: int, warm_up: float, decay: float) -> float:
    """Linear rise to 1 over the first share of the steps, linear fall over the last share."""
    rise = (step + 1) / (warm_up * steps) if warm_up else 1.0
    fall = (steps - step) / (decay * steps) if decay else 1.0
    return min(1.0, rise, fall)


def peak_rate(spec: TrainingSpec, d_model: int) -> float:
    """The learning rate is stated for 512 features and goes with 1/√features (Gao et al.)."""
    return spec.learning_rate * math.sqrt(512 / (spec.expansion * d_model))


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
