"""The shipped weights do what the README says of them, on documents nobody was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice

import pytest
from tokenizers import Tokenizer
from transformers import GPTNeoXForCausalLM

from dagster_project.embedded import recipe, stream, tasks
from dagster_project.embedded.card import CARD, card
from dagster_project.embedded.corpus import VERSION
from dagster_project.embedded.evaluation import accuracy, held_out, losses
from dagster_project.interp import dictionary_quality
from dagster_project.interp.dictionary_files import load_sites
from dagster_project.interp.dictionary_quality import quality
from dagster_project.interp.loading import load_model
from dagster_project.interp.site_names import site_names
from dagster_project.resources import WEIGHTS
from dagster_project.studies.registry import load_studies

SEED = 77  # of no corpus of the recipe
MODEL, DICTIONARIES = WEIGHTS / "model", WEIGHTS / "dictionaries"
LOOSE = {"induction/repeat": 0.15, "sum/result": 0.15, "enumeration/number": 0.15}


def test_they_are_what_the_recipe_makes() -> None:
    recipe_now = load_studies().studies["embedded"].recipe
    assert recipe_now
    expected = {"corpus_version": VERSION, "recipe": asdict(recipe_now)}
    assert json.loads((WEIGHTS / "recipe.json").read_text()) == json.loads(json.dumps(expected))
    assert (WEIGHTS / CARD).read_text(encoding="utf-8") == card(WEIGHTS)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(MODEL / "tokenizer.json"))


@pytest.fixture(scope="module")
def model() -> GPTNeoXForCausalLM:
    return recipe.load_model(MODEL)


def test_they_are_under_six_megabytes_and_half_precision() -> None:
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*")) < 6e6
    n_parameters = 1536 * 112 + 3 * 12 * 112**2
    assert (MODEL / "model.safetensors").stat().st_size == pytest.approx(2 * n_parameters, rel=0.02)


def test_the_model_has_learnt_every_rule(model: GPTNeoXForCausalLM, tokenizer: Tokenizer) -> None:
    found = losses(model, held_out(tokenizer, SEED, 1500))
    for rule in found.rules:
        name = f"{rule.skill}/{rule.slot}"
        assert rule.pieces > 50, name
        assert rule.excess <= LOOSE.get(name, 0.05), name
    assert found.excess < 0.03  # a token, those that no rule determines included


@pytest.mark.parametrize("structure", recipe.WITHHELD)
def test_agreement_holds_for_pairs_never_read(
    model: GPTNeoXForCausalLM, tokenizer: Tokenizer, structure: str
) -> None:
    assert accuracy(model, tokenizer, tasks.withheld_pairs(structure, 150)) >= 0.99


@pytest.mark.parametrize("task", tasks.PAIRS)
def test_pairs_of_the_test_halves_are_told_apart(
    model: GPTNeoXForCausalLM, tokenizer: Tokenizer, task: str
) -> None:
    assert accuracy(model, tokenizer, tasks.examples(task, "test", 100)) >= 0.97


def test_dictionaries_keep_what_the_model_does(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dictionary_quality, "DEAD_TOKENS", 200_000)
    model = load_model(MODEL)
    dictionaries = load_sites(
        DICTIONARIES, dict.fromkeys(site_names(model.n_layers), model.d_model)
    )

    def documents(seed: int) -> Iterator[list[int]]:
        return stream.endless(tokenizer, seed, recipe.POSITIONS)

    read = list(islice(documents(SEED), 150))
    found = quality(model, dictionaries, read, documents(SEED + 1), 4096, 0, lambda _: None)
    for row in found.iter_rows(named=True):
        resid = row["site"].startswith("resid_")
        assert row["n_features"] == 8 * model.d_model, row["site"]
        assert row["l0"] <= 16, row["site"]
        assert row["fve"] >= 0.95, row["site"]
        assert row["dead_fraction"] <= 0.05, row["site"]
        assert row["loss_increase"] <= (0.04 if resid else 0.01), row["site"]
