"""Colours can be told apart: from the ground, and from each other with any kind of sight."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import dashboards
from dashboards.components.palette import (
    GROUNDS,
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    SERIES,
    SITES,
    UNITS,
    faint,
    site,
)

SIGHTS = {  # Machado et al. 2009, severity 1, on linear RGB
    "full": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
GROUPS = {
    "sites": tuple(SITES.values()),
    "signs": (POSITIVE, NEGATIVE, NEUTRAL),
    "units": tuple(UNITS.values()),
    "first series": SERIES[:4],
}
APART = 15.0  # CIE 1976 ΔE; 2.3 is just noticeable side by side
STYLE = (Path(dashboards.__file__).parent / "assets" / "style.css").read_text()


def linear(colour: str) -> np.ndarray:
    """Linear RGB of #rrggbb."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of linear RGB."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    ratio = np.clip(to_xyz @ rgb, 0, None) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("colour", sorted({c for group in GROUPS.values() for c in group}))
@pytest.mark.parametrize("ground", GROUNDS)
def test_marks_stand_out_from_both_grounds(colour: str, ground: str) -> None:
    assert contrast(colour, ground) >= 3


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_of_a_group_stay_apart_for_every_sight(group: str, sight: str) -> None:
    for one, other in itertools.combinations(GROUPS[group], 2):
        seen = [lab(np.clip(SIGHTS[sight] @ linear(c), 0, 1)) for c in (one, other)]
        assert np.linalg.norm(seen[0] - seen[1]) >= APART, (one, other)


def token(name: str) -> tuple[str, str]:
    """A colour of the style sheet, light and dark."""
    found = re.search(rf"--{name}: light-dark\((#\w+), (#\w+)\);", STYLE)
    assert found, name
    return found[1], found[2]


@pytest.mark.parametrize("text", ["text", "text-2", "accent", "warn"])
@pytest.mark.parametrize("ground", ["surface", "ground", "hover", "picked"])
def test_text_is_legible_on_every_ground(text: str, ground: str) -> None:
    for ink, paper in zip(token(text), token(ground), strict=True):
        assert contrast(ink, paper) >= 4.5
    assert all(
        contrast(a, b) >= 4.5 for a, b in zip(token("warn"), token("warn-ground"), strict=True)
    )


def test_the_grounds_are_those_of_the_style_sheet() -> None:
    assert token("surface") == GROUNDS


def test_sites_of_all_layers_have_their_kind_s_colour() -> None:
    assert site("attn_11") == SITES["attn"]
    assert site("embed") == SITES["embed"]
    assert faint("#ff8000", 0.5) == "rgba(255,128,0,0.5)"
