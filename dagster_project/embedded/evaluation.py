"""How far a model is from the rules of generated documents.

Excess loss of a piece = the sum of its tokens' losses − its surprisal, in nats; over all pieces,
those that no rule determines included, it is the model's distance from the generator. A token
belongs to the piece in which its first letter lies. On tasks with a patch a model is right where
the first token of the clean answer has a larger logit than that of the patch answer; without one,
where the answer's first token has the largest of all.
Cost: 20 µs a token, forward alone, on one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dagster_project.embedded.corpus import LABELS, Document, document
from dagster_project.embedded.network import hidden, token_losses
from dagster_project.embedded.packing import pad
from dagster_project.embedded.tasks import Example
from dagster_project.interp.sequences import buckets
from dagster_project.interp.tokens import Span, piece_of

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import GPTNeoXForCausalLM

BATCH_TOKENS = 2048
FREE = len(LABELS)
"""Number of what no rule determines, after those of the rules."""
_NUMBERS = {label: number for number, label in enumerate(LABELS)}


class HeldOut(NamedTuple):
    """Documents that were not trained on."""

    ids: list[np.ndarray]  # of each document
    rules: list[np.ndarray]  # of each document: the number of each predicted token's rule
    pieces: np.ndarray  # [rule] how many
    surprisal: np.ndarray  # [rule] theirs, summed, nats


class Excess(NamedTuple):
    """The pieces of a rule."""

    skill: str
    slot: str
    pieces: int
    excess: float  # nats a piece


class Losses(NamedTuple):
    """What a model's losses on held-out documents come to."""

    loss: float  # nats a token
    excess: float  # nats a token, over those of the generator
    rules: list[Excess]

    def skills(self) -> dict[str, float]:
        """Mean excess of each skill's pieces."""
        found: dict[str, list[Excess]] = {}
        for rule in self.rules:
            found.setdefault(rule.skill, []).append(rule)
        return {
            skill: sum(r.excess * r.pieces for r in rules) / sum(r.pieces for r in rules)
            for skill, rules in found.items()
        }


def held_out(tokenizer: Tokenizer, seed: int, documents: int) -> HeldOut:
    """The first documents of a corpus."""
    found = HeldOut([], [], np.zeros(FREE + 1, dtype=np.int64), np.zeros(FREE + 1))
    made = [document(seed, row) for row in range(documents)]
    encoded = tokenizer.encode_batch([one.text for one in made])
    for one, encoding in zip(made, encoded, strict=True):
        _add(found, one, encoding)
    return found


def _add(found: HeldOut, one: Document, encoding: Encoding) -> None:
    """Add a document, and its pieces to the sums."""
    ends = accumulate(len(piece.text) for piece in one.pieces)
    spans = [
        Span(start=end - len(piece.text), end=end)
        for piece, end in zip(one.pieces, ends, strict=True)
    ]
    rules = np.array([_NUMBERS.get((p.skill or "", p.slot or ""), FREE) for p in one.pieces])
    places = encoding.offsets[1:]  # without BOS's
    owners = np.array([piece_of(one.text, *place, spans) for place in places], dtype=np.int64)
    np.add.at(found.pieces, rules, 1)
    np.add.at(found.surprisal, rules, [piece.surprisal for piece in one.pieces])
    found.ids.append(np.array(encoding.ids))
    found.rules.append(rules[owners])


def losses(
    model: GPTNeoXForCausalLM, documents: HeldOut, advance: Callable[[int], None] = lambda _: None
) -> Losses:
    """Loss and excess loss, in all and by rule (of the rules that occur). advance: told of
    documents as they are done."""
    sums = np.zeros(FREE + 1)
    for bucket in buckets([len(ids) for ids in documents.ids], BATCH_TOKENS):
        found = token_losses(model, pad([documents.ids[i] for i in bucket]))
        rules = np.concatenate([documents.rules[i] for i in bucket])
        sums += np.bincount(rules, found.numpy(), FREE + 1)
        advance(len(bucket))
    tokens = sum(len(rules) for rules in documents.rules)
    excess = sums - documents.surprisal
    by_rule = [
        Excess(*label, int(pieces), float(nats) / int(pieces))
        for label, pieces, nats in zip(LABELS, documents.pieces, excess, strict=False)
        if pieces
    ]
    return Losses(float(sums.sum()) / tokens, float(excess.sum()) / tokens, by_rule)


def accuracy(model: GPTNeoXForCausalLM, tokenizer: Tokenizer, examples: Sequence[Example]) -> float:
    """The share of examples that the model has right."""
    right = 0
    prompts = [np.array(tokenizer.encode(e.clean_prefix).ids) for e in examples]
    for bucket in buckets([len(ids) for ids in prompts], BATCH_TOKENS):
        logits = last_logits(model, [prompts[i] for i in bucket])
        for row, example in zip(logits, (examples[i] for i in bucket), strict=True):
            answer = _first(tokenizer, example.clean_answer)
            if example.patch_answer is None:
                right += int(row.argmax()) == answer
            else:
                right += bool(row[answer] > row[_first(tokenizer, example.patch_answer)])
    return right / len(examples)


@torch.no_grad()
def last_logits(model: GPTNeoXForCausalLM, prompts: Sequence[np.ndarray]) -> Tensor:
    """Logits [prompt, vocabulary] of what comes after each prompt."""
    batch = pad(prompts)
    stream = hidden(model, batch.ids)[torch.arange(len(prompts)), batch.lengths - 1]
    return stream @ model.gpt_neox.embed_in.weight.T


def _first(tokenizer: Tokenizer, answer: str) -> int:
    """The first token of an answer."""
    return tokenizer.encode(answer, add_special_tokens=False).ids[0]
