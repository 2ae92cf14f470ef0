"""A model's tokenizer and the size of its vocabulary, without its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_project.interp.model import ModelError, family_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(source: str | Path, revision: str = "") -> PreTrainedTokenizerBase:
    """The tokenizer in a local folder or on the hub. Raises ModelError."""
    from transformers import AutoTokenizer

    with _within_reach(source):
        return AutoTokenizer.from_pretrained(source, revision=revision or None)


def vocabulary_size(source: str | Path, revision: str = "") -> int:
    """Token ids of the model, rows of its embedding. Raises ModelError, for other families too."""
    from transformers import AutoConfig

    with _within_reach(source):
        config = AutoConfig.from_pretrained(source, revision=revision or None)
    family_of(config.model_type, source)
    return config.vocab_size


@contextmanager
def _within_reach(source: str | Path) -> Iterator[None]:
    """The hub library's errors as ModelError, in the words of `load_model`."""
    try:
        yield
    except (OSError, ValueError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        message = f"model {source}: neither a folder with a model nor within reach on the hub"
        raise ModelError(f"{message} ({first})") from error
