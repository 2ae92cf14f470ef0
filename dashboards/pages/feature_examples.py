"""Texts in which a feature is active: the strongest, and some drawn from each interval.

Its activation is the ground of a token, what it does to the loss the line below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.components import layout, strips
from dashboards.components.controls import options, toggle
from dashboards.components.empty import empty
from dashboards.components.marks import drawn, term
from dashboards.components.palette import NEGATIVE, POSITIVE, faint
from dashboards.components.palette import site as colour_of
from dashboards.numbers import nats
from dashboards.page import Visit
from dashboards.text import token

GROUND = 0.6  # alpha of the largest activation: text on it stays legible
MOST = 10  # of the strongest
SIZES = {"8": "8", "16": "16", "32": "32"}  # tokens before the example; half as many after it
PER_SHARD = 1_000_000  # doc_id = shard ordinal × this + row


class _Scale(NamedTuple):
    """What the full colours stand for."""

    colour: str
    activation: float
    effect: float  # nats; 0: none is known


def panel(visit: Visit[Any], about: dict[str, Any]) -> Component:
    """Examples of the feature, by interval. about: its row of `feature`."""
    rows = visit.data.ask("feature_examples_of", **_of(visit))
    if rows.is_empty():
        why = "The feature is active on no token." if not about["max_activation"] else ""
        made = "feature_examples" in visit.data.holdings(visit.study)
        shown = html.P(why, className="quiet") if made and why else None
        return layout.panel("Examples", shown or empty("feature_examples", visit.study))
    scale = _scale(visit, rows)
    windows = _windows(visit, rows)
    sections = [
        {
            "title": title,
            "about": said,
            "examples": [_example(visit, row, windows, scale) for row in group],
        }
        for title, said, group in _groups(rows.to_dicts(), about)
    ]
    return layout.panel(
        "Examples",
        layout.bar(
            options(visit, "context", "Tokens before", SIZES, visit.state.context),
            toggle(visit, "breaks", "Line breaks"),
            _legend(scale),
        ),
        drawn("examples", {"sections": sections}),
        aside=layout.download("CSV", visit.file("examples.csv")),
        name="examples-panel",
    )


def texts(visit: Visit[Any]) -> pl.DataFrame:
    """The examples with their texts, as a file has them."""
    rows = visit.data.ask("feature_examples_of", **_of(visit))
    windows = _windows(visit, rows)
    found = [windows.get(place, (0, []))[1] for place in rows.select("doc_id", "pos").iter_rows()]
    return rows.with_columns(text=pl.Series(["".join(tokens) for tokens in found], dtype=pl.String))


def _of(visit: Visit[Any]) -> dict[str, Any]:
    return {"study": visit.study, "site": visit.state.site, "feature": visit.state.feature}


def _scale(visit: Visit[Any], rows: pl.DataFrame) -> _Scale:
    effects = rows["near_effects"].explode().abs().max()
    return _Scale(
        colour_of(visit.state.site),
        float(rows["activation"].max() or 0),  # type: ignore[arg-type]
        float(effects or 0),  # type: ignore[arg-type]
    )


def _windows(visit: Visit[Any], rows: pl.DataFrame) -> dict[tuple[int, int], tuple[int, list[str]]]:
    """(doc_id, pos) of an example -> position of its window's first token, and the tokens."""
    before = int(visit.state.context)
    found = visit.data.ask(
        "tokens_around",
        study=visit.study,
        shards=sorted({f"{doc_id // PER_SHARD:05d}" for doc_id in rows["doc_id"]}),
        doc_ids=rows["doc_id"].to_list(),
        places=rows["pos"].to_list(),
        before=before,
        after=before // 2,
    )
    columns = found.select("doc_id", "pos", "first", "tokens").iter_rows()
    return {(doc_id, pos): (first, tokens) for doc_id, pos, first, tokens in columns}


def _groups(
    rows: Sequence[dict[str, Any]], about: dict[str, Any]
) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Title, remark and rows: the strongest, then what was drawn from each interval."""
    ranked = [row["rank"] for row in rows if not row["sampled"]]  # up to the last one, all are
    strongest = [row for row in rows if row["rank"] <= max(ranked, default=-1)]
    if strongest:
        yield "Strongest", "", strongest[:MOST]
    intervals = {row["interval"]: row for row in rows if row["sampled"]}
    for interval, one in sorted(intervals.items()):
        group = [row for row in rows if row["sampled"] and row["interval"] == interval]
        low, high = one["interval_low"], one["interval_high"]
        yield f"{low:.3g} to {high:.3g}", _held(about, low, high), group


def _held(about: dict[str, Any], low: float, high: float) -> str:
    """How many tokens an interval holds, as the histogram's bins say."""
    counts, width = about["histogram"] or [], about["bin_width"]
    if not counts or not width:
        return ""
    inside = sum(n for bin_, n in enumerate(counts) if low <= (bin_ + 0.5) * width < high)
    return f"{inside / sum(counts):.1%} of its tokens, drawn by chance"


def _example(
    visit: Visit[Any],
    row: dict[str, Any],
    windows: dict[tuple[int, int], tuple[int, list[str]]],
    scale: _Scale,
) -> dict[str, Any]:
    """An example as assets/examples.js draws it."""
    doc_id, pos = row["doc_id"], row["pos"]
    first, tokens = windows.get((doc_id, pos), (pos, []))
    offsets = row["near_offsets"] or [0]
    values = dict(zip(offsets, row["near_activations"] or [row["activation"]], strict=True))
    effects = dict(zip(offsets, row["near_effects"], strict=True)) if row["near_effects"] else {}
    places = [first + i - pos for i in range(len(tokens))]  # from the example on
    return {
        "value": f"{row['activation']:.2f}",
        "place": f"{doc_id} @ {pos}",
        "href": visit.to("losses", by="document", document=doc_id, pos=pos),
        "strip": strips.data(
            tokens,
            background=[_ground(scale, values.get(place)) for place in places],
            underline=[_line(scale, effects.get(place)) for place in places],
            tips=[
                _tip(text, values.get(place), effects.get(place))
                for text, place in zip(tokens, places, strict=True)
            ],
            marked=[pos - first] if tokens else [],
            breaks=visit.state.breaks,
        ),
    }


def _ground(scale: _Scale, activation: float | None) -> str:
    if not activation or not scale.activation:
        return ""
    return faint(scale.colour, round(GROUND * min(1.0, activation / scale.activation), 3))


def _line(scale: _Scale, effect: float | None) -> str:
    if not effect or not scale.effect:
        return ""
    share = min(1.0, abs(effect) / scale.effect)
    return faint(POSITIVE if effect < 0 else NEGATIVE, round(share, 3)) if share >= 0.02 else ""


def _tip(text: str, activation: float | None, effect: float | None) -> str:
    if activation is None:
        return f"{token(text)}\nnot active"
    said = f"{token(text)}\nactivation {activation:.3f}"
    return said if effect is None else f"{said}\nloss effect {nats(effect, sign='+', unit='nats')}"


def _legend(scale: _Scale) -> Component:
    """What grounds and lines stand for."""
    steps = [html.Span("activation")]
    steps += [
        html.Span(
            f"{scale.activation * share:.2g}",
            style={"backgroundColor": faint(scale.colour, GROUND * share)},
        )
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    lines = [
        html.Span(words, style={"boxShadow": f"inset 0 -2px 0 {colour}"})
        for words, colour in (
            (f"−{scale.effect:.2g}", POSITIVE),
            (f"+{scale.effect:.2g} nats", NEGATIVE),
        )
    ]
    known = lines if scale.effect else [html.Span("not known")]
    return html.Div(
        [
            html.Div(steps, className="scale"),
            html.Div([term("loss effect"), *known], className="scale"),
        ],
        className="legend",
    )
