"""The generator with its choices given: all that can follow a beginning is gone through.

`Guided` is the generator's own writer; only its draws are set, from the list of choices. Their
probabilities are recomputed here from the numbers of options, to compare surprisals with. Cost: a
beginning is written anew for each of its next pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import prod
from random import Random
from typing import NamedTuple, TypeVar

from dagster_project.embedded.corpus import SUBSETS
from dagster_project.embedded.pieces import Piece, Writer
from dagster_project.embedded.words import ALL

T = TypeVar("T")

ENDLESS = 10**9  # words at which a document ends; that it ends is no part of its surprisal


class Choice(NamedTuple):
    """A choice that was made."""

    piece: int  # number of the next piece
    options: int  # that there were
    taken: int  # number of the option
    p: float  # its probability


class Next(NamedTuple):
    """What may follow a beginning."""

    piece: Piece
    p: float  # product of the probabilities of the choices made for it
    taken: tuple[int, ...]  # those choices
    start: str  # the beginning


class EnoughError(Exception):
    """The pieces that were asked for are there."""


class Guided(Writer):
    """Makes the choices of a script, then draws as ever, or takes first options without `random`.

    most: pieces after which nothing more is chosen.
    """

    def __init__(self, script: Sequence[int], most: int, random: Random | None) -> None:
        super().__init__(random or Random(), ENDLESS)
        self.script, self.most, self.scripted_only = script, most, random is None
        self.choices: list[Choice] = []
        self.random_draw = self._draw

    def aim(self, draw_of: Callable[[int], float]) -> int | None:
        """Sets the next draw and tells the option it is for; None where it is drawn.

        draw_of: a draw in the midst of those for an option.
        """
        if len(self.pieces) >= self.most:
            raise EnoughError
        number = len(self.choices)
        if number >= len(self.script) and not self.scripted_only:
            self._draw = self.random_draw
            return None
        option = self.script[number] if number < len(self.script) else 0
        draw = draw_of(option)
        self._draw = lambda: draw
        return option

    def made(self, options: int, aimed: int | None, found: int, p: float) -> None:
        taken = found if aimed is None else aimed
        self.choices.append(Choice(len(self.pieces), options, taken, p))

    def one(self, options: Sequence[T]) -> T:
        n = len(options)
        aimed = self.aim(lambda option: (option + 0.5) / n)
        found = super().one(options)
        self.made(n, aimed, options.index(found), 1 / n)
        return found

    def other(self, options: Sequence[T], seen: Collection[T]) -> T:
        left = [number for number, option in enumerate(options) if option not in seen]
        aimed = self.aim(lambda option: (left[option] + 0.5) / len(options))
        found = super().other(options, seen)
        self.made(len(left), aimed, left.index(options.index(found)), 1 / len(left))
        return found

    def weighted(self, options: Mapping[T, int]) -> T:
        weights, total = list(options.values()), sum(options.values())
        aimed = self.aim(lambda option: (sum(weights[:option]) + 0.5) / total)
        found = super().weighted(options)
        self.made(len(options), aimed, list(options).index(found), options[found] / total)
        return found

    def happens(self, p: float) -> bool:
        aimed = self.aim(lambda option: p / 2 if option == 0 else (1 + p) / 2)
        found = super().happens(p)
        self.made(2, aimed, 0 if found else 1, p if found else 1 - p)
        return found


def written(
    script: Sequence[int], most: int, subset: str | None, random: Random | None = None
) -> Guided:
    """A document of `most` pieces (a few more where no choice is left), or until its end."""
    w = Guided(script, most, random)
    try:
        name = subset or w.weighted({name: kind.weight for name, kind in SUBSETS.items()})
        SUBSETS[name].write(w, ALL)
    except EnoughError:
        pass
    return w


def nexts(script: Sequence[int], place: int, subset: str | None = None) -> Iterator[Next]:
    """All that may be piece `place` after the choices of a script, which are those before it."""
    tail: list[int] | None = []
    while tail is not None:
        w = written([*script, *tail], place + 1, subset)
        own = w.choices[len(script) :]
        start = "".join(piece.text for piece in w.pieces[:place])
        taken = tuple(choice.taken for choice in own)
        yield Next(w.pieces[place], prod(choice.p for choice in own), taken, start)
        tail = _advanced(own)


def _advanced(choices: Sequence[Choice]) -> list[int] | None:
    """The choices to try after these, in the order of an odometer; None after the last."""
    for last in range(len(choices) - 1, -1, -1):
        if choices[last].taken + 1 < choices[last].options:
            return [*(choice.taken for choice in choices[:last]), choices[last].taken + 1]
    return None
