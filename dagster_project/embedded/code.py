"""Code-like text: indentation, quotes, returned variables and the arguments of a call.

A function takes two arguments; its lines assign, print or branch, and its last one hands on the
variable that was assigned last. A call hands over the arguments in the order of the definition.
"""

from __future__ import annotations

from dagster_project.embedded.pieces import Writer
from dagster_project.embedded.words import Words

SKILL = "code"
OPERATORS = (" +", " -", " *")
QUOTES = ('"', "'")
CALLS = ("print(", "show(", "log(", "raise Error(")
ENDS = (("return", ";"), ("result =", ";"), ("send(", ")"), ("yield", ";"))
"""What stands before and after the variable in a body's last line."""
LINES = 2  # of a body before the returning one, at most


def write(w: Writer, words: Words) -> None:
    first = True
    while w.more:
        w.say("def" if first else "\ndef")
        _function(w, words)
        first = False


def _function(w: Writer, words: Words) -> None:
    name = w.one(words.functions)
    w.say(f" {name}")
    a = w.one(words.variables)
    w.say(f"({a}")
    b = w.one([v for v in words.variables if v != a])
    w.say(f", {b}")
    w.say("):\n")
    w.bound("    ", SKILL, "indent")
    _body(w, words, a, b)
    w.say(f"\n{name}(")
    w.bound(a, SKILL, "argument")
    w.say(",")
    w.bound(f" {b}", SKILL, "argument")
    w.say(")")


def _body(w: Writer, words: Words, a: str, b: str) -> None:
    assigned = ""
    for line in range(LINES + 1):
        kinds = ["assign", "print", "if", "for"] if line < LINES else []
        kind = w.one([*kinds, "return"] if assigned else kinds or ["assign"])
        if kind == "return":
            break
        if kind == "assign":
            assigned = _assign(w, words, a, b)
        elif kind == "print":
            _print(w, words)
        else:
            _block(w, words, kind, a, b)
        w.say("\n    ")
    before, after = w.one(ENDS)
    w.say(before)
    w.bound(f" {assigned}", SKILL, "last")
    w.say(after)


def _assign(w: Writer, words: Words, a: str, b: str) -> str:
    target = w.one([v for v in words.variables if v not in (a, b)])
    w.say(f"{target} =")
    w.say(f" {w.one((a, b))}")
    w.say(w.one(OPERATORS))
    w.say(f" {w.one((a, b))}")
    return target


def _print(w: Writer, words: Words) -> None:
    call, quote = w.one(CALLS), w.one(QUOTES)
    w.say(f"{call}{quote}")
    w.say(f" {w.one(words.things)}")
    w.bound(quote, SKILL, "quote")
    w.say(")")


def _block(w: Writer, words: Words, kind: str, a: str, b: str) -> None:
    """A condition or a loop with one line."""
    if kind == "if":
        w.say(f"if {w.one((a, b))}:\n")
    else:
        w.say(f"for item in {w.one((a, b))}:\n")
    w.bound("        ", SKILL, "indent")
    _print(w, words)
