"""The package's own model: read from its folder, in full precision, wherever that lies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from dagster_project import resources
from dagster_project.interp.model import ModelError
from dagster_project.studies.study import Study, read_study
from tests.conftest import make_model

STUDY = """
[model]
source = "embedded"
[corpus]
embedded = true
max_shards = 1
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study of the package's own model, of which there is none yet."""
    monkeypatch.setattr(resources, "WEIGHTS", tmp_path / "weights")
    (tmp_path / "mine.toml").write_text(STUDY)
    return read_study(tmp_path / "mine.toml")


def ship(weights: Path) -> None:
    """A tiny model in half precision, as the package's own."""
    made = make_model("neox")
    made.hf.half().save_pretrained(weights / "model")
    made.tokenizer.save_pretrained(weights / "model")


def test_half_precision_on_disk_is_single_in_memory(study: Study) -> None:
    ship(resources.WEIGHTS)
    loaded, made = resources.model(study), make_model("neox")
    expected = made.unembedding.half().float()
    assert loaded.unembedding.dtype == torch.float32
    assert loaded.unembedding.equal(expected)
    text = "the girl was happy"
    assert resources.tokenizer(study)(text).input_ids == made.tokenizer(text).input_ids
    assert resources.n_vocab(study) == 96


def test_the_content_counts_and_not_the_place(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(resources.WEIGHTS)
    here = resources.model_content(study)
    shutil.copytree(resources.WEIGHTS, tmp_path / "there")
    monkeypatch.setattr(resources, "WEIGHTS", tmp_path / "there")
    assert resources.model_content(study) == here
    (tmp_path / "there" / "model" / "config.json").write_text("{}")
    assert resources.model_content(study) != here


def test_a_model_that_has_not_been_made_is_named(study: Study) -> None:
    missing = r'model "embedded": expected the package\'s own in .*/weights/model, found none'
    for read in (resources.model, resources.tokenizer, resources.n_vocab):
        with pytest.raises(ModelError, match=missing):
            read(study)
    resources.model_content(study)  # the asset graph and its versions can be shown


def test_a_folder_of_that_name_is_written_as_a_path(study: Study) -> None:
    assert resources.model_source(study) == str(resources.WEIGHTS / "model")
    study.file.write_text(STUDY.replace('"embedded"', '"./embedded"', 1))
    assert resources.model_source(read_study(study.file)) == str(study.file.parent / "embedded")
