"""Training of the model: Muon on the hidden matrices, AdamW on the rest, in two processes.

Each process computes the gradient of its half of a batch on one thread, the gradients are added,
and each process updates its half of the parameters, which both share. So two cores do twice the
work of one, and the same seed gives the same bytes on one core or many of a kind. The learning
rate rises for WARM_UP steps and falls as a cosine; gradients are clipped to norm 1. In float32: on
CPUs with AVX512-BF16 but without AMX bfloat16 was measured at half the speed.
Cost: 50 µs a token and core for 0.63M parameters; the token stream is mapped from disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import BrokenBarrierError, Thread
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from dagster_project.embedded.muon import Muon
from dagster_project.embedded.network import Shape, backward, new_model
from dagster_project.embedded.packing import BATCH, RANKS, batches
from dagster_project.embedded.stream import stored
from dagster_project.processes import stand_by_the_first, threads

if TYPE_CHECKING:
    from threading import Barrier

    from transformers import GPTNeoXForCausalLM

MUON_RATE, ADAM_RATE, BETAS = 0.02, 3e-3, (0.9, 0.98)
ADAM_DECAY = 0.01  # decoupled, of embeddings, gains and biases alike
WARM_UP, CLIP = 100, 1.0  # steps, norm


class Plan(NamedTuple):
    """What is trained on what."""

    shape: Shape
    stream: Path  # a folder that `stream.store` has written
    seed: int  # of the weights and of the order of documents

    @property
    def steps(self) -> int:
        return len(stored(self.stream).lengths) // BATCH


class _Common(NamedTuple):
    """What the processes share."""

    parameters: Tensor  # [parameter] all of the model's, one after the other
    gradients: Tensor  # [process, parameter] of the summed loss
    losses: Tensor  # [process] summed, nats
    tokens: Tensor  # [process] predicted
    barrier: Barrier


Watch = Callable[[int, float, "GPTNeoXForCausalLM"], None]  # (steps done, mean loss, model)


def train(plan: Plan, watch: Watch = lambda *_: None) -> GPTNeoXForCausalLM:
    """The trained model. watch: told of each step's mean loss, with the model as it is then."""
    context = torch.multiprocessing.get_context("spawn")
    common = _common(plan, context.Barrier(RANKS))
    others = [
        context.Process(target=_help, args=(plan, rank, common), daemon=True)
        for rank in range(1, RANKS)
    ]
    for process in others:
        process.start()
        Thread(target=_end_with, args=(process, common.barrier), daemon=True).start()
    try:
        model = _work(plan, 0, common, watch)
    except BrokenBarrierError as error:
        codes = [process.exitcode for process in others]
        raise RuntimeError(f"a training process ended before its time (exit {codes})") from error
    except BaseException:
        common.barrier.abort()
        raise
    finally:
        for process in others:
            process.join()
    return model


def _common(plan: Plan, barrier: Barrier) -> _Common:
    model = new_model(plan.shape, plan.seed)
    parameters = torch.cat([p.detach().flatten() for p in model.parameters()])
    gradients = torch.zeros(RANKS, len(parameters))
    sums = torch.zeros(RANKS, dtype=torch.float64), torch.zeros(RANKS, dtype=torch.int64)
    for tensor in (parameters, gradients, *sums):
        tensor.share_memory_()
    return _Common(parameters, gradients, *sums, barrier)


def _help(plan: Plan, rank: int, common: _Common) -> None:
    """What a process does that is not the first."""
    stand_by_the_first()
    try:
        _work(plan, rank, common)
    except BaseException:
        common.barrier.abort()
        raise


def _end_with(process: BaseProcess, barrier: Barrier) -> None:
    """Let nobody wait for a process that has failed, or was killed."""
    wait([process.sentinel])
    if process.exitcode != 0:
        barrier.abort()


def _work(
    plan: Plan, rank: int, common: _Common, watch: Watch = lambda *_: None
) -> GPTNeoXForCausalLM:
    """What process `rank` does; -> the model, whose parameters all share."""
    with threads(1):  # two processes use two cores better than two threads do
        model = new_model(plan.shape, plan.seed)
        own, total = common.gradients[rank], torch.zeros_like(common.parameters)
        _lay_out(model, common.parameters, total)
        optimizers = _Optimizers(model, rank)
        steps = plan.steps
        for step, parts in enumerate(batches(stored(plan.stream), rank, plan.seed)):
            total.zero_()
            common.losses[rank] = sum(backward(model, part) for part in parts)
            common.tokens[rank] = sum(int(part.predicts.sum()) for part in parts)
            own.copy_(total)
            common.barrier.wait()
            tokens = int(common.tokens.sum())
            loss = float(common.losses.sum()) / tokens
            torch.sum(common.gradients, 0, out=total)
            total.mul_(1 / tokens)
            total.mul_((CLIP / total.norm()).clamp_max(1.0))
            optimizers.step(schedule(step, steps))
            common.barrier.wait()
            watch(step + 1, loss, model)
    return model


class _Optimizers:
    """Updates the parameters that are a process's own: every RANKS-th matrix, the largest first,
    and in the last process all that is no hidden matrix."""

    def __init__(self, model: GPTNeoXForCausalLM, rank: int) -> None:
        hidden = [w for layer in model.gpt_neox.layers for w in layer.parameters() if w.ndim == 2]
        matrices = sorted(hidden, key=Tensor.numel, reverse=True)
        rest = [p for p in model.parameters() if not any(p is w for w in hidden)]
        self.muon = Muon(matrices[rank::RANKS])
        self.adam = None
        if rank == RANKS - 1:
            self.adam = torch.optim.AdamW(
                rest, lr=ADAM_RATE, betas=BETAS, weight_decay=ADAM_DECAY, fused=True
            )

    def step(self, share: float) -> None:
        """One step at this share of the learning rates."""
        self.muon.step(share * MUON_RATE)
        if self.adam:
            self.adam.param_groups[0]["lr"] = share * ADAM_RATE
            self.adam.step()


def schedule(step: int, steps: int) -> float:
    """Share of the learning rates: linear warm-up, then a cosine to 0."""
    return min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _lay_out(model: GPTNeoXForCausalLM, parameters: Tensor, gradients: Tensor) -> None:
    """Make the model's parameters and gradients parts of these."""
    start = 0
    for parameter in model.parameters():
        end = start + parameter.numel()
        parameter.data = parameters[start:end].view_as(parameter)
        parameter.grad = gradients[start:end].view_as(parameter)
        start = end
