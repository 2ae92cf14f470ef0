"""docs/own_prompt.md is true: its code runs on the shipped model and prints what it says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "own_prompt.md"
CELL = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
NUMBER = re.compile(r"[+-]?\d+\.\d+")


def cells() -> list[tuple[str, str]]:
    """Code and what it prints."""
    return [(code, said) for code, said in CELL.findall(PAGE.read_text(encoding="utf-8"))]


def printed(code: str, names: dict[str, object]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, str(PAGE), "exec"), names)
    return out.getvalue()


def test_its_cells_print_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code, expected in cells():
        found = printed(code, names)
        assert NUMBER.sub("·", found) == NUMBER.sub("·", expected), code
        told, known = ([float(n) for n in NUMBER.findall(text)] for text in (found, expected))
        assert told == pytest.approx(known, abs=0.02), code
    picture = (tmp_path / "own_prompt.svg").read_text(encoding="utf-8")
    shipped = (DOCS / "own_prompt.svg").read_text(encoding="utf-8")
    assert len(shipped.encode()) < 100_000
    assert picture.count("<circle") == shipped.count("<circle") > 10
