"""The map of a clustering: every context at its place, coloured, with a lasso to list some.

A lasso is a polygon in the address, `x,y,x,y,…`; assets/cluster_map.js writes it there. It draws
the points too: as SVG, Plotly takes 0.3 s for 1,500 of them, and as WebGL it compiles code, which
the policy bars.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import TypeAlias

import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.components.marks import drawn
from dashboards.components.palette import NEUTRAL, SERIES
from dashboards.numbers import written
from dashboards.text import clip, token, visible

Polygon: TypeAlias = Sequence[tuple[float, float]]

MOST = 20_000  # contexts drawn
NAMED = 14  # groups with a colour of their own
MOST_CORNERS = 80
GOLDEN = 0.618034  # turns of the hue from one group to the next
LOSS = ("#3b6fd4", "#7d8694", "#d4572b")  # least, middle, most


def polygon(text: str) -> Polygon | None:
    """The polygon that a lasso of the address stands for; None where it is none."""
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        return None
    fits = len(numbers) % 2 == 0 and 6 <= len(numbers) <= 2 * MOST_CORNERS
    if not fits or not all(map(math.isfinite, numbers)):
        return None
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def within(corners: Polygon) -> pl.Expr:
    """Whether (x, y) lies in a polygon: a ray to the right crosses its sides an odd number of
    times."""
    x, y, inside = pl.col("x"), pl.col("y"), pl.lit(False)
    for (x1, y1), (x2, y2) in pairwise([*corners, corners[0]]):
        if y1 == y2:
            continue
        crosses = ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
        inside = inside ^ crosses
    return inside.fill_null(False)


def cluster_map(
    contexts: pl.DataFrame, clustering: str, colour: str, cluster: int, corners: Polygon | None
) -> Component:
    """contexts: cluster, x, y, answer, rule, skill, subset, loss. colour: cluster, skill, subset
    or loss. The cluster's own contexts stand out, or those within the lasso."""
    placed = contexts.filter(pl.col("x").is_finite() & pl.col("y").is_finite())
    shown = placed.sample(MOST, seed=0) if placed.height > MOST else placed
    shades, legend = _shades(shown, colour)
    palette = {shade: place for place, shade in enumerate(dict.fromkeys(shades))}
    points = {
        "x": shown["x"].round(3).to_list(),
        "y": shown["y"].round(3).to_list(),
        "cluster": shown["cluster"].to_list(),
        "colour": [palette[shade] for shade in shades],
        "palette": list(palette),
        "tips": _tips(shown),
        "clustering": clustering,
    }
    # Apart, so that from one cluster to the next the points stay as they are.
    chosen = {"cluster": cluster, "lasso": [list(corner) for corner in corners or ()]}
    return html.Div(
        [
            drawn("clusterPoints", points, "cluster-points"),
            drawn("clusterChosen", chosen, "cluster-chosen"),
            html.Div(legend, className="map-legend", key="legend"),
        ],
        className="cluster-map",
    )


def _tips(shown: pl.DataFrame) -> list[str]:
    """What each point says; answers and rules are few, and made readable once each."""
    answers = {answer: token(answer) for answer in shown["answer"].unique()}
    rules = {rule: f"\n{visible(clip(rule, 60))}" for rule in shown["rule"].unique() if rule}
    return [
        answers[answer]
        + ("" if loss is None else f" · {written(loss, '.3g', 'nats')}")
        + f"{rules.get(rule, '')}\ncluster {cluster}"
        for answer, loss, rule, cluster in shown.select("answer", "loss", "rule", "cluster").rows()
    ]


def _shades(shown: pl.DataFrame, colour: str) -> tuple[list[str], list[Component]]:
    """Colour of each context, and what the colours mean."""
    if colour == "loss":
        return _by_loss(shown["loss"].to_list())
    if colour == "cluster":
        return [hue(c) if c >= 0 else NEUTRAL for c in shown["cluster"].to_list()], [
            html.Span("Clusters by hue; the one shown stands out.", className="quiet")
        ]
    groups = shown[colour].value_counts(sort=True).drop_nulls()[colour].to_list()
    colours = list(SERIES) if len(groups) <= len(SERIES) else [hue(i) for i in range(NAMED)]
    named = dict(zip(groups, colours, strict=False))
    rest = len(groups) - len(named)
    legend = [swatch(shade, visible(clip(group, 40))) for group, shade in named.items()]
    if rest > 0 or shown[colour].null_count():
        legend.append(swatch(NEUTRAL, "others" if rest > 0 else "unknown"))
    return [named.get(group, NEUTRAL) for group in shown[colour].to_list()], legend


def _by_loss(losses: Sequence[float | None]) -> tuple[list[str], list[Component]]:
    """Colours by the loss's rank, so that a few large ones leave the others apart."""
    known = sorted({loss for loss in losses if loss is not None})
    place = {loss: i / max(1, len(known) - 1) for i, loss in enumerate(known)}
    shades = [NEUTRAL if loss is None else _between(place[loss]) for loss in losses]
    ends = [(0, LOSS[0]), (len(known) // 2, LOSS[1]), (len(known) - 1, LOSS[2])] if known else []
    return shades, [swatch(shade, written(known[i], ".2g", "nats")) for i, shade in ends]


def _between(share: float) -> str:
    """A colour of the loss scale, 0: least, 1: most."""
    low, high = (LOSS[0], LOSS[1]) if share < 0.5 else (LOSS[1], LOSS[2])
    part = share * 2 % 1 if share < 1 else 1.0
    ends = [(int(low[i : i + 2], 16), int(high[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in ends)


@cache
def hue(place: int) -> str:
    """A colour of medium lightness, far from those of the places beside it."""
    rgb = colorsys.hls_to_rgb((0.58 + place * GOLDEN) % 1, 0.48 + 0.08 * (place % 2), 0.55)
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in rgb)


def swatch(colour: str, text: str) -> Component:
    """A colour and what it stands for."""
    dot = html.I(style={"background": colour})
    return html.Span([dot, text], className="swatch")
