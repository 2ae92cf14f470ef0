"""Frames that fit the contract keep their values; the others are refused by name."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dagster_project.lake.errors import SchemaError
from dagster_project.lake.rows import conform
from dagster_project.lake.schemas import TABLES

TOKENS = TABLES["tokens"]
GOOD = pl.DataFrame({"doc_id": [1, 1], "pos": [0, 1], "token_id": [5, 6], "token": ["a", "b"]})


def test_integers_are_narrowed_and_columns_put_in_order() -> None:
    found = conform(TOKENS, GOOD.select("token", "pos", "token_id", "doc_id"))
    assert found.schema == TOKENS.file_schema
    assert found.rows() == [(1, 0, 5, "a", None), (1, 1, 6, "b", None)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokn": pl.lit(1)}, "tokens.tokn: unknown column, expected doc_id, pos, token_id, token"),
        ({"shard": pl.lit("0")}, "tokens.shard: belongs to the path"),
        ({"study": pl.lit("s")}, "tokens.study: belongs to the path"),
        ({"pos": pl.lit(1.5)}, "tokens.pos: found Float64, expected UInt16"),
        ({"pos": pl.lit("1")}, "tokens.pos: found String, expected UInt16"),
        ({"pos": pl.lit(True)}, "tokens.pos: found Boolean, expected UInt16"),
        ({"token": pl.lit(7)}, "tokens.token: found Int32, expected String"),
        ({"pos": pl.lit(-1)}, "tokens.pos: expected UInt16 in rows 10–11: .*-1"),
        ({"pos": pl.lit(65_536)}, "tokens.pos: expected UInt16 in rows 10–11: .*65536"),
        (
            {"token": pl.Series(["a", None])},
            "tokens.token: null in row 11, expected String without nulls",
        ),
    ],
)
def test_rows_that_do_not_fit(change: dict[str, pl.Expr], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        conform(TOKENS, GOOD.with_columns(**change), first_row=10)


def test_a_missing_column_is_an_error_unless_it_may_be_null() -> None:
    with pytest.raises(SchemaError, match=r"tokens\.pos: missing, expected UInt16"):
        conform(TOKENS, GOOD.drop("pos"))
    document = pl.DataFrame({"doc_id": [1], "text": ["x"], "n_chars": [1], "content_hash": ["h"]})
    found = conform(TABLES["documents"], document)
    assert found.row(0) == (1, None, "x", 1, "h", None, None)


def test_no_rows_at_all_fit() -> None:
    assert conform(TABLES["documents"], TABLES["documents"].file_schema.to_frame()).height == 0


def test_lists_are_checked_within() -> None:
    pairs = TABLES["pairs"]
    row = {"split": ["train"], "example": [0], "clean_prefix": ["a"], "clean_answer": ["b"]}
    base = pl.DataFrame({**row, "clean_answer_id": [3]})
    found = conform(pairs, base.with_columns(clean_ids=pl.Series([[1, 2]])))
    assert found["clean_ids"].to_list() == [[1, 2]]
    array = pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2))
    assert conform(pairs, base.with_columns(clean_ids=array))["clean_ids"].to_list() == [[1, 2]]
    for ids, message in (([[1.5]], "found List"), ([[-1]], "expected List")):
        with pytest.raises(SchemaError, match=rf"pairs\.clean_ids: {message}"):
            conform(pairs, base.with_columns(clean_ids=pl.Series(ids)))


def test_structs_are_matched_by_name() -> None:
    spec = TABLES["documents"]
    base = {"doc_id": [1], "text": ["x"], "n_chars": [1], "content_hash": ["h"]}
    piece = {"surprisal": 0.5, "slot": "s", "skill": "k", "end": 2, "start": 1}
    with pytest.raises(SchemaError, match=r"documents\.pieces"):
        conform(spec, pl.DataFrame({**base, "pieces": [[{"start": 1}]]}))
    ordered = dict(sorted(piece.items(), key=lambda kv: list(_PIECE).index(kv[0])))
    found = conform(spec, pl.DataFrame({**base, "pieces": [[ordered]]}))
    assert found["pieces"].to_list() == [[piece]]


_PIECE = ("start", "end", "skill", "slot", "surprisal")

_VALUES = {
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.UInt16: st.integers(0, 2**16 - 1),
    pl.UInt32: st.integers(0, 2**32 - 1),
    pl.Float32: st.floats(width=32, allow_nan=True),
    pl.Boolean: st.booleans(),
    pl.String: st.text(max_size=8),
}


@settings(max_examples=50)
@given(st.data())
def test_frames_of_the_schema_pass_unchanged(data: st.DataObject) -> None:
    spec, height = TABLES["losses"], data.draw(st.integers(0, 5))
    columns = {}
    for column in spec.columns:
        values = _VALUES[column.dtype.base_type()]
        values = values | st.none() if column.nullable else values
        drawn = data.draw(st.lists(values, min_size=height, max_size=height))
        columns[column.name] = pl.Series(drawn, dtype=column.dtype)
    frame = pl.DataFrame(columns)
    assert_frame_equal(conform(spec, frame), frame)
