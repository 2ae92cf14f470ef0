"""Colours that mean something, the same on every page, on light and on dark ground.

Each has a contrast of 3 : 1 or more with both grounds and stays apart from the others of its
group under the three colour-vision deficiencies (tested). Colours of text and surfaces are in
assets/style.css alone.
"""

from __future__ import annotations

GROUNDS = ("#ffffff", "#16191d")  # --surface of the style sheet, light and dark

SITES = {"embed": "#526e89", "attn": "#d07e0b", "mlp": "#ac6cda", "resid": "#29a37a"}
_ALIKE = {"z": "attn", "mid": "resid"}  # of attention, of the stream
NEUTRAL = "#7d8694"
POSITIVE, NEGATIVE = "#2f7fd6", "#d4572b"
SERIES = ("#2f7fd6", "#d07e0b", "#29a37a", "#c0508f", "#7d8694", "#ac6cda")
UNITS = {"feature": "#2f7fd6", "neuron": "#d07e0b", "random": "#7d8694"}


def site(name: str) -> str:
    """Colour of a site: `attn_3` has that of all attentions, `z_3` too."""
    kind = name.partition("_")[0]
    return SITES.get(_ALIKE.get(kind, kind), SERIES[-2])


def series(place: int) -> str:
    """Colour of the series at a place."""
    return SERIES[place % len(SERIES)]


def faint(colour: str, alpha: float) -> str:
    """A colour let through to the ground: #rrggbb -> rgba(…)."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"
