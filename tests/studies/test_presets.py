"""The studies shipped for models of the hub: they are read, their tasks by the real tokenizer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dagster_project.interp.pairs import task_pairs
from dagster_project.studies.registry import load_studies

HUB = ["pythia-70m", "pythia-160m", "pythia-410m", "gpt2-small", "gemma-2-2b"]


@pytest.mark.parametrize("name", HUB)
def test_a_preset_is_read_and_names_its_revisions(name: str) -> None:
    study = load_studies().studies[name]
    assert study.model.revision
    assert study.dictionaries.sources()


@pytest.mark.parametrize("name", [name for name in HUB if name.startswith("pythia")])
def test_no_pair_of_the_agreement_tasks_is_dropped(name: str, shared: Path) -> None:
    """Prompts of a pair have one length, answers one token, by the Pythia models' tokenizer."""
    from transformers import PreTrainedTokenizerFast

    file = shared / "models" / "pythia-tokenizer" / "tokenizer.json"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file))
    study = load_studies().studies[name]
    assert study.tasks
    for spec in study.tasks.values():
        found = task_pairs(replace(spec, max_examples=10_000), tokenizer)
        assert found.dropped.is_empty()
        assert found.n_cut == 0
        assert min(found.frame["split"].value_counts()["count"].to_list()) >= 16


def test_the_four_structures_of_agreement_differ_in_one_token(shared: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    file = shared / "models" / "pythia-tokenizer" / "tokenizer.json"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file))
    study = load_studies().studies["pythia-70m"]
    assert list(study.tasks) == ["simple", "nounpp", "rc", "within_rc"]
    for spec in study.tasks.values():
        found = task_pairs(spec, tokenizer)
        for clean, patch in found.frame.select("clean_ids", "patch_ids").iter_rows():
            assert sum(a != b for a, b in zip(clean, patch, strict=True)) == 1
