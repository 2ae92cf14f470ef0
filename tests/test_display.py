"""What a run shows: every step with its place, how far the work is, and what was made of it."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from dagster_project import display
from dagster_project.assets.progress import WATCHER
from dagster_project.display import Display, Terminal


class Clock:
    """Time that passes only when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.monotonic", made)
    return made


def seconds_hidden(lines: list[str]) -> list[str]:
    return [re.sub(r"[\d.]+ s$", "… s", line) for line in lines]


def test_a_step_is_told_when_it_starts_and_when_it_ends() -> None:
    lines = list[str]()
    shown = Display(lines.append)
    with shown.step("2 of 7", ["documents", "tokens"], 4) as notes:
        notes.extend(["6 materialized", "2 fresh"])
    assert seconds_hidden(lines) == [
        "2 of 7  documents, tokens …",
        "2 of 7  documents, tokens: 6 materialized, 2 fresh, … s",
    ]


def test_a_step_that_fails_does_not_end() -> None:
    lines = list[str]()
    with pytest.raises(ValueError, match="broken"), Display(lines.append).step("1 of 1", ["x"], 1):
        raise ValueError("broken")
    assert lines == ["1 of 1  x …"]


def test_between_them_stages_and_loops_are_told_now_and_then(clock: Clock) -> None:
    lines = list[str]()
    shown = Display(lines.append)
    with shown.step("1 of 2", ["tokens", "losses"], 3) as notes:
        shown.part(1, 3, "00000")
        shown.begin("tokens")  # at once: not worth a line
        clock.now += display.EVERY
        shown.begin("losses")
        with shown.loop("losses", "tokens", 5000) as advance:
            advance(1000)
            clock.now += display.EVERY
            advance(500)
            advance(500)
        notes.append("done")
    assert lines[1:-1] == [
        "1 of 2  losses 00000 (1 of 3)",
        "1 of 2  losses 00000: 1,500 of 5,000 tokens",
    ]


def test_a_loop_of_unknown_length_and_a_stage_without_partitions(clock: Clock) -> None:
    lines = list[str]()
    shown = Display(lines.append)
    with shown.step("1 of 1", ["corpus"], 1) as notes:
        shown.part(1, 1, "")
        with shown.loop("corpus", "rows", None) as advance:
            clock.now += display.EVERY
            advance(1200)
        notes.append("done")
    assert lines[1:-1] == ["1 of 1  corpus: 1,200 rows"]


def test_stages_find_who_watches_only_while_watched() -> None:
    shown = Display(lambda _: None)
    with shown.watching():
        assert WATCHER.get() is shown
    assert WATCHER.get() is None


def frames(shown: io.StringIO) -> str:
    """All that was written to a terminal, without its control codes."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.getvalue())


def test_a_terminal_shows_step_partition_stage_and_amount_and_keeps_what_is_done() -> None:
    text = io.StringIO()
    shown = Terminal(Console(file=text, force_terminal=True, width=100))
    with shown.watching(), shown.step("3 of 7", ["tokens", "losses"], 2) as notes:
        for number, shard in enumerate(("00000", "00001"), 1):
            shown.part(number, 2, shard)
            shown.begin("tokens")
            with shown.loop("tokens", "documents", 10) as advance:
                advance(7)
                shown.live.refresh()
            shown.begin("losses")
            shown.live.refresh()
        notes.append("4 materialized")
    seen = frames(text)
    assert re.search(r"3 of 7  tokens, losses .*00001 \(2 of 2\)", seen)
    assert re.search(r"    tokens .*7 of 10 documents", seen)
    assert re.search(r"    losses ", seen)
    last = seen.rstrip().splitlines()[-1]
    assert last.startswith("3 of 7  tokens, losses: 4 materialized")


def test_a_terminals_bar_counts_stages_of_all_partitions() -> None:
    shown = Terminal(Console(file=io.StringIO(), force_terminal=True))
    seen = list[float]()
    with shown.watching(), shown.step("1 of 1", ["tokens", "losses"], 2) as notes:
        for number in (1, 2):
            shown.part(number, 2, str(number))
            for stage in ("tokens", "losses"):
                shown.begin(stage)
                seen.append(shown.live.tasks[0].percentage)
        notes.append("")
    assert seen == [0, 25, 50, 75]


def test_brackets_of_names_are_shown() -> None:
    text = io.StringIO()
    Terminal(Console(file=text, force_terminal=True)).tell("corpus [red]x[/nonsense]")
    assert "[red]x[/nonsense]" in frames(text)
