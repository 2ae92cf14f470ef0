"""Numbers as pages say them: one kind of minus sign, none before a zero, a dash for none."""

from __future__ import annotations

import math

DECIMALS = 3  # of a loss
LEAST = 1e-6  # nats, below which a power of ten is written


def written(value: float | None, form: str, unit: str = "") -> str:
    """A number in a format of Python's, with the minus sign that tables and figures have."""
    if value is None:
        return "–"
    sign = "+" if form.startswith("+") else ""
    number = format(value, f"{sign}z{form.removeprefix(sign)}").replace("-", "−")
    return f"{number} {unit}" if unit else number


def nats(value: float | None, *, sign: str = "", unit: str = "") -> str:
    """A loss to three decimals, or to two digits that count where those are fewer. sign: `+` to
    write it before what is above 0, too."""
    size = abs(value or 0.0)
    if size and size < LEAST:
        return written(value, f"{sign}.1e", unit)
    decimals = max(DECIMALS, 1 - math.floor(math.log10(size))) if size else DECIMALS
    return written(value, f"{sign}.{decimals}f", unit)


def first_of(shown: int, found: int) -> str:
    """How much of what was found is shown."""
    if shown < found:
        return f"the first {shown:,} of {found:,}"
    return f"all {found:,}" if found else "none"
