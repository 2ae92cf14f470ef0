"""A feature: when it is on, what it raises, where it acts, and what people call it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl
from dash import dcc, html
from dash.development.base_component import Component

from dashboards.components import layout
from dashboards.components.controls import choice, stepper, words
from dashboards.components.empty import empty
from dashboards.components.figures import figure
from dashboards.components.files import csv
from dashboards.components.listing import Column, Share, listing
from dashboards.components.marks import term
from dashboards.components.palette import NEGATIVE, POSITIVE, faint
from dashboards.components.palette import site as colour_of
from dashboards.numbers import written
from dashboards.page import Download, Page, PageState, Visit
from dashboards.pages import feature_examples, feature_labels, feature_relations
from dashboards.text import clip, token, visible

MOST_TOKENS = 10  # of each sign


@dataclass(frozen=True)
class FeatureState(PageState):
    """Which feature, and how its examples are shown."""

    site: str = ""
    feature: int | None = None  # the first of the site
    context: Literal["8", "16", "32"] = "16"
    breaks: bool = False


def show(visit: Visit[FeatureState]) -> Component:
    """The page."""
    sites = visit.data.ask("feature_sites", study=visit.study)
    if sites.is_empty():
        return empty("features", visit.study)
    visit.choose("site", sites["site"].to_list())
    about = _found(visit)
    return html.Div(
        [
            layout.bar(
                choice("site", "Site", sites["site"].to_list(), visit.state.site, resets="feature"),
                words("feature", "Feature", str(visit.state.feature), "its number"),
                _steps(visit, about),
                dcc.Link("All of this site", href=visit.to("features", site=visit.state.site)),
            ),
            html.Div(
                [_about(visit, about), _activations(visit, about), _tokens(visit)],
                className="feature-top",
            ),
            feature_examples.panel(visit, about),
            layout.columns(*feature_relations.neighbours(visit)),
            layout.columns(feature_relations.clusters(visit), feature_relations.circuits(visit)),
        ]
    )


def _found(visit: Visit[FeatureState]) -> dict[str, Any]:
    """The feature that is asked for; where there is none, the first of its site."""
    site, asked = visit.state.site, visit.state.feature
    if asked is not None:
        rows = visit.data.ask("feature", study=visit.study, site=site, feature=asked)
        if rows.height:
            return rows.row(0, named=True)
        visit.notes.append(f"{clip(visible(site), 60)} has no feature {asked}; this is its first.")
    first = visit.data.ask("feature_first", study=visit.study, site=site)["feature"].item()
    visit.state = replace(visit.state, feature=first)
    rows = visit.data.ask("feature", study=visit.study, site=site, feature=first)
    return rows.row(0, named=True)


def _steps(visit: Visit[FeatureState], about: dict[str, Any]) -> Component:
    previous, following = (
        None if about[key] is None else visit.href(feature=about[key])
        for key in ("previous", "following")
    )
    return stepper(previous, following, f"{about['place']:,} of {about['features']:,}")


def _about(visit: Visit[FeatureState], about: dict[str, Any]) -> Component:
    name = f"{visit.state.site} / {visit.state.feature}"
    said = about["label"]
    label = html.P(
        clip(visible(said)) if said else "No label yet.",
        className="label-now" if said else "label-now quiet",
    )
    return layout.panel(clip(visible(name), 80), label, *feature_labels.parts(visit, about))


def _activations(visit: Visit[FeatureState], about: dict[str, Any]) -> Component:
    counts, width = about["histogram"], about["bin_width"]
    if counts and width:
        chart = _histogram(counts, width, about["max_activation"], colour_of(visit.state.site))
    else:
        said = "It is on for none of them." if not about["max_activation"] else "No histogram."
        chart = html.Div(html.P(said, className="quiet"), style={"height": "196px"})
    return layout.panel("Activations", html.Div(chart), layout.facts(_facts(about)))


def _facts(about: dict[str, Any]) -> list[tuple[Any, Any]]:
    active, seen, mean = about["active_tokens"], about["n_tokens"], about["mean_activation"]
    of = f", {active:,} of {seen:,} tokens" if active is not None and seen else ""
    return [
        (term("density"), f"{about['density']:.3%}{of}"),
        ("mean where on", "–" if mean is None else f"{mean:.3f}"),
        ("largest", f"{about['max_activation']:.3f}"),
    ]


def _histogram(counts: list[int], width: float, most: float, colour: str) -> Component:
    """Tokens by activation, in the grounds that the examples below have."""
    middles = [(i + 0.5) * width for i in range(len(counts))]
    shares = [min(1.0, x / most) if most else 1.0 for x in middles]
    bars = {
        "type": "bar",
        "x": middles,
        "y": counts,
        "width": width * 0.92,
        "marker": {
            "color": [faint(colour, round(0.25 + 0.75 * share, 3)) for share in shares],
            "line": {"color": colour, "width": 0.5},
        },
        "customdata": [[i * width, (i + 1) * width] for i in range(len(counts))],
        "hovertemplate": "%{customdata[0]:.3~g} to %{customdata[1]:.3~g}<br><b>%{y:,}</b> tokens"
        "<extra></extra>",
    }
    return figure(
        "feature-histogram",
        [bars],
        height=196,
        bargap=0,
        margin={"l": 44, "r": 4, "t": 4, "b": 36},
        xaxis={"title": "activation", "range": [0, len(counts) * width], "showgrid": False},
        yaxis={"title": "tokens"},
    )


def _tokens(visit: Visit[FeatureState]) -> Component:
    """What it raises, beside what it lowers."""
    of = {"study": visit.study, "site": visit.state.site, "feature": visit.state.feature}
    rows = visit.data.ask("circuit_feature_tokens", **of, most=MOST_TOKENS)
    if rows.is_empty():
        return layout.panel(term("raised", "Tokens"), empty("feature_logits", visit.study))
    most = float(rows["logit"].abs().max() or 1)  # type: ignore[arg-type]
    sides = [
        listing(
            name,
            [Column(name, wide=True), Column("", "logits × σ", number=True)],
            [
                [token(text), Share(written(logit, "+.2f"), abs(logit) / most, faint(colour, 0.3))]
                for text, logit in _of_sign(rows, sign)
            ],
        )
        for name, sign, colour in (("raises", 1, POSITIVE), ("lowers", -1, NEGATIVE))
    ]
    return layout.panel(
        term("raised", "Tokens"), html.Div(sides, className="sides"), aside="by its own direction"
    )


def _of_sign(rows: pl.DataFrame, sign: int) -> list[tuple[str, float]]:
    return rows.filter(sign=sign).select("token", "logit").rows()


def _csv(visit: Visit[FeatureState]) -> Download:
    """The examples of the feature."""
    sites = visit.data.ask("feature_sites", study=visit.study)
    visit.choose("site", sites["site"].to_list())
    if sites.height:
        _found(visit)
    name = f"{visit.state.site}-{visit.state.feature}"
    return csv(feature_examples.texts(visit))._replace(of=name)


PAGE = Page(
    "feature",
    "Feature",
    "When is it on, what does it raise, and where does it act?",
    FeatureState,
    show,
    {"examples.csv": _csv},
    part_of="features",
)
