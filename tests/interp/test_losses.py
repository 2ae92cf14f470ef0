"""Losses: against the Hugging Face model in float64, and flags and rules by hand."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.interp import losses as module
from dagster_project.interp import predictions
from dagster_project.interp.kept import Kept
from dagster_project.interp.losses import (
    LOSSES,
    losses,
    mark_pieces,
    mark_seen,
    rules_of,
    windows,
)
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import final_hidden
from tests.conftest import make_model

torch.set_num_threads(1)

PIECES = pl.Schema(
    {
        "doc_id": pl.Int64(),
        "pieces": pl.List(
            pl.Struct({"skill": pl.String, "slot": pl.String, "surprisal": pl.Float32})
        ),
    }
)
NO_PIECES = PIECES.to_frame()


def tokens_of(
    documents: Sequence[Sequence[int]], pieces: Sequence[Sequence[int | None]] | None = None
) -> pl.DataFrame:
    rows = [
        (number, pos, token, pieces[number][pos] if pieces else None)
        for number, document in enumerate(documents)
        for pos, token in enumerate(document)
    ]
    types = {"doc_id": pl.Int64, "pos": pl.UInt16, "token_id": pl.UInt32, "piece": pl.UInt32}
    return pl.DataFrame(rows, schema=types, orient="row")


def compute(
    model: LanguageModel, tokens: pl.DataFrame, pieces: pl.DataFrame = NO_PIECES, batch: int = 64
) -> pl.DataFrame:
    frames = losses(model, tokens, pieces, max_tokens=40, batch_tokens=batch)
    return pl.concat([LOSSES.to_frame(), *frames])


def oracle(model: LanguageModel, document: Sequence[int]) -> dict[str, np.ndarray]:
    """One document, no padding, eager attention, float64."""
    double = deepcopy(model.hf).double()
    with torch.no_grad():
        logits = double(torch.tensor([document]), use_cache=False).logits[0, :-1]
    targets = torch.tensor(document[1:])[:, None]
    chosen = logits.gather(-1, targets)
    p = logits.softmax(-1)
    return {
        "loss": (logits.exp().sum(-1).log() - chosen[:, 0]).numpy(),
        "rank": (logits > chosen).sum(-1).numpy(),
        "entropy": -(p * p.log()).sum(-1).numpy(),
    }


@pytest.fixture
def documents() -> list[list[int]]:
    random = np.random.default_rng(0)
    return [random.integers(0, 96, n).tolist() for n in (5, 1, 30, 2, 17, 30, 8, 40, 3)]


def test_equal_to_one_document_at_a_time(
    any_model: LanguageModel, documents: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCHES", 1)  # several windows
    monkeypatch.setattr(predictions, "ON_CPU", predictions.Tile(7, 40, 3))  # several tiles a batch
    found = compute(any_model, tokens_of(documents))
    assert found.schema == LOSSES
    assert found.select("doc_id", "pos").equals(found.select("doc_id", "pos").sort("doc_id", "pos"))
    assert len(found) == sum(len(document) - 1 for document in documents)
    for number, document in enumerate(documents):
        mine = found.filter(doc_id=number)
        assert mine["pos"].to_list() == list(range(1, len(document)))
        assert mine["token_id"].to_list() == document[1:]
        expected = oracle(any_model, document)
        np.testing.assert_allclose(mine["loss"], expected["loss"], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(mine["entropy"], expected["entropy"], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(mine["rank"], expected["rank"])
    assert float(found["loss"].min()) >= 0  # type: ignore[arg-type]


def test_batches_do_not_matter(tiny_neox: LanguageModel, documents: list[list[int]]) -> None:
    one, many = (compute(tiny_neox, tokens_of(documents), batch=n) for n in (1, 10_000))
    assert one.drop("loss", "entropy").equals(many.drop("loss", "entropy"))
    np.testing.assert_allclose(one["loss"], many["loss"], rtol=1e-5, atol=1e-5)


def test_no_documents_and_progress(tiny_neox: LanguageModel, documents: list[list[int]]) -> None:
    assert compute(tiny_neox, tokens_of([])).is_empty()
    assert compute(tiny_neox, tokens_of([[3]])).is_empty()
    done: list[int] = []
    list(losses(tiny_neox, tokens_of(documents), NO_PIECES, 40, 64, done.append))
    assert sum(done) == sum(map(len, documents)) - 1  # all but the document of one token


def test_windows_by_hand() -> None:
    """Documents of 3, 1, 2, 4, 9 and 2 tokens, at most 5 a window: one of 1 predicts nothing, and
    one of 9 stands alone."""
    tokens = tokens_of([[0] * n for n in (3, 1, 2, 4, 9, 2)])
    found = [
        window["doc_id"].unique(maintain_order=True).to_list() for window in windows(tokens, 5)
    ]
    assert found == [[0, 2], [3], [4], [5]]


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of each forward of the model, padding included."""
    seen: list[int] = []

    def counting(model: LanguageModel, ids: torch.Tensor) -> torch.Tensor:
        seen.append(ids.numel())
        return final_hidden(model, ids)

    monkeypatch.setattr(module, "final_hidden", counting)
    monkeypatch.setattr(module, "BATCHES", 1)  # windows of 64 tokens: three
    return seen


def killed_after(model: LanguageModel, tokens: pl.DataFrame, kept: Kept, n: int) -> None:
    """Losses, until the n-th batch."""
    left = iter(range(n))

    def advance(_: int) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(losses(model, tokens, NO_PIECES, 40, 64, advance, kept))


def test_what_was_killed_goes_on(
    tiny_neox: LanguageModel, documents: list[list[int]], forwards: list[int], tmp_path: Path
) -> None:
    tokens, kept = tokens_of(documents), Kept(tmp_path / "kept")
    whole = list(losses(tiny_neox, tokens, NO_PIECES, 40, 64))
    n_forwards = len(forwards)
    killed_after(tiny_neox, tokens, kept, n_forwards - 1)
    assert len(list(kept.folder.iterdir())) == len(whole) - 1
    forwards.clear()
    done: list[int] = []
    again = list(losses(tiny_neox, tokens, NO_PIECES, 40, 64, done.append, kept))
    assert len(forwards) == 2 < n_forwards  # those of the last window
    assert sum(done) == sum(map(len, documents)) - 1  # kept windows are progress too
    assert all(one.equals(other) for one, other in zip(again, whole, strict=True))
    assert pl.concat(again).schema == LOSSES


def test_kept_windows_of_other_tokens_are_not_taken(
    tiny_neox: LanguageModel, documents: list[list[int]], forwards: list[int], tmp_path: Path
) -> None:
    kept = Kept(tmp_path)
    list(losses(tiny_neox, tokens_of(documents), NO_PIECES, 40, 64, kept=kept))
    changed = tokens_of([*documents[:-1], [5, *documents[-1][1:-1], 6]])
    forwards.clear()
    found = list(losses(tiny_neox, changed, NO_PIECES, 40, 64, kept=kept))
    assert len(forwards) == 2  # those of the last window
    assert pl.concat(found).equals(compute(tiny_neox, changed))


KILLED = """
import os, signal, sys
from pathlib import Path
from dagster_project.interp import losses as module
from dagster_project.interp.kept import Kept
from tests.conftest import make_model
from tests.interp.test_losses import NO_PIECES, tokens_of

module.BATCHES = 1
documents = [[(7 * n + t) % 96 for t in range(30)] for n in range(10)]
frames = module.losses(
    make_model("neox"), tokens_of(documents), NO_PIECES, 40, 64, kept=Kept(Path(sys.argv[1]))
)
for _, frame in zip(range(3), frames):
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_what_it_finished(forwards: list[int], tmp_path: Path) -> None:
    code = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False).returncode
    assert code == -signal.SIGKILL
    model = make_model("neox")
    tokens = tokens_of([[(7 * n + t) % 96 for t in range(30)] for n in range(10)])
    found = pl.concat(losses(model, tokens, NO_PIECES, 40, 64, kept=Kept(tmp_path)))
    assert len(forwards) == 5 - 3  # windows of two documents
    assert found.equals(compute(model, tokens))


def test_seen_in_a_document_of_eight_tokens() -> None:
    """a b a b c a b c: bigrams ab ba ab bc ca ab bc, trigrams aba bab abc bca cab abc.

    ab is seen again at 3 and 6, bc at 7; abc at 7. The second document starts anew.
    """
    marked = mark_seen(tokens_of([[1, 2, 1, 2, 3, 1, 2, 3], [1, 2, 3, 3, 3, 3]]))
    first, second = (marked.filter(doc_id=i) for i in (0, 1))
    assert first.filter("bigram_seen")["pos"].to_list() == [3, 6, 7]
    assert first.filter("trigram_seen")["pos"].to_list() == [7]
    assert second.filter("bigram_seen")["pos"].to_list() == [4, 5]
    assert second.filter("trigram_seen")["pos"].to_list() == [5]


@given(documents=st.lists(st.lists(st.integers(0, 2), max_size=12), max_size=4))
def test_seen_is_the_definition(documents: list[list[int]]) -> None:
    marked = mark_seen(tokens_of(documents))
    for name, n in (("bigram_seen", 2), ("trigram_seen", 3)):
        expected = []
        for document in documents:
            grams = [tuple(document[t - n + 1 : t + 1]) if t >= n - 1 else t
                     for t in range(len(document))]  # fmt: skip
            expected += [gram in grams[:t] for t, gram in enumerate(grams)]
        assert marked[name].to_list() == expected


def pieces_of(*documents: list[dict[str, object]] | None) -> pl.DataFrame:
    return pl.DataFrame({"doc_id": range(len(documents)), "pieces": documents}, schema=PIECES)


A: dict[str, object] = {"skill": "zipf", "slot": "noun", "surprisal": 2.0}
B: dict[str, object] = {"skill": "agree", "slot": None, "surprisal": 0.5}


def test_rules_number_the_pieces_of_each_document() -> None:
    rules = rules_of(pieces_of([A, B], None, [], [B]))
    assert rules.rows() == [
        (0, 0, "zipf", "noun", 2.0),
        (0, 1, "agree", None, 0.5),
        (3, 0, "agree", None, 0.5),
    ]


def test_surprisal_stands_on_the_first_token(tiny_neox: LanguageModel) -> None:
    """BOS, piece 0 over two tokens, one token of no piece, piece 1 over one token."""
    tokens = tokens_of([[1, 5, 6, 7, 8], [1, 5]], [[None, 0, 0, None, 1], [None, None]])
    found = compute(tiny_neox, tokens, pieces_of([A, B], None))
    assert found["surprisal"].to_list() == [2.0, 0.0, None, 0.5, None]
    assert found["skill"].to_list() == ["zipf", "zipf", None, "agree", None]
    assert found["slot"].to_list() == ["noun", "noun", None, None, None]
    excess = (
        found.drop_nulls("surprisal")
        .group_by("doc_id", "piece", maintain_order=True)
        .agg(pl.col("loss").sum() - pl.col("surprisal").sum())
    )
    loss = found["loss"].to_list()
    assert excess["loss"].to_list() == pytest.approx([loss[0] + loss[1] - 2.0, loss[3] - 0.5])


def test_pieces_that_are_not_predicted_in_whole(tiny_neox: LanguageModel) -> None:
    """Without BOS the first piece's first token has no loss; the cut at 4 may be within the last:
    their skill is known, their excess is not."""
    tokens = tokens_of([[5, 6, 7, 8]], [[0, 0, 1, 1]])
    frames = losses(tiny_neox, tokens, pieces_of([A, B]), max_tokens=4, batch_tokens=64)
    found = pl.concat(frames)
    assert found["skill"].to_list() == ["zipf", "agree", "agree"]
    assert found["surprisal"].to_list() == [None, None, None]
    assert mark_pieces(tokens, 5)["starts_piece"].to_list() == [None, None, 1.0, 0.0]


def test_real_model_on_real_text(stories: LanguageModel) -> None:
    """1.63 nats a token is what the original program gives on TinyStories; a sentence is near."""
    text = "Once upon a time, there was a little girl named Lily. She loved to play outside."
    document = stories.tokenizer(text)["input_ids"]
    found = compute(stories, tokens_of([document]))
    np.testing.assert_allclose(found["loss"], oracle(stories, document)["loss"], atol=1e-4)
    assert 0 < found["loss"].mean() < 2  # type: ignore[operator]
