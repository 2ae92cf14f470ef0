"""The marks of a circuit's picture in SVG, and what they mean."""

from __future__ import annotations

SUPPORTS, OPPOSES, INK, QUIET = "#2f7fd6", "#d4572b", "#1a1e23", "#6b7480"
LETTER, LINE = 7.5, 17  # px: of a token's letters, of a line of text
SIZE = 5.0  # px, radius of the marks in the legend


def mark(
    x: float,
    y: float,
    r: float,
    effect: float,
    *,
    error: bool = False,
    alone: bool = False,
    title: str = "",
) -> str:
    """A node: a circle, or an error node's triangle, in the colour of its effect.

    alone: the patch alone has it; pale and dashed. title: what it says on hovering.
    """
    kind, shape = "circle", f'cx="{x:.0f}" cy="{y:.0f}" r="{r:.1f}"'
    if error:
        corners = f"{x - r:.1f},{y + r:.1f} {x + r:.1f},{y + r:.1f} {x:.1f},{y - r:.1f}"
        kind, shape = "polygon", f'points="{corners}"'
    look = f'fill="{colour(effect)}"'
    if alone:
        look += f' fill-opacity="0.2" stroke="{colour(effect)}" stroke-dasharray="2.5 1.5"'
    return f"<{kind} {shape} {look}>{_titled(title)}</{kind}>"


def diamond(x: float, y: float, title: str = "") -> str:
    """The metric."""
    return (
        f'<rect x="{x - 6:.1f}" y="{y - 6:.1f}" width="12" height="12" fill="{INK}" '
        f'transform="rotate(45 {x:.1f} {y:.1f})">{_titled(title)}</rect>'
    )


def colour(value: float) -> str:
    """Of an effect or a weight: of the answer, or against it."""
    return SUPPORTS if value > 0 else OPPOSES


def legend(top: float, width: float, *, errors: bool, alone: bool) -> tuple[list[str], int]:
    """What marks mean, from the height `top` on, and the lines of text that takes.

    errors, alone: whether there are error nodes, and features that the patch alone has.
    """
    entries = [
        (mark(6, 0, SIZE, 1.0), "supports the answer"),
        (mark(6, 0, SIZE, -1.0), "opposes it; the larger, the stronger"),
    ]
    if errors:
        entries.append((mark(6, 0, SIZE, 1.0, error=True), "error: what dictionaries leave out"))
    if alone:
        entries.append((mark(6, 0, SIZE, 1.0, alone=True), "in the patch alone"))
    entries.append((diamond(8, 0), "y: the metric"))
    drawn, x, line = list[str](), 6.0, 0
    for shape, text in entries:
        size = 26 + 0.75 * LETTER * len(text)
        if x + size > width:
            x, line = 6.0, line + 1
        drawn.append(
            f'<g transform="translate({x:.0f} {top + LINE * line + 8:.0f})">{shape}'
            f'<text x="{19 if "rect" in shape else 16}" y="4" fill="{QUIET}">{text}</text></g>'
        )
        x += size
    return ['<g class="legend">', *drawn, "</g>"], line + 1


def _titled(text: str) -> str:
    return f"<title>{text}</title>" if text else ""
