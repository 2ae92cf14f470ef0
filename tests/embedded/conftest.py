"""Generated documents that several tests look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dagster_project.embedded.corpus import Document, document

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@pytest.fixture(scope="session")
def corpus() -> list[Document]:
    return [document(0, row) for row in range(20_000)]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    from dagster_project.embedded.tokenizer import train

    return train([document(1, row).text for row in range(5000)], 1536)
