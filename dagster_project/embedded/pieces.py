"""Pieces: a document under construction whose surprisal is exact.

Every choice is seen at once in the text: what `one` chooses must show in the next piece, and no
possible next piece may begin, word for word, with another one. The text so far then determines the
state of the generator, and the probability of a piece given the text before it is the product of
the choices made for it. Cost: about a microsecond a piece.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import NamedTuple, TypeVar

T = TypeVar("T")

LOG = [0.0, *(math.log(n) for n in range(1, 2000))]
"""ln n by n."""


class Piece(NamedTuple):
    """A part of a document's text."""

    text: str
    skill: str | None  # of the rule that determines it, given the text before; None: no rule does
    slot: str | None  # of the rule
    surprisal: float  # −ln p(piece | text before), nats


class Writer:
    """Writes a document piece by piece."""

    def __init__(self, random: Random, size: int) -> None:
        self.pieces: list[Piece] = []
        self.size = size  # words at which no further sentence begins
        self.words = 0  # so far; marks count as words
        self._draw = random.random
        self._surprisal = 0.0  # of choices that no piece shows yet

    def one(self, options: Sequence[T]) -> T:
        """One of the options, equally likely; the next piece shows which."""
        n = len(options)
        self._surprisal += LOG[n]
        return options[int(self._draw() * n)]

    def other(self, options: Sequence[T], seen: Collection[T]) -> T:
        """One of the options that are not in `seen`, all of which are options."""
        self._surprisal += LOG[len(options) - len(seen)]
        while (found := options[int(self._draw() * len(options))]) in seen:
            pass
        return found

    def weighted(self, options: Mapping[T, int]) -> T:
        """One of the options by its integer weight; the next piece shows which."""
        total = sum(options.values())
        mark = self._draw() * total
        for option, weight in options.items():
            mark -= weight
            if mark < 0:
                self._surprisal += LOG[total] - LOG[weight]
                return option
        raise AssertionError("a draw beyond the weights")

    def happens(self, p: float) -> bool:
        """True with probability p; the next piece shows it."""
        found = self._draw() < p
        self._surprisal -= math.log(p if found else 1 - p)
        return found

    def say(self, text: str) -> None:
        """A piece that no rule determines alone; it carries the choices made for it."""
        self.pieces.append(Piece(text, None, None, self._surprisal))
        self._surprisal = 0.0
        self.words += 1 + text.count(" ", 1)

    def bound(self, text: str, skill: str, slot: str) -> None:
        """A piece that a rule and the text before determine; it has the rule's name unless a
        choice was made for it too: whether it comes now or something else does."""
        if self._surprisal:
            self.say(text)
            return
        self.pieces.append(Piece(text, skill, slot, 0.0))
        self.words += 1

    @property
    def more(self) -> bool:
        """Whether another sentence fits. How many there are is no part of the text's surprisal."""
        return self.words < self.size

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)
