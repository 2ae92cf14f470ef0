"""Pages that are gone through before anyone asks for them."""

from __future__ import annotations

import threading

import pytest

from dagster_project.lake.store import Lake
from dashboards.data import Data
from dashboards.page import AnyPage, Visit
from dashboards.pages import PAGES, losses
from dashboards.warm import Warming, states
from tests.dashboards.lakes import fill


def test_what_was_gone_through_is_asked_no_more(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Data(lake)
    Warming(data, PAGES, pause=0).join()

    def opened(*_: object) -> None:
        pytest.fail("a question was asked again")

    monkeypatch.setattr(Data, "_views", opened)
    for page in PAGES:
        page.show(Visit(page, page.state(study="plain"), data))


def test_every_choice_of_a_page_once() -> None:
    found = [state.by for state in states(losses.PAGE.state, "s")]  # type: ignore[attr-defined]
    assert set(found) == {*losses.VIEWS}
    assert len({*states(losses.PAGE.state, "s")}) == len(found)


def test_a_page_that_fails_stops_nothing(root: Lake) -> None:
    def fail(_: Visit) -> None:  # type: ignore[type-arg]
        raise ValueError("a fault")

    faulty = AnyPage("faulty", "Faulty", "", PAGES[0].state, fail)  # type: ignore[arg-type]
    fill(root, "s")
    Warming(Data(root), [faulty], pause=0).join()


def test_it_leaves_off_when_told_also_in_its_pause(root: Lake) -> None:
    shown = threading.Event()

    def show(_: Visit) -> None:  # type: ignore[type-arg]
        shown.set()

    fill(root, "s")
    page = AnyPage("one", "One", "", losses.PAGE.state, show)  # type: ignore[arg-type]
    warming = Warming(Data(root), [page], pause=3600)
    assert shown.wait(60)
    warming.leave_off()
    assert not warming.is_alive()
