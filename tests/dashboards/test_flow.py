"""The picture of the flow agrees with the flow."""

from __future__ import annotations

from dagster_project.assets.flow import GROUPS, RECIPE
from dagster_project.lake.schemas import TABLES
from dashboards.flow import FILLED_BY, LANES
from dashboards.pages import PAGES


def test_every_table_has_its_place() -> None:
    assert set(TABLES) <= set(FILLED_BY)


def test_assets_are_those_that_fill_the_tables_in_the_order_of_the_flow() -> None:
    stages = [s for name, group in GROUPS.items() if name != RECIPE for s in group if s.tables]
    drawn = {asset.name: set(asset.tables) for lane in LANES.values() for asset in lane}
    for stage in stages:
        assert set(stage.tables) == drawn[stage.name]
    made = {stage.name for stage in stages}
    assert [name for name in drawn if name in made] == [stage.name for stage in stages]


def test_boxes_lead_to_pages() -> None:
    linked = {asset.page for lane in LANES.values() for asset in lane if asset.page}
    assert linked <= {page.name for page in PAGES}
