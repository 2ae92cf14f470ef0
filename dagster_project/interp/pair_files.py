"""Files of text pairs.

A row is {clean_prefix, patch_prefix, clean_answer, patch_answer, case}, in JSONL, the original's
form, or in a table, CSV or Parquet; both patch texts may be left out of all rows. A cluster's JSON
of the original form, {id: {context: [tokens], answer}}, is a task without a patch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from dagster_project.interp.text_pairs import PairError, TextPair

_CLEAN, _PATCH = ("clean_prefix", "clean_answer"), ("patch_prefix", "patch_answer")
TABLES = (".csv", ".parquet")


def read_pairs(file: Path) -> Iterator[TextPair]:
    """Pairs of a file, repeated ones once.

    Raises PairError naming file and line, row or context.
    """
    pairs = _of_table(file) if file.suffix in TABLES else _of_text(file)
    yield from dict.fromkeys(pairs)


def _of_table(file: Path) -> Iterator[TextPair]:
    try:
        if file.suffix == ".csv":
            rows = pl.read_csv(file, infer_schema=False)
        else:
            rows = pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise PairError(f"{file}: expected a table of pairs, found {error}") from error
    lacking = [name for name in _CLEAN if name not in rows.columns]
    if lacking:
        raise PairError(f"{file}: expected a column {lacking[0]}, found {rows.columns!r:.200}")
    for number, row in enumerate(rows.iter_rows(named=True), start=1):
        yield _of_record(row, f"{file}: row {number}")


def _of_text(file: Path) -> Iterator[TextPair]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PairError(f"{file}: expected pairs as JSONL in UTF-8, found {error}") from error
    contexts = _contexts(text)
    if contexts is not None:
        for key, context in contexts.items():
            yield _of_context(context, f"{file}: context {key!r}")
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _of_line(line, f"{file}:{number}")


def _contexts(text: str) -> dict[str, dict[str, object]] | None:
    """Contexts of a cluster by id; None where the text is no cluster's JSON."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:  # lines among them
        return None
    if isinstance(found, dict) and isinstance(found.get("contexts"), dict):
        found = found["contexts"]
    if not isinstance(found, dict) or not found:
        return None
    is_cluster = all(isinstance(c, dict) and "context" in c for c in found.values())
    return found if is_cluster else None


def _of_context(context: dict[str, object], where: str) -> TextPair:
    """The answer's key was `y` before it was `answer`."""
    tokens, answer = context["context"], context.get("answer", context.get("y"))
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise PairError(f"{where}: context must be a list of strings, found {tokens!r:.80}")
    if not isinstance(answer, str):
        raise PairError(f"{where}: answer must be a string, found {answer!r:.80}")
    prefix = "".join(tokens)
    return TextPair(prefix, None, answer, None, None, (prefix, prefix))


def _of_line(line: str, where: str) -> TextPair:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise PairError(f"{where}: expected a JSON object, found {error}") from error
    if not isinstance(record, dict):
        raise PairError(f"{where}: expected a JSON object, found {type(record).__name__}")
    return _of_record(record, where)


def _of_record(record: Mapping[str, object], where: str) -> TextPair:
    patched = any(record.get(key) is not None for key in _PATCH)
    for key in (*_CLEAN, *(_PATCH if patched else ())):
        if not isinstance(record.get(key), str):
            raise PairError(f"{where}: {key} must be a string, found {record.get(key)!r}")
    clean, clean_answer = (str(record[key]) for key in _CLEAN)
    patch, patch_answer = (str(record[key]) if patched else None for key in _PATCH)
    case = record.get("case")
    label = None if case is None else str(case)
    words = (clean, clean if patch is None else patch)
    return TextPair(clean, patch, clean_answer, patch_answer, label, words)
