"""Text of a corpus is not to be trusted: what makes it safe and legible, by where it goes.

React children and `textContent` show text as it is; `visible` and `clip` make it legible there.
Plotly reads a little HTML (`plotly`), spreadsheets read formulas (`spreadsheet`).
"""

from __future__ import annotations

import html
import re
import unicodedata

LONGEST_TOKEN = 80  # characters shown of one token
LONGEST_TEXT = 2_000  # of one text in a table, a tooltip or a label
_NAMED = {"\n": "↵", "\r": "␍", "\t": "⇥", "\x7f": "␡"}
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # controls, formats (bidi among them), separators
_PLAIN = re.compile(r"[ -~\u00a0-\u00ac\u00ae-\u02af\u4e00-\u9fff]*")  # what needs no look


def visible(text: str) -> str:
    """The text with control, format and bidirectional characters in place of their effect."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(_seen(c) for c in text)


def _seen(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character < " ":
        return chr(0x2400 + ord(character))
    if unicodedata.category(character) in _UNSEEN:
        return f"⟨{ord(character):04X}⟩"
    return character


def clip(text: str, most: int = LONGEST_TEXT) -> str:
    """At most so many characters of a text, and then how many there are."""
    if len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text):,} characters)"


def token(text: str) -> str:
    """A token as it stands in lists, tables and figures: spaces at its ends show."""
    text = visible(clip(text, LONGEST_TOKEN))
    body = text.strip(" ")
    if not body:
        return "·" * len(text) if text else "∅"
    start = len(text) - len(text.lstrip(" "))
    return "·" * start + body + "·" * (len(text) - start - len(body))


def plotly(text: str, most: int = LONGEST_TOKEN) -> str:
    """A text for Plotly's labels and hovers, which read tags and entities."""
    return html.escape(visible(clip(text, most)), quote=False)


def spreadsheet(text: str) -> str:
    """A CSV cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "|", "%")) else text
