"""Documents: what a row must be, what it keeps, and hostile rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from dagster_project.embedded import corpus as generator
from dagster_project.interp import documents as module
from dagster_project.interp.corpus import MANIFEST, extend, shards_of
from dagster_project.interp.documents import DOCUMENTS, Problem, documents
from dagster_project.interp.sources import EMBEDDED, CorpusError, source_at
from dagster_project.studies.study import CorpusSpec

PIECE = {"start": 0, "end": 3, "skill": "zipf", "slot": "noun", "surprisal": 1.5}
FREE = {"start": 0, "end": 3, "skill": None, "slot": None, "surprisal": 1.5}  # of no rule


def line(text: object, **meta: object) -> bytes:
    return json.dumps({"text": text, "meta": meta}).encode()


def read(
    file: Path,
    rows: Sequence[bytes],
    *,
    max_malformed: float = 1.0,
    spec: CorpusSpec | None = None,
) -> tuple[pl.DataFrame, list[Problem]]:
    file.write_bytes(b"\n".join(rows) + b"\n")
    source = source_at(str(file), spec or CorpusSpec())
    (shard,) = shards_of(extend(MANIFEST.to_frame(), [source], 1000))
    problems: list[Problem] = []
    frames = list(documents(shard, source, max_malformed, problems.append))
    return pl.concat([DOCUMENTS.to_frame(), *frames]), problems


def test_what_a_row_keeps(tmp_path: Path) -> None:
    pieces = [PIECE, {**FREE, "start": 3, "end": 7}]
    rows = [line("the cat", pile_set_name="Books", pieces=pieces), line("é\n日", other=1)]
    found, problems = read(tmp_path / "a.jsonl", rows)
    assert not problems
    assert found.schema == DOCUMENTS
    assert found["doc_id"].to_list() == [0, 1]
    assert found["text"].to_list() == ["the cat", "é\n日"]
    assert found["n_chars"].to_list() == [7, 3]
    assert found["pile_set_name"].to_list() == ["Books", None]
    assert found["pieces"].to_list() == [pieces, None]


def test_rows_keep_their_numbers(tmp_path: Path) -> None:
    rows = [line("a"), b"", b"{broken", line("b"), b"   ", line("c")]
    found, problems = read(tmp_path / "a.jsonl", rows)
    assert found["doc_id"].to_list() == [0, 3, 5]
    assert [p.row for p in problems] == [2]
    assert str(problems[0]).startswith(f"{tmp_path}/a.jsonl, row 3: not JSON: ")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"[1, 2]", "expected a JSON object, found list"),
        (b'{"body": "x"}', 'no key "text", found the keys ["body"]'),
        (b'{"text": null}', '"text": expected a string, found null'),
        (b'{"text": 3}', '"text": expected a string, found int'),
        (b'{"text": "\\ud800x"}', '"text": lone surrogate'),
        (b"[" * 100_000, "not JSON"),
        (line("abc", pieces=3), "meta.pieces: expected a list, found int"),
        (line("ab", pieces=[PIECE]), r"meta.pieces[0]: expected {start, end"),
        (line("abcd", pieces=[PIECE, {**PIECE, "start": 2, "end": 4}]), "meta.pieces[1]"),
        (line("abc", pieces=[{**PIECE, "surprisal": "high"}]), "meta.pieces[0]"),
        (line("abc", pieces=[{**PIECE, "surprisal": float("nan")}]), "meta.pieces[0]"),
        (line("abc", pieces=[{**PIECE, "start": True}]), "meta.pieces[0]"),
        (line("abc", pieces=["x"]), "meta.pieces[0]"),
        (line("abc", pieces=[{**FREE, "slot": "noun"}]), "meta.pieces[0]"),
        (line("abc", pieces=[{**FREE, "surprisal": None}]), "meta.pieces[0]"),
        (line("abc", pieces=[{**FREE, "surprisal": True}]), "meta.pieces[0]"),
        (line("abc", pieces=[{**FREE, "surprisal": float("-inf")}]), "meta.pieces[0]"),
        (line("abc", pieces=[{**FREE, "surprisal": 10**400}]), "meta.pieces[0]"),
        (line("abc", pieces=[{**PIECE, "surprisal": 1e39}]), "meta.pieces[0]"),  # no Float32
    ],
)
def test_malformed_rows_say_why(tmp_path: Path, row: bytes, reason: str) -> None:
    found, problems = read(tmp_path / "a.jsonl", [row, line("fine")])
    assert found["doc_id"].to_list() == [1]
    (problem,) = problems
    assert reason in problem.reason


def test_hostile_text_is_kept_as_it_is(tmp_path: Path) -> None:
    texts = [
        "\x00\x1b[31m",
        "\u202eabc",
        "x" * 3_000_000,
        "",
        "\ufeff",
        "=1+1",
        "𝒳\u0301",
        "\u2028",
    ]
    found, problems = read(tmp_path / "a.jsonl", [line(text) for text in texts])
    assert not problems
    assert found["text"].to_list() == texts


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    found, problems = read(tmp_path / "a.jsonl", [b"\xef\xbb\xbf" + line("a") + b"\r", line("b")])
    assert not problems
    assert found["text"].to_list() == ["a", "b"]


def test_text_files(tmp_path: Path) -> None:
    rows = [b"one", b"<|endoftext|>", b"two\r", b"lines", b"<|endoftext|>", b"\xff"]
    found, problems = read(tmp_path / "a.txt", rows)
    assert found["text"].to_list() == ["one", "two\r\nlines"]
    assert [(p.row, p.reason[:9]) for p in problems] == [(2, "not UTF-8")]


def test_share_of_malformed_rows(tmp_path: Path) -> None:
    rows = [line("a"), b"{", b"{", line("b")]
    _, problems = read(tmp_path / "a.jsonl", rows, max_malformed=0.5)
    assert len(problems) == 2
    with pytest.raises(CorpusError, match=r"shard 00000: 2 malformed rows .* 40\.00% of 4.* row 3"):
        read(tmp_path / "a.jsonl", rows, max_malformed=0.4)


def test_duplicates_refer_to_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 2)
    once, _ = read(tmp_path / "a.jsonl", [line("a"), line("b"), line("a"), line("c"), line("a")])
    assert once["duplicate_of"].to_list() == [None, None, 0, None, 0]
    assert once["content_hash"].n_unique() == 3


def test_frames_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_CHARS", 10)
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"\n".join(line("x" * n) for n in (4, 4, 4, 30, 1)))
    source = source_at(str(file), CorpusSpec())
    (shard,) = shards_of(extend(MANIFEST.to_frame(), [source], 1000))
    assert [len(frame) for frame in documents(shard, source)] == [3, 1, 1]


def test_generated_documents_are_read_with_their_rules() -> None:
    source = source_at(EMBEDDED, CorpusSpec(embedded=True, seed=3))
    _, shard = shards_of(extend(MANIFEST.to_frame(), [source], 40, max_shards=2))
    found = pl.concat(documents(shard, source))
    made = [generator.document(3, row) for row in range(40, 80)]
    assert found["doc_id"].to_list() == [1_000_000 + row for row in range(40)]
    assert found["text"].to_list() == [document.text for document in made]
    assert found["pile_set_name"].to_list() == [document.subset for document in made]
    for text, pieces, document in zip(found["text"], found["pieces"], made, strict=True):
        parts = [text[piece["start"] : piece["end"]] for piece in pieces]
        assert parts == [piece.text for piece in document.pieces]
        rules = [(piece["skill"], piece["slot"]) for piece in pieces]
        assert rules == [(piece.skill, piece.slot) for piece in document.pieces]
