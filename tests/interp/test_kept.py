"""Kept parts: given back as they were, or not at all."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dagster_project.interp.kept import Kept

FRAME = pl.DataFrame(
    {"n": [1, 2**31], "x": [0.1, None], "name": ["a", None], "yes": [True, False]},
    schema={"n": pl.UInt32, "x": pl.Float32, "name": pl.String, "yes": pl.Boolean},
)


def test_parts_are_given_back_as_they_were(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "not" / "yet")
    assert kept.get(0) is None
    kept.put(0, FRAME)
    kept.put(7, FRAME.clear())
    assert kept.get(7) is not None
    for part, frame in ((0, FRAME), (7, FRAME.clear())):
        found = Kept(kept.folder).get(part)
        assert found is not None
        assert found.equals(frame)
        assert found.schema == frame.schema
    kept.put(0, FRAME.reverse())
    assert kept.get(0).equals(FRAME.reverse())  # type: ignore[union-attr]
    assert sorted(file.suffix for file in kept.folder.iterdir()) == [".arrow"] * 2


@pytest.mark.parametrize("size", [0, 10, 32, 100, -1])
def test_a_part_that_is_cut_is_none(tmp_path: Path, size: int) -> None:
    kept = Kept(tmp_path)
    kept.put(0, FRAME)
    kept.put(1, FRAME)
    (first, _) = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:size])
    assert kept.get(0) is None
    assert kept.get(1) is not None


def test_a_part_that_is_changed_is_none(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.put(0, FRAME)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for place in (0, 40, len(content) - 1):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert kept.get(0) is None
    file.write_bytes(content)
    assert kept.get(0).equals(FRAME)  # type: ignore[union-attr]
