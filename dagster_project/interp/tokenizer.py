"""A model's tokenizer and configuration, without its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dagster_project.interp.model import within_reach

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


def load_tokenizer(source: str | Path, revision: str = "") -> PreTrainedTokenizerBase:
    """The tokenizer in a local folder or on the hub. Raises ModelError."""
    from transformers import AutoTokenizer

    with within_reach(source):
        return AutoTokenizer.from_pretrained(source, revision=revision or None)


def vocabulary_size(source: str | Path, revision: str = "") -> int:
    """Token ids of the model, rows of its embedding. Raises ModelError."""
    return configuration(source, revision).get_text_config().vocab_size


def configuration(source: str | Path, revision: str = "") -> PretrainedConfig:
    """The model's configuration. Raises ModelError."""
    from transformers import AutoConfig

    with within_reach(source):
        return AutoConfig.from_pretrained(source, revision=revision or None)
