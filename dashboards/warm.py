"""Answers that pages will need, asked before anyone does.

Questions over all losses take a second on a lake of ten million, once: then they are kept (see
`data`). So a server that has just started goes through its pages, in the order of the navigation,
each as it opens and with each of its choices in turn. After the first it pauses: a browser that is
opened with the server loads that page meanwhile, on the same cores.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dashboards.data import Data
from dashboards.page import AnyPage, PageState, Visit

PAUSE = 3.0  # seconds
LOG = logging.getLogger(__name__)


class Warming(threading.Thread):
    """Goes through the pages of all studies, unless it is told to leave off."""

    def __init__(self, data: Data, pages: Sequence[AnyPage], pause: float = PAUSE) -> None:
        super().__init__(daemon=True)
        self._data, self._pages, self._pause = data, pages, pause
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            for place, (page, state) in enumerate(self._shown()):
                if self._over.wait(self._pause if place == 1 else 0):
                    return
                page.show(Visit(page, state, self._data))
        except Exception:  # a lake that cannot be read: the pages say so
            LOG.debug("the pages could not be gone through", exc_info=True)

    def _shown(self) -> Iterator[tuple[AnyPage, PageState]]:
        for study in self._data.studies():
            for page in self._pages:
                for state in states(page.state, study):
                    yield page, state

    def leave_off(self) -> None:
        """End after the page at hand: DuckDB must not be at work when the process ends."""
        self._over.set()
        self.join()


def states(kind: type[PageState], study: str) -> Iterator[PageState]:
    """A page of a study as it opens, then with one choice changed: every value of every one."""
    hints, opened = get_type_hints(kind), kind(study=study)
    yield opened
    for field in fields(kind):
        if get_origin(hints[field.name]) is Literal:
            for value in get_args(hints[field.name]):
                if value != field.default:
                    changed: dict[str, Any] = {field.name: value}
                    yield replace(opened, **changed)
