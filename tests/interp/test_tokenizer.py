"""A tokenizer without its model: what `load_model` would give, and the same errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_project import resources
from dagster_project.interp.model import LanguageModel, ModelError
from dagster_project.interp.tokenizer import load_tokenizer, vocabulary_size
from dagster_project.studies.study import read_study


def test_tokenizer_and_vocabulary_come_without_weights(
    tmp_path: Path, any_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    any_model.hf.config.save_pretrained(tmp_path / "model")  # no weights
    any_model.tokenizer.save_pretrained(tmp_path / "model")
    text = "the girls were in the park"
    found = load_tokenizer(tmp_path / "model")
    assert found(text)["input_ids"] == any_model.tokenizer(text)["input_ids"]
    assert vocabulary_size(tmp_path / "model") == any_model.n_vocab

    (tmp_path / "s.toml").write_text("[model]\nsource = 'model'\n[corpus]\nfiles = ['*.jsonl']")
    study = read_study(tmp_path / "s.toml")
    assert resources.n_vocab(study) == any_model.n_vocab
    assert resources.tokenizer(study) is resources.tokenizer(study)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    for load in (load_tokenizer, vocabulary_size):
        with pytest.raises(ModelError, match="neither a folder with a model nor within reach") as e:
            load(tmp_path)
        assert str(tmp_path) in str(e.value)
