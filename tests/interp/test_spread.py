"""Models spread over devices: here over memory and disk, which take the same ways as GPUs."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch

from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.loading import load_model
from dagster_project.interp.loss_effects import loss_gradients
from dagster_project.interp.model import LanguageModel, ModelError
from dagster_project.interp.parameter_gradients import layer_gradients
from dagster_project.interp.prompt import Prompt, PromptCircuit, circuit_of
from dagster_project.interp.site_names import site_names
from dagster_project.interp.sites import batch_of, last_hidden
from dagster_project.studies.study import EdgeKind
from tests.conftest import make_model
from tests.interp.ablation_cases import random_dictionaries

pytest.importorskip("accelerate", reason="the extra `spread` is not installed")

PAIR = Prompt("the girl", " was", "the girls", " were")


@pytest.fixture(scope="module", params=["neox", "gpt2", "gemma2"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LanguageModel, LanguageModel]:
    """A model, and the same with what is beyond a layer's worth of memory on disk."""
    folder = tmp_path_factory.mktemp(request.param)
    made = make_model(request.param)
    made.hf.save_pretrained(folder, max_shard_size="20KB")
    made.tokenizer.save_pretrained(folder)
    most = sum(p.nbytes for p in made.hf.parameters()) * 0.8 / 2**30
    return load_model(folder), load_model(folder, device="spread", max_memory={"cpu": most})


def test_it_is_spread(both: tuple[LanguageModel, LanguageModel]) -> None:
    plain, spread = both
    assert not any(p.is_meta for p in plain.hf.parameters())
    away = sum(p.is_meta for p in spread.hf.parameters())
    assert 0 < away < len(list(spread.hf.parameters()))
    assert spread.device == torch.device("cpu")


def test_what_is_read_and_written_is_the_same(both: tuple[LanguageModel, LanguageModel]) -> None:
    batch = batch_of([[3, 4, 5, 6], [7, 8, 9]])
    sites = site_names(both[0].n_layers)

    def less(site: str, x: torch.Tensor) -> torch.Tensor:
        return x * (0.5 if site.startswith("mlp") else 0.9)

    hidden = [last_hidden(model, batch, less, sites) for model in both]
    assert hidden[0].equal(hidden[1])
    logits = [model.logits(h) for model, h in zip(both, hidden, strict=True)]
    assert logits[0].equal(logits[1])
    for plain, spread in zip(*(loss_gradients(m, batch, sites) for m in both), strict=True):
        assert all(plain[site].equal(spread[site]) for site in sites)
    answer = torch.tensor([1, 2])
    of_layers = [layer_gradients(m, batch, answer) for m in both]
    for name, (x, delta) in of_layers[0].items():
        assert x.equal(of_layers[1][name].x)
        assert delta.equal(of_layers[1][name].delta)


@pytest.mark.parametrize("kind", ["direct", "total"])
def test_circuits_are_the_same(both: tuple[LanguageModel, LanguageModel], kind: EdgeKind) -> None:
    def circuit(model: LanguageModel) -> PromptCircuit:
        dictionaries: dict[str, Dictionary] = dict(random_dictionaries(model))
        return circuit_of(
            model, dictionaries, PAIR, node_threshold=1e-3, edge_threshold=1e-3, edge_kind=kind
        )

    plain, spread = map(circuit, both)
    assert len(plain.edges) > 20
    for one, other in ((plain.nodes, spread.nodes), (plain.edges, spread.edges)):
        assert isinstance(one, pl.DataFrame)
        assert one.equals(other)


def test_without_accelerate_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dagster_project.interp.loading.find_spec", lambda _: None)
    with pytest.raises(ModelError, match='device "spread" needs accelerate, which the extra'):
        load_model(tmp_path, device="spread")
