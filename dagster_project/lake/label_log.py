"""What features stand for, in people's words: an append-only log a study, one JSON line a label.

`<root>/_labels/study=<study>/labels.jsonl`. The label with the latest time counts, earlier ones are
its history, and a label of null takes back what was said before. Lines are ASCII and each call
appends with one write, so that two writers do not mix; a line that a crash has cut off ends at the
next writer's first byte and is passed over by readers, as is whatever else is no label.
Cost: readers read the whole log; a label is some 200 bytes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dagster_project.lake.errors import LakeError
from dagster_project.lake.store import Lake

FOLDER, FILE = "_labels", "labels.jsonl"
LONGEST = {"label": 2000, "author": 200, "notes": 10_000}  # characters
LARGEST_FEATURE = 2**31 - 1
_SITE = re.compile(r"embed|(z|attn|mid|mlp|resid)_(0|[1-9][0-9]{0,3})")


@dataclass(frozen=True)
class Label:
    """What somebody said of a feature."""

    site: str
    feature: int
    label: str | None  # None: what was said before is taken back
    author: str
    time: str = ""  # UTC, as `stamp` writes it; empty: when it is appended
    notes: str | None = None


class LabelError(LakeError):
    """A label that cannot be kept: which part of it, what was expected and what was found."""


def append(lake: Lake, study: str, labels: Sequence[Label]) -> None:
    """Add labels to a study's log, durably. Raises LabelError before anything is written.

    Labels without a time get the present one, each a microsecond after the one before it.
    """
    now = datetime.now(UTC)
    timed = [
        label if label.time else replace(label, time=stamp(now + timedelta(microseconds=i)))
        for i, label in enumerate(labels)
    ]
    for label in timed:
        check(label)
    lines = "".join(json.dumps(asdict(label)) + "\n" for label in timed)
    if lines:
        _append(log_file(lake, study), lines.encode("ascii"))


def history(lake: Lake, study: str) -> list[Label]:
    """All labels of a study by time; of equal times in the order of the log."""
    file = lake.root / FOLDER / f"study={study}" / FILE
    if not file.is_file():
        return []
    found = [_parsed(line) for line in file.read_bytes().split(b"\n")]
    return sorted((label for label in found if label), key=lambda label: label.time)


def current(lake: Lake, study: str) -> list[Label]:
    """The label that counts of each feature that has one, by site and feature."""
    last = {(label.site, label.feature): label for label in history(lake, study)}
    kept = [label for label in last.values() if label.label is not None]
    return sorted(kept, key=lambda label: (label.site, label.feature))


def log_file(lake: Lake, study: str) -> Path:
    """Where a study's labels are; its folder is made. Raises LakeError for an unfit name."""
    return lake.folder(FOLDER, study=study) / FILE


def log_files(lake: Lake) -> list[Path]:
    """The logs of all studies that have one."""
    return sorted((lake.root / FOLDER).glob(f"study=*/{FILE}"))


def stamp(time: datetime) -> str:
    """A time in UTC to the microsecond, whose order is that of the text: ISO 8601, with Z."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def check(label: Label) -> None:
    """Raises LabelError unless a label can be kept; its time may be missing as yet."""
    if not isinstance(label.site, str) or not _SITE.fullmatch(label.site):
        expected = "embed, z_i, attn_i, mid_i, mlp_i or resid_i"
        raise LabelError(f"site must be {expected}, found {_show(label.site)}")
    number = label.feature
    if type(number) is not int or not 0 <= number <= LARGEST_FEATURE:
        raise LabelError(f"feature must be 0 … {LARGEST_FEATURE}, found {_show(number)}")
    for name, optional in (("label", True), ("author", False), ("notes", True)):
        _check_text(name, getattr(label, name), optional=optional)
    if label.time and _normal(label.time) != label.time:
        raise LabelError(f"time must be UTC as {stamp(datetime.now(UTC))}, found {label.time!r}")


def _check_text(name: str, text: object, *, optional: bool) -> None:
    if text is None and optional:
        return
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise LabelError(f"{name} must be text that is not empty, found {_show(text)}")
    if len(text) > LONGEST[name]:
        raise LabelError(f"{name} must be {LONGEST[name]} characters at most, found {len(text)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise LabelError(f"{name} must be valid Unicode, found {_show(text)}") from error


def _normal(time: str) -> str | None:
    """A time of any zone as `stamp` writes it; None where it is none or has no zone."""
    try:
        found = datetime.fromisoformat(time)
        return stamp(found) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def normal_time(time: object) -> str:
    """An ISO time with its zone as `stamp` writes it. Raises LabelError."""
    found = _normal(time) if isinstance(time, str) else None
    if found is None:
        raise LabelError(f"time must be ISO 8601 with its zone, found {_show(time)}")
    return found


def _parsed(line: bytes) -> Label | None:
    """The label in a line; None where it holds none."""
    try:
        label = Label(**json.loads(line))
        check(label)
    except (ValueError, TypeError, RecursionError, LabelError):
        return None
    return label if label.time else None


def _append(file: Path, lines: bytes) -> None:
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        whole = b"\n" + lines if torn else lines
        written = os.write(descriptor, whole)
        os.fsync(descriptor)
    except OSError as error:
        raise LakeError(f"{file}: cannot be written: {error}") from error
    finally:
        os.close(descriptor)
    if written != len(whole):
        raise LakeError(f"{file}: {written} of {len(whole)} bytes were written; is the disk full?")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
