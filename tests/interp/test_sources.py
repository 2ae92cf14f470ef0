"""Sources: which bytes are which row, in every format."""

from __future__ import annotations

import io
import json
import tracemalloc
from itertools import islice
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.embedded import corpus as generator
from dagster_project.interp import sources
from dagster_project.interp.documents import MalformedError, parse
from dagster_project.interp.sources import (
    EMBEDDED,
    HUB,
    TOO_LONG,
    CorpusError,
    Source,
    find_sources,
    source_at,
)
from dagster_project.studies.study import CorpusSpec

SPEC = CorpusSpec()


def raws(source: Source, first_row: int = 0) -> list[bytes]:
    return [row.raw for row in source.rows(first_row)]


def texts(source: Source, first_row: int = 0) -> list[str]:
    return [json.loads(raw)["text"] for raw in raws(source, first_row)]


def test_lines_keep_their_numbers_and_places(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"one\n\nthree\r\nfour")
    source = source_at(str(file), SPEC)
    rows = list(source.rows())
    assert [row.raw for row in rows] == [b"one", b"", b"three\r", b"four"]
    assert [row.first_byte for row in rows] == [0, 4, 5, 12]
    assert [row.raw for row in source.rows(2, first_byte=5)] == [b"three\r", b"four"]
    assert raws(source, 2) == [b"three\r", b"four"]


def test_text_is_split_at_the_separator(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"one\ntwo<|endoftext|>\nthree<|endoftext|>\n")
    assert raws(source_at(str(file), SPEC)) == [b"one\ntwo", b"\nthree"]
    by_line = source_at(str(file), CorpusSpec(separator=""))
    assert raws(by_line) == [b"one", b"two<|endoftext|>", b"three<|endoftext|>"]


@given(
    parts=st.lists(st.binary(max_size=9).filter(lambda b: b";;" not in b), max_size=8),
    chunk=st.integers(1, 5),
)
def test_splitting_does_not_depend_on_chunks(parts: list[bytes], chunk: int) -> None:
    whole = b";;".join(parts)
    expected = whole.split(b";;")
    if not expected[-1].strip():
        expected.pop()
    usual, sources.CHUNK = sources.CHUNK, chunk
    try:
        found = list(sources._split(io.BytesIO(whole), b";;", 0))
    finally:
        sources.CHUNK = usual
    assert [row.raw for row in found] == expected
    for row in found:
        assert row.first_byte is not None
        assert whole[row.first_byte :].startswith(row.raw)


@given(
    parts=st.lists(st.binary(max_size=20).filter(lambda b: b";" not in b), max_size=8),
    chunk=st.integers(1, 5),
    limit=st.integers(0, 12),
)
def test_a_row_that_is_too_long_is_passed_over(parts: list[bytes], chunk: int, limit: int) -> None:
    whole = b";;".join(parts) + b";;"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "CHUNK", chunk)
        patch.setattr(sources, "MAX_ROW", limit)
        found = list(sources._split(io.BytesIO(whole), b";;", 0))
    expected = [TOO_LONG if len(part) > limit else part for part in parts]
    assert [row.raw for row in found] == (expected or [b""])
    starts = [sum(len(p) + 2 for p in parts[:i]) for i in range(max(1, len(parts)))]
    assert [row.first_byte for row in found] == starts


@pytest.mark.parametrize("end", [b"", b"\nnext\n"])
def test_a_row_without_an_end_takes_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    monkeypatch.setattr(sources, "MAX_ROW", 1 << 20)
    file = tmp_path / "bomb.jsonl.zst"
    file.write_bytes(zstandard.ZstdCompressor().compress(b"0" * (64 << 20) + end))
    tracemalloc.start()
    found = raws(source_at(str(file), SPEC))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [TOO_LONG, *([b"next"] if end else [])]
    assert peak < 16 << 20
    for name in ("a.jsonl", "a.txt"):
        with pytest.raises(MalformedError):
            parse(TOO_LONG, source_at(name, SPEC))


def test_compressed_lines_in_several_frames(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.zst"
    compress = zstandard.ZstdCompressor().compress
    file.write_bytes(compress(b"one\ntw") + compress(b"o\nthree\n"))
    assert raws(source_at(str(file), SPEC)) == [b"one", b"two", b"three"]
    assert raws(source_at(str(file), SPEC), 1) == [b"two", b"three"]


def test_damaged_compression_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.zst"
    file.write_bytes(b"this is no zstd")
    with pytest.raises(CorpusError, match=r"a\.jsonl\.zst: cannot be read"):
        raws(source_at(str(file), SPEC))


def test_parquet_in_many_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BATCH", 7)
    file = tmp_path / "a[1].parquet"  # no glob
    frame = pl.DataFrame(
        {
            "text": [f"text {i}" for i in range(50)],
            "meta": [{"pile_set_name": "Books"}] * 50,
            "other": list(range(50)),
        }
    )
    frame.write_parquet(file, row_group_size=10)
    source = source_at(str(file), SPEC)
    assert texts(source) == [f"text {i}" for i in range(50)]
    assert texts(source, 23) == [f"text {i}" for i in range(23, 50)]
    assert json.loads(raws(source)[0]) == {"text": "text 0", "meta": {"pile_set_name": "Books"}}


@pytest.mark.parametrize("column", [{"body": ["x"]}, {"text": [1]}])
def test_parquet_without_a_text_column(tmp_path: Path, column: dict[str, list[object]]) -> None:
    file = tmp_path / "a.parquet"
    pl.DataFrame(column).write_parquet(file)
    with pytest.raises(CorpusError, match=r"a\.parquet: expected a column text of strings"):
        raws(source_at(str(file), SPEC))


def test_no_parquet_at_all(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    file.write_bytes(b"PAR1 no")
    with pytest.raises(CorpusError, match=r"a\.parquet"):
        raws(source_at(str(file), SPEC))


def test_globs_find_files_by_path(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.txt", "deep/er/c.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    patterns = [f"{tmp_path}/**/*.jsonl", f"{tmp_path}/a.*", f"{tmp_path}/*.jsonl"]
    found = [Path(s.path).relative_to(tmp_path).as_posix() for s in find_sources(patterns, SPEC)]
    assert found == ["a.txt", "b.jsonl", "deep/er/c.jsonl"]


def test_unknown_suffix_and_vanished_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(CorpusError, match=r"a\.csv: expected .* \.jsonl, \.jsonl\.zst, \.txt"):
        find_sources([f"{tmp_path}/*"], SPEC)
    gone = source_at(str(tmp_path / "gone.jsonl"), SPEC)
    with pytest.raises(CorpusError, match=r"gone\.jsonl: no such file"):
        gone.stamp()
    with pytest.raises(CorpusError, match=r"gone\.jsonl: no such file"):
        raws(gone)


def test_hub_data_set_from_a_folder(tmp_path: Path) -> None:
    lines = [{"text": f"t{i}", "meta": {"pile_set_name": "Books"}, "n": i} for i in range(20)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = source_at(f"{HUB}{tmp_path}", SPEC)
    assert texts(source, 17) == ["t17", "t18", "t19"]
    assert json.loads(raws(source)[0]) == {"text": "t0", "meta": {"pile_set_name": "Books"}}
    assert source.stamp() == (None, None)


def test_hub_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CorpusError, match="hub:no-such/data-set: "):
        raws(source_at("hub:no-such/data-set", SPEC))
    with pytest.raises(CorpusError, match=r"hub:.*not within reach"):
        raws(source_at(f"{HUB}{tmp_path / 'gone'}", SPEC))
    (tmp_path / "train.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(CorpusError, match="Bad split: nope"):
        raws(source_at(f"{HUB}{tmp_path}", CorpusSpec(split="nope")))


def test_generated_rows_are_the_generators_lines_from_any_row_on() -> None:
    source = source_at(EMBEDDED, CorpusSpec(embedded=True, seed=7))
    for first_row in (0, 3, 10**9):
        found = [row.raw for row in islice(source.rows(first_row), 3)]
        assert found == [generator.line(7, row) for row in range(first_row, first_row + 3)]
    assert source.stamp() == (None, None)
    assert source.pinned


def test_generated_rows_are_identified_without_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "line", lambda *_: pytest.fail("a row was made"))
    source = source_at(EMBEDDED, CorpusSpec(embedded=True, seed=7))
    twin = source_at(EMBEDDED, CorpusSpec(embedded=True, seed=7))
    other = source_at(EMBEDDED, CorpusSpec(embedded=True, seed=8))
    digest = source.digest(10, 5)
    assert twin.digest(10, 5) == digest
    assert digest not in (source.digest(10, 4), source.digest(11, 5), other.digest(10, 5))
    monkeypatch.setattr(generator, "VERSION", "another")
    assert source.digest(10, 5) != digest


def test_a_file_of_that_name_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "embedded").write_text("x")
    with pytest.raises(CorpusError, match="embedded: expected a file name"):
        find_sources([f"{tmp_path}/*"], SPEC)
