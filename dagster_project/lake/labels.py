"""Labels of features from and to JSONL files in the format of Marks et al. (2024).

    python -m dagster_project.lake.labels import STUDY FILE [--author A] [--root R]
    python -m dagster_project.lake.labels export STUDY FILE [--history] [--root R]

A line is {"Name": "resid_3/12345", "Annotation": "plural nouns", "Notes": "…"}, the name a site and
a feature with / or a space between them. Keys may be in lower case, `Feature` may stand for `Name`
and `label` for `Annotation`; further keys are passed over, and so is a line that repeats the keys
as its values, a heading. `Author` and `Time`, which an export has, are kept. A faulty line refuses
the whole file: nothing is taken. What the log has already is not taken twice.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dagster_project.lake.catalog import root_option
from dagster_project.lake.errors import LakeError
from dagster_project.lake.label_log import (
    Label,
    LabelError,
    append,
    check,
    current,
    history,
    normal_time,
)
from dagster_project.lake.schemas import TABLES
from dagster_project.lake.store import Lake
from dagster_project.lake.writer import put_in_place, temporary_beside

NAME_KEYS, LABEL_KEYS = ("name", "feature"), ("annotation", "label")
EXPECTED = '{"Name": "resid_3/12345", "Annotation": "…"}'


class Taken(NamedTuple):
    """What an import has done."""

    added: int
    known: int  # lines that said what the log says already


def take(lake: Lake, study: str, file: Path, author: str) -> Taken:
    """Import a file of labels. author: of lines that name none. Raises LakeError, file and line
    named, before anything is written."""
    found = list(read(file, author))
    before = set(history(lake, study))
    now = {(label.site, label.feature): _said(label) for label in current(lake, study)}
    fresh: list[Label] = []
    for label in found:
        place = (label.site, label.feature)
        if label in before if label.time else now.get(place) == _said(label):
            continue
        now[place] = _said(label)
        fresh.append(label)
    append(lake, study, fresh)
    return Taken(len(fresh), len(found) - len(fresh))


def read(file: Path, author: str) -> Iterator[Label]:
    """The labels in a file, in order. Raises LakeError that names file and line."""
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise LakeError(f"{file}: cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            label = _label(_keys(line), author)
        except LabelError as error:
            raise LakeError(f"{file}, line {number}: {error}") from error
        if label:
            yield label


def give(lake: Lake, study: str, file: Path, *, past: bool = False) -> int:
    """Export the labels that count, or all there have been (past), in order of time; how many."""
    found = history(lake, study) if past else current(lake, study)
    temporary = temporary_beside(file)
    try:
        text = "".join(json.dumps(_line(label), ensure_ascii=False) + "\n" for label in found)
        temporary.write_text(text, encoding="utf-8")
        put_in_place(temporary, file)
    except OSError as error:
        raise LakeError(f"{file}: cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return len(found)


def _keys(line: bytes) -> dict[str, object]:
    """A line's object, its keys in lower case. Raises LabelError."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"expected {EXPECTED}, found no JSON ({error})") from error
    if not isinstance(found, dict):
        raise LabelError(f"expected {EXPECTED}, found {str(found)[:80]}")
    return {key.lower(): value for key, value in found.items()}


def _label(keys: Mapping[str, object], author: str) -> Label | None:
    """The label in a line; None for a heading. Raises LabelError."""
    name, said = _first(keys, NAME_KEYS), _first(keys, LABEL_KEYS)
    if _is(name, NAME_KEYS) and _is(said, LABEL_KEYS):
        return None
    site, feature = _place(name)
    time, by, notes = (keys.get(key) for key in ("time", "author", "notes"))
    label = Label(
        site=site,
        feature=feature,
        label=said,  # type: ignore[arg-type]  # checked below
        author=author if by is None else by,  # type: ignore[arg-type]
        time="" if time is None else normal_time(time),
        notes=notes or None,  # type: ignore[arg-type]
    )
    if said is None and not ("annotation" in keys and label.time):  # an export says null and when
        raise LabelError(f'expected "Annotation" with text, found {dict(keys)}')
    check(label)
    return label


def _first(keys: Mapping[str, object], names: Sequence[str]) -> object:
    return next((keys[name] for name in names if name in keys), None)


def _is(value: object, names: Sequence[str]) -> bool:
    return isinstance(value, str) and value.lower() in names


def _place(name: object) -> tuple[str, int]:
    """Site and feature of `resid_3/12345` or `resid_3 12345`. Raises LabelError."""
    if isinstance(name, str):
        site, _, feature = name.replace("/", " ", 1).partition(" ")
        if feature.isascii() and feature.isdecimal():
            return site, int(feature[:20])
    raise LabelError(f'expected "Name" as "resid_3/12345", found {str(name)[:80]!r}')


def _said(label: Label) -> tuple[str | None, str | None]:
    return label.label, label.notes


def _line(label: Label) -> dict[str, str | None]:
    return {
        "Name": f"{label.site}/{label.feature}",
        "Annotation": label.label,
        "Notes": label.notes or "",
        "Author": label.author,
        "Time": label.time,
    }


def main(arguments: list[str] | None = None) -> int:
    """Import or export; the exit status."""
    given = _parser().parse_args(arguments)
    lake, file = Lake(Path(given.root)), Path(given.file)
    try:
        _check_study(lake, given.study)
        if given.action == "import":
            added, known = take(lake, given.study, file, given.author)
            print(f"{added} labels added, {known} known already")  # noqa: T201
        else:
            print(f"{give(lake, given.study, file, past=given.history)} labels")  # noqa: T201
    except LakeError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _check_study(lake: Lake, study: str) -> None:
    known = sorted({name for table in TABLES for name in lake.studies(table)})
    if study not in known:
        raise LakeError(f"{lake.root} has no study {study!r}, only {', '.join(known) or 'none'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dagster_project.lake.labels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for action in ("import", "export"):
        command = actions.add_parser(action)
        command.add_argument("study")
        command.add_argument("file", help="JSONL")
        root_option(command)
        if action == "import":
            command.add_argument("--author", default=_user(), help="of lines without (%(default)s)")
        else:
            command.add_argument("--history", action="store_true", help="earlier labels too")
    return parser


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may know no name
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
