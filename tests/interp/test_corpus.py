"""The manifest: append-only whatever happens to the files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_project.embedded import corpus as generator
from dagster_project.interp.corpus import (
    MANIFEST,
    RowHash,
    Shard,
    extend,
    read_rows,
    shards_of,
)
from dagster_project.interp.sources import EMBEDDED, HUB, CorpusError, Row, Source, source_at
from dagster_project.studies.study import CorpusSpec

EMPTY = MANIFEST.to_frame()


def write(file: Path, rows: Sequence[str], tick: list[int] = [0]) -> Source:  # noqa: B006
    """Rows as lines, with a modification time that is later than any before."""
    file.write_text("".join(f"{row}\n" for row in rows))
    tick[0] += 1
    os.utime(file, ns=(tick[0] * 10**9, tick[0] * 10**9))
    return source_at(str(file), CorpusSpec())


def rows(shard: Shard) -> list[str]:
    return [raw.decode() for raw in read_rows(shard, source_at(shard.path, CorpusSpec()))]


def all_rows(manifest: pl.DataFrame) -> list[list[str]]:
    return [rows(shard) for shard in shards_of(manifest)]


def test_rows_of_two_files_in_shards_of_two(tmp_path: Path) -> None:
    sources = [write(tmp_path / "a.jsonl", ["a", "bb", "c"]), write(tmp_path / "b.jsonl", ["d"])]
    manifest = extend(EMPTY, sources, rows_per_shard=2)
    assert manifest["shard"].to_list() == ["00000", "00001", "00002"]
    assert manifest["first_row"].to_list() == [0, 2, 0]
    assert manifest["first_byte"].to_list() == [0, 5, 0]
    assert manifest["rows"].to_list() == [2, 1, 1]
    assert manifest["ends_source"].to_list() == [False, True, True]
    assert all_rows(manifest) == [["a", "bb"], ["c"], ["d"]]
    assert [shard.first_doc_id for shard in shards_of(manifest)] == [0, 1_000_000, 2_000_000]


def test_row_hash_tells_boundaries() -> None:
    one, two = RowHash(), RowHash()
    one.add(b"ab")
    two.add(b"a")
    two.add(b"b")
    assert one.digest() != two.digest()


def test_known_files_are_not_read_again(tmp_path: Path) -> None:
    sources = [write(tmp_path / "a.jsonl", ["a", "b", "c"])]
    manifest = extend(EMPTY, sources, rows_per_shard=2)
    read: list[int] = []
    new = write(tmp_path / "b.jsonl", ["d"])
    extended = extend(manifest, [*sources, new], 2, advance=read.append)
    assert read == [1]
    assert extended.head(2).equals(manifest)
    assert all_rows(extended) == [["a", "b"], ["c"], ["d"]]


def test_growth_fills_the_last_shard_of_its_file(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.jsonl", ["a", "b", "c"]), write(tmp_path / "b.jsonl", ["x"])
    before = extend(EMPTY, [a, b], rows_per_shard=2)
    a = write(tmp_path / "a.jsonl", ["a", "b", "c", "d", "e"])
    after = extend(before, [a, b], rows_per_shard=2)
    assert all_rows(after) == [["a", "b"], ["c", "d"], ["x"], ["e"]]
    assert after["path"].to_list()[3] == a.path
    same = before["content_hash"] == after["content_hash"].head(3)
    assert same.to_list() == [True, False, True]


def test_a_change_within_touches_one_hash(tmp_path: Path) -> None:
    before = extend(EMPTY, [write(tmp_path / "a.jsonl", ["a", "b", "c", "d"])], 2)
    after = extend(before, [write(tmp_path / "a.jsonl", ["a", "b", "C", "d"])], 2)
    same = before["content_hash"] == after["content_hash"]
    assert same.to_list() == [True, False]
    assert after.drop("content_hash", "modified_ns").equals(
        before.drop("content_hash", "modified_ns")
    )


def test_a_shrunken_file_keeps_its_shards(tmp_path: Path) -> None:
    before = extend(EMPTY, [write(tmp_path / "a.jsonl", ["a", "b", "c"])], 2)
    after = extend(before, [write(tmp_path / "a.jsonl", ["a"])], 2)
    assert all_rows(after) == [["a"], []]
    again = extend(after, [write(tmp_path / "a.jsonl", ["a", "b", "c", "d", "e"])], 2)
    assert all_rows(again) == [["a", "b"], ["c", "d"], ["e"]]


def test_a_vanished_file_keeps_its_shards(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.jsonl", ["a"]), write(tmp_path / "b.jsonl", ["b"])
    before = extend(EMPTY, [a, b], 2)
    Path(a.path).unlink()
    after = extend(before, [b], 2)
    assert after.equals(before)
    with pytest.raises(CorpusError, match=r"a\.jsonl: no such file"):
        rows(shards_of(after)[0])


def test_a_file_changed_behind_the_manifest_is_refused(tmp_path: Path) -> None:
    manifest = extend(EMPTY, [write(tmp_path / "a.jsonl", ["a", "b", "c"])], 2)
    write(tmp_path / "a.jsonl", ["a", "b", "x"])
    first, second = shards_of(manifest)
    assert rows(first) == ["a", "b"]  # its rows are what they were
    with pytest.raises(CorpusError, match=r"rows 2 to 2 of shard 00001 have changed"):
        rows(second)


def test_max_shards_may_be_raised(tmp_path: Path) -> None:
    sources = [write(tmp_path / f"{c}.jsonl", [c] * 3) for c in "ab"]
    manifest = extend(EMPTY, sources, 1, max_shards=2)
    assert all_rows(manifest) == [["a"], ["a"]]
    assert extend(manifest, sources, 1, max_shards=2).equals(manifest)
    assert all_rows(extend(manifest, sources, 1, max_shards=4)) == [["a"], ["a"], ["a"], ["b"]]


def test_another_way_of_reading_is_a_change(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("a;b\nc;d")
    before = extend(EMPTY, [source_at(str(file), CorpusSpec(separator=";"))], 9)
    after = extend(before, [source_at(str(file), CorpusSpec(separator=""))], 9)
    assert before["rows"].to_list() == [3]
    assert after["rows"].to_list() == [2]


def test_hub_stream_is_read_up_to_max_shards(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"t{i}"}) for i in range(9)]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    source = source_at(f"{HUB}{tmp_path}", CorpusSpec())
    manifest = extend(EMPTY, [source], rows_per_shard=2, max_shards=3)
    assert manifest["rows"].to_list() == [2, 2, 2]
    assert all_rows(manifest)[2] == ['{"text": "t4"}', '{"text": "t5"}']
    more = extend(manifest, [source], rows_per_shard=2, max_shards=10)
    assert more["rows"].to_list() == [2, 2, 2, 2, 1]
    assert more.head(2).equals(manifest.head(2))


def test_a_hub_stream_at_a_revision_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    lines = [Row(f"t{i}".encode(), None) for i in range(9)]
    monkeypatch.setattr(Source, "rows", lambda *_: iter(lines))

    def extended(manifest: pl.DataFrame, revision: str, max_shards: int) -> pl.DataFrame:
        told.clear()
        source = source_at(f"{HUB}some/set", CorpusSpec(revision=revision))
        return extend(manifest, [source], 2, max_shards, told.append)

    manifest = extended(EMPTY, "abc", 3)
    assert told == [2, 2, 2]
    assert extended(manifest, "abc", 3).equals(manifest)
    assert not told
    extended(manifest, "def", 3)  # another revision
    assert told == [2, 2, 2]
    whole = extended(manifest, "abc", 9)  # more shards
    assert told == [2, 2, 2, 2, 1]
    extended(whole, "abc", 9)  # the set has no more
    assert not told


def test_a_local_folder_in_place_of_a_hub_set_is_always_read(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a"}\n')
    assert not source_at(f"{HUB}{tmp_path}", CorpusSpec(revision="abc")).pinned
    assert source_at(f"{HUB}some/set", CorpusSpec(revision="abc")).pinned
    assert not source_at(f"{HUB}some/set", CorpusSpec()).pinned


def generated(seed: int = 0) -> Source:
    return source_at(EMBEDDED, CorpusSpec(embedded=True, seed=seed))


def test_generated_shards_are_registered_without_making_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(generator, "line", lambda *_: pytest.fail("a row was made"))
        manifest = extend(EMPTY, [generated()], 2, max_shards=3, advance=told.append)
        again = extend(manifest, [generated()], 2, max_shards=3, advance=told.append)
    assert again.equals(manifest)
    assert told == [2, 2, 2]
    assert manifest["first_row"].to_list() == [0, 2, 4]
    assert not manifest["ends_source"].any()
    lines = [generator.line(0, row) for row in range(6)]
    held = [list(read_rows(shard, generated())) for shard in shards_of(manifest)]
    assert held == [lines[:2], lines[2:4], lines[4:]]
    more = extend(manifest, [generated()], 2, max_shards=5)
    assert more.head(3).equals(manifest)
    assert more["rows"].to_list() == [2] * 5
    assert more["content_hash"].n_unique() == 5


def test_another_generator_changes_every_shard_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = extend(EMPTY, [generated()], 2, max_shards=2)
    other_seed = extend(before, [generated(seed=1)], 2, max_shards=2)
    monkeypatch.setattr(generator, "VERSION", "another")
    other_version = extend(before, [generated()], 2, max_shards=2)
    for after in (other_seed, other_version):
        places = ["shard", "ordinal", "path", "first_row", "rows"]
        assert after.select(places).equals(before.select(places))
        assert not (after["content_hash"] == before["content_hash"]).any()
        assert not (after["read_as"] == before["read_as"]).any()
    with pytest.raises(CorpusError, match=r"rows 0 to 1 of shard 00000 have changed"):
        list(read_rows(shards_of(before)[0], generated()))
    assert len(list(read_rows(shards_of(other_version)[0], generated()))) == 2


def test_what_has_no_end_needs_a_limit() -> None:
    with pytest.raises(CorpusError, match="embedded: expected a limit of shards"):
        extend(EMPTY, [generated()], 2)


LINES = st.lists(st.sampled_from("abc"), max_size=7)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(st.dictionaries(st.sampled_from("xyz"), LINES), min_size=1, max_size=4),
    rows_per_shard=st.integers(1, 3),
)
def test_append_only_whatever_happens(
    tmp_path: Path, history: list[dict[str, list[str]]], rows_per_shard: int
) -> None:
    """Files appear, change, grow and shrink: ordinals keep their source and place, and the shards
    of the files that are there hold all their rows, each once."""
    content: dict[str, list[str]] = {}
    manifest = EMPTY
    for changes in history:
        content |= changes
        sources = [write(tmp_path / f"{name}.jsonl", content[name]) for name in sorted(content)]
        extended = extend(manifest, sources, rows_per_shard)
        places = ["shard", "ordinal", "path", "first_row"]
        assert extended.head(len(manifest)).select(places).equals(manifest.select(places))
        assert extended["ordinal"].to_list() == list(range(len(extended)))
        manifest = extended
        for source in sources:
            shards = [s for s in shards_of(manifest) if s.path == source.path]
            shards.sort(key=lambda shard: shard.first_row)
            held = [row for shard in shards for row in rows(shard)]
            assert held == content[Path(source.path).stem]
            assert all(shard.rows <= rows_per_shard for shard in shards)
        assert extend(manifest, sources, rows_per_shard).equals(manifest)
