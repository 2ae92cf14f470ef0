"""Files of pairs: JSONL, tables, the JSON of a cluster, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from dagster_project.interp.pair_files import read_pairs
from dagster_project.interp.text_pairs import PairError, TextPair

LINE = (
    '{"clean_prefix": "The girl", "patch_prefix": "The girls", "clean_answer": " was", '
    '"patch_answer": " were", "case": "singular"}'
)


def test_read_skips_blank_lines_and_repeats(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(f"{LINE}\n\n{LINE}\n")
    assert list(read_pairs(file)) == [
        TextPair("The girl", "The girls", " was", " were", "singular", ("The girl", "The girls"))
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("not json", "expected a JSON object"),
        ("[1]", "expected a JSON object, found list"),
        ('{"clean_prefix": "a"}', "clean_answer must be a string, found None"),
        (LINE.replace('"patch_prefix"', '"patch"'), "patch_prefix must be a string, found None"),
        (LINE.replace('" were"', "null"), "patch_answer must be a string, found None"),
        (LINE.replace('"The girls"', "[]"), "patch_prefix must be a string, found []"),
        (LINE.replace('" were"', "3"), "patch_answer must be a string, found 3"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(f"{LINE}\n{line}\n")
    with pytest.raises(PairError) as error:
        list(read_pairs(file))
    assert f"{file}:2: " in str(error.value)
    assert problem in str(error.value)


def test_both_patch_texts_may_be_left_out(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    absent = '{"clean_prefix": "1 + 1 =", "clean_answer": " 2"}'
    null = absent[:-1] + ', "patch_prefix": null, "patch_answer": null, "case": 2}'
    file.write_text(f"{absent}\n{null}\n")
    words = ("1 + 1 =", "1 + 1 =")
    assert list(read_pairs(file)) == [
        TextPair("1 + 1 =", None, " 2", None, case, words) for case in (None, "2")
    ]


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PairError, match=r"none\.jsonl: expected pairs as JSONL"):
        list(read_pairs(tmp_path / "none.jsonl"))


CONTEXT = {"context": ["The", " girl", "s"], "answer": " were", "document_idx": 3}
READ = TextPair("The girls", None, " were", None, None, ("The girls", "The girls"))


@pytest.mark.parametrize(
    "written",
    [
        {"7": CONTEXT, "9": CONTEXT},
        {"7": {"context": ["The girls"], "y": " were"}},
        {"contexts": {"7": CONTEXT}, "clusters": {"2": [[0], None]}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_clusters_json_is_a_task_without_a_patch(
    tmp_path: Path, written: object, indent: int | None
) -> None:
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps(written, indent=indent))
    assert list(read_pairs(file)) == [READ]


@pytest.mark.parametrize(
    ("context", "problem"),
    [
        ({"context": "The girls", "answer": "x"}, "context must be a list of strings"),
        ({"context": ["The", 1], "answer": "x"}, "context must be a list of strings"),
        ({"context": ["The"]}, "answer must be a string, found None"),
        ({"context": ["The"], "y": 3}, "answer must be a string, found 3"),
    ],
)
def test_malformed_contexts_are_named(tmp_path: Path, context: object, problem: str) -> None:
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps({"7": CONTEXT, "9": context}))
    with pytest.raises(PairError) as error:
        list(read_pairs(file))
    assert str(error.value).startswith(f"{file}: context '9': {problem}")


PAIR = TextPair("The girl", "The girls", " was", " were", "1", ("The girl", "The girls"))
ALONE = TextPair('A "dog",', None, " ran", None, None, ('A "dog",', 'A "dog",'))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_is_read_as_lines_are(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"pairs.{kind}"
    frame = pl.DataFrame([pair._asdict() for pair in (PAIR, PAIR)]).drop("words")
    frame.write_csv(file) if kind == "csv" else frame.write_parquet(file)
    assert list(read_pairs(file)) == [PAIR]
    alone = pl.DataFrame([ALONE._asdict()]).select("clean_prefix", "clean_answer")
    alone.write_csv(file) if kind == "csv" else alone.write_parquet(file)
    assert list(read_pairs(file)) == [ALONE]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_row_of_a_table_is_named(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"pairs.{kind}"
    rows = [PAIR._asdict(), {**PAIR._asdict(), "patch_answer": None}]
    frame = pl.DataFrame(rows).drop("words")
    frame.write_csv(file) if kind == "csv" else frame.write_parquet(file)
    with pytest.raises(PairError, match=rf"pairs\.{kind}: row 2: patch_answer must be a string"):
        list(read_pairs(file))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_is_no_table_is_named(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"pairs.{kind}"
    with pytest.raises(PairError, match=rf"pairs\.{kind}: expected a table of pairs"):
        list(read_pairs(file))
    file.write_bytes(b"\xff\x00PAR")
    with pytest.raises(PairError, match=rf"pairs\.{kind}: "):
        list(read_pairs(file))
