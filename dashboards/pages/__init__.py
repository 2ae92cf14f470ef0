"""The pages, in the order of the navigation. Each module holds one `PAGE`."""

from __future__ import annotations

from dashboards.page import AnyPage
from dashboards.pages import (
    circuit,
    circuits,
    cluster_file,
    clusterings,
    clusters,
    dictionaries,
    faithfulness,
    feature,
    features,
    losses,
    overview,
    shift,
    sql,
    task,
)

PAGES: tuple[AnyPage, ...] = (
    overview.PAGE,
    losses.PAGE,
    clusterings.PAGE,
    clusters.PAGE,
    cluster_file.PAGE,
    features.PAGE,
    feature.PAGE,
    circuits.PAGE,
    circuit.PAGE,
    task.PAGE,
    faithfulness.PAGE,
    shift.PAGE,
    dictionaries.PAGE,
    sql.PAGE,
)
