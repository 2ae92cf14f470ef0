"""A real browser for tests of user interfaces: what it meets, and what goes wrong on its pages."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

PATIENCE = 60_000  # milliseconds for whatever a page is to show: a busy machine is slow, not wrong
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Visit(NamedTuple):
    """A browser's page, and what went wrong on it."""

    page: Page
    url: str
    errors: list[str]  # on the console, or uncaught
    foreign: list[str]  # requests that would leave this machine

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page


def find_chromium() -> str:
    """Path of a browser; the test is skipped without one, except in CI, where it must run."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("no chromium on PATH; in CI user interfaces must be tested")
    if found is None:
        pytest.skip("no chromium on PATH")
    return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A browser without windows. One at a time can run in a process."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=BROWSER_OPTIONS)
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, url: str, width: int = 1600, height: int = 1000) -> Iterator[Visit]:
    """A page of its own on a server, listening for errors and foreign requests."""
    context = browser.new_context(viewport={"width": width, "height": height})
    made = Visit(context.new_page(), url, [], [])
    page = made.page
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page.on("console", lambda m: made.errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: made.errors.append(str(error)))
    page.on("request", lambda r: None if is_local(r.url) else made.foreign.append(r.url))
    page.on("websocket", lambda w: None if is_local(w.url) else made.foreign.append(w.url))
    yield made
    context.close()


def is_local(url: str) -> bool:
    """Whether an address stays on this machine."""
    return bool(re.match(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:", url))
