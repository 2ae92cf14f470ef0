"""Training in two processes: what one loop would compute, always the same, and an end to it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPTNeoXForCausalLM

from dagster_project.embedded import stream, training
from dagster_project.embedded.muon import Muon
from dagster_project.embedded.network import Padded, Shape, new_model
from dagster_project.embedded.packing import BATCH, RANKS, batches
from dagster_project.embedded.training import Plan, schedule, train

SHAPE = Shape(vocabulary=40, n_layers=2, d_model=16, n_heads=2, positions=32)
STEPS = 6


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Documents that count: 5, 6, 7 …"""
    folder = tmp_path_factory.mktemp("stream")
    random = np.random.default_rng(0)
    lengths = random.integers(5, 30, STEPS * BATCH)
    ids = np.concatenate([1 + (np.arange(n) + random.integers(40)) % 39 for n in lengths])
    np.save(folder / stream.IDS, ids.astype(np.uint16))
    np.save(folder / stream.LENGTHS, lengths)
    return Plan(SHAPE, folder, 3)


def mean_loss(model: GPTNeoXForCausalLM, parts: list[Padded]) -> torch.Tensor:
    """Of all predicted tokens of a step, by transformers."""
    found = [
        torch.nn.functional.cross_entropy(
            model(input_ids=part.ids).logits[:, :-1][part.predicts[:, :-1]],
            part.ids[:, 1:][part.predicts[:, :-1]],
            reduction="none",
        )
        for part in parts
    ]
    return torch.cat(found).mean()


def in_one_loop(plan: Plan) -> tuple[GPTNeoXForCausalLM, list[float]]:
    """The same training, without processes, parts or shared memory."""
    model = new_model(plan.shape, plan.seed)
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and "layers" in name]
    rest = [p for name, p in model.named_parameters() if p.ndim == 1 or "layers" not in name]
    muon = Muon(hidden)
    adam = torch.optim.AdamW(rest, lr=training.ADAM_RATE, betas=training.BETAS)
    data = stream.stored(plan.stream)
    losses = []
    ranks = [batches(data, rank, plan.seed) for rank in range(RANKS)]
    for step, parts in enumerate(zip(*ranks, strict=True)):
        loss = mean_loss(model, [part for rank in parts for part in rank])
        losses.append(loss.item())
        model.zero_grad()
        torch.autograd.backward([loss])
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.CLIP)
        share = schedule(step, STEPS)
        muon.step(share * training.MUON_RATE)
        adam.param_groups[0]["lr"] = share * training.ADAM_RATE
        adam.step()
    return model, losses


def test_two_processes_do_what_one_loop_does_and_always_the_same(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, float]] = []
    threads = torch.get_num_threads()
    model = train(plan, lambda step, loss, _: told.append((step, loss)))
    again = train(plan)
    assert torch.get_num_threads() == threads
    expected, losses = in_one_loop(plan)
    assert [step for step, _ in told] == list(range(1, STEPS + 1))
    assert [loss for _, loss in told] == pytest.approx(losses, rel=1e-4)
    for found, same, other in zip(
        model.parameters(), again.parameters(), expected.parameters(), strict=True
    ):
        assert found.detach().equal(same.detach())
        torch.testing.assert_close(found.detach(), other.detach(), rtol=1e-3, atol=1e-4)


def test_the_learning_rate_rises_for_100_steps_and_falls_to_nothing() -> None:
    shares = [schedule(step, 1000) for step in range(1000)]
    assert shares[0] == pytest.approx(0.01)
    assert max(range(1000), key=shares.__getitem__) == 99
    assert shares[500] == pytest.approx(0.5)
    assert 0 < shares[-1] < 1e-5


def test_an_error_ends_the_other_process_too(plan: Plan) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(plan, fail)
    assert not multiprocessing.active_children()


def test_an_error_in_the_other_process_ends_this_one(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its documents are gone when it starts."""
    whole = stream.stored(plan.stream)
    monkeypatch.setattr(training, "stored", lambda _: whole)  # here; there the folder is empty
    with pytest.raises(RuntimeError, match="a training process ended"):
        train(plan._replace(stream=tmp_path))
    assert "No such file" in capfd.readouterr().err


def test_a_killed_process_ends_this_one(plan: Plan) -> None:
    def kill(*_: object) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(RuntimeError, match="a training process ended"):
        train(plan, kill)
