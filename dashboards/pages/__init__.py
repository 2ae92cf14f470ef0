"""The pages, in the order of the navigation. Each module holds one `PAGE`."""

from __future__ import annotations

from dashboards.page import AnyPage
from dashboards.pages import (
    dictionaries,
    faithfulness,
    losses,
    overview,
)

PAGES: tuple[AnyPage, ...] = (
    overview.PAGE,
    losses.PAGE,
    faithfulness.PAGE,
    dictionaries.PAGE,
)
