"""What stands where there is nothing yet, in the narrowest place that it has."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from dagster_project.lake.store import Lake
from tests.browser import Visit
from tests.dashboards.circuits import ORDER, fill_circuits, opened


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A study with circuits."""
    return fill_circuits(Lake(tmp_path_factory.mktemp("circuits") / "lake"))


def test_a_command_breaks_between_its_words_alone(visit: Visit) -> None:
    page = opened(visit, f"{ORDER}&node=embed.4.1")
    command = page.locator(".side .empty pre")
    said = "python -m dagster_project.run plain --only features"
    expect(command).to_have_text(said, use_inner_text=False)
    lines = command.locator("span").evaluate_all("all => all.map(e => e.offsetHeight)")
    assert len(set(lines)) == 1
    assert command.evaluate("e => e.clientHeight") > 2 * lines[0]
    assert (
        command.evaluate(
            "e => { getSelection().selectAllChildren(e); return `${getSelection()}`; }"
        )
        == said
    )
