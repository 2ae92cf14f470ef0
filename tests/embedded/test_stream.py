"""The token stream: its documents in order, half of them of one subset at first."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from dagster_project.embedded import stream
from dagster_project.embedded.corpus import document

DOCUMENTS = stream.CHUNK + 500  # two chunks


@pytest.mark.parametrize(
    ("progress", "share"), [(0, 0.5), (0.2, 0.5), (0.35, 0.25), (0.5, 0), (0.9, 0)]
)
def test_the_share_of_extra_documents(progress: float, share: float) -> None:
    assert stream.extra_share(progress) == pytest.approx(share)


def test_half_of_the_first_documents_are_of_the_extra_subset_and_none_more_later() -> None:
    n, subset = 4000, stream.EXTRA_SUBSET
    extra = [stream.text(7, row, n) == document(7, row, subset).text for row in range(n)]
    natural = [document(7, row).subset == subset for row in range(n)]
    first = slice(n // 5)
    expected = stream.EXTRA_SHARE + (1 - stream.EXTRA_SHARE) * sum(natural) / n
    assert sum(extra[first]) / len(extra[first]) == pytest.approx(expected, abs=0.06)
    assert [stream.text(7, row, n) for row in range(n // 2, n)] == [
        document(7, row).text for row in range(n // 2, n)
    ]


def test_processes_write_what_one_would_in_order(tokenizer: Tokenizer, tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    tokenizer.save(str(file))
    told: list[int] = []
    found = stream.store(file, 3, DOCUMENTS, 60, tmp_path, 2, told.append)
    expected = [tokenizer.encode(stream.text(3, i, DOCUMENTS)).ids[:60] for i in range(DOCUMENTS)]
    assert found.lengths.tolist() == [len(ids) for ids in expected]
    assert found.ids.tolist() == [i for ids in expected for i in ids]
    assert found.ids.dtype == np.uint16
    assert told == [stream.CHUNK, 500]
    again = stream.stored(tmp_path)
    assert np.array_equal(again.ids, found.ids)
    assert again.ends[-1] == len(again.ids)


def test_an_endless_stream_goes_on_beyond_a_chunk(tokenizer: Tokenizer) -> None:
    rows = list(islice(stream.endless(tokenizer, 5, 128), DOCUMENTS))
    assert rows[-1] == tokenizer.encode(document(5, DOCUMENTS - 1).text).ids
    assert rows[0] == tokenizer.encode(document(5, 0).text).ids
