"""Plots for assets' metadata: small PNGs with fixed margins, since a search for margins draws each
plot twice and is half of what it costs."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARGINS = {"left": 0.16, "right": 0.97, "bottom": 0.17, "top": 0.91}


def png(draw: Callable[[Axes], None], *, names: bool = False) -> bytes:
    """What `draw` draws. names: room below for names that stand upright."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3), dpi=80)
    figure.subplots_adjust(**MARGINS | ({"bottom": 0.25} if names else {}))
    draw(figure.subplots())
    image = BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()
