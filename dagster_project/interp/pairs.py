"""Pairs: a task's prompts and answers as tokens, in a train and a test split.

Attribution patches position by position, so the prompts of a pair have equally many tokens; with
effects per position, all prompts of the task. An answer is its first token alone; those with more
are counted. What does not fit is dropped and counted with the reason. Examples without a patch, as
members of a cluster are, have nulls in its columns.
Cost: six encodings a pair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from dagster_project.interp.pair_files import read_pairs
from dagster_project.interp.text_pairs import (
    TextPair,
    check_patches,
    filled,
    generated,
    hold_out,
    n_held_out,
    sample,
)
from dagster_project.studies.study import ClusterTasksSpec, TaskSpec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Encode: TypeAlias = Callable[[str], list[int]]

SCHEMA = pl.Schema(
    {
        "split": pl.String(),
        "example": pl.UInt32(),
        "clean_prefix": pl.String(),
        "patch_prefix": pl.String(),
        "clean_answer": pl.String(),
        "patch_answer": pl.String(),
        "case": pl.String(),
        "clean_ids": pl.List(pl.UInt32()),
        "patch_ids": pl.List(pl.UInt32()),
        "clean_answer_id": pl.UInt32(),
        "patch_answer_id": pl.UInt32(),
        "context_id": pl.Int64(),
    }
)
"""Rows of the pairs table; `example` is unique in the task, train before test."""


class TokenPair(NamedTuple):
    """The tokens of a pair."""

    clean_ids: list[int]
    patch_ids: list[int] | None  # as many; None: no patch
    clean_answer_id: int
    patch_answer_id: int | None  # None: no patch


class Outcome(NamedTuple):
    """What became of a text pair: tokens, or a reason why it was dropped."""

    text: TextPair
    tokens: TokenPair | None
    reason: str = ""
    is_cut: bool = False  # an answer has more than its first token


class Pairs(NamedTuple):
    """A task's pairs and what became of the others."""

    frame: pl.DataFrame  # SCHEMA
    dropped: pl.DataFrame  # split, reason, count, first (clean prompt of the first one dropped)
    n_cut: int  # pairs of frame of which an answer has more than its first token


def task_pairs(
    spec: TaskSpec,
    tokenizer: PreTrainedTokenizerBase,
    *,
    train: Path | None = None,
    test: Path | None = None,
    seed: int = 0,
) -> Pairs:
    """A task's pairs, from the generator, its files or its templates.

    Raises PairError for a malformed file, and where nothing can be held out.
    """
    texts = _texts(spec, train, test, seed)
    check_patches([pair for pairs in texts for pair in pairs])

    encode = encoder(tokenizer)
    outcomes = [[tokenize(pair, encode) for pair in pairs] for pairs in texts]
    if spec.aggregation == "none":
        outcomes = of_one_length(outcomes)
    sampled = [_at_most(spec.max_examples, split, seed) for split in outcomes]
    splits = dict(zip(("train", "test"), sampled, strict=True))
    n_cut = sum(o.is_cut for split in sampled for o in split if o.tokens)
    return Pairs(_frame(splits), _dropped(splits), n_cut)


def encoder(tokenizer: PreTrainedTokenizerBase) -> Encode:
    """Token ids of texts, with one BOS where the tokenizer has it."""
    bos = tokenizer.bos_token_id

    def encode(text: str) -> list[int]:
        ids = list(tokenizer(text)["input_ids"])
        return ids[1:] if bos is not None and ids[:2] == [bos, bos] else ids  # a text may say BOS

    return encode


def _texts(
    spec: TaskSpec, train: Path | None, test: Path | None, seed: int
) -> tuple[list[TextPair], list[TextPair]]:
    """Train and test pairs."""
    if spec.embedded:
        task, n = spec.embedded, spec.max_examples
        return generated(task, "train", n, seed), generated(task, "test", n, seed)
    found = list(read_pairs(train) if train else filled(spec))
    return (found, list(read_pairs(test))) if test else hold_out(found, spec.test_share, seed)


def tokenize(pair: TextPair, encode: Encode) -> Outcome:
    """The tokens of a pair, or the reason why it cannot be used."""
    texts = [text for text in (pair.clean_prefix, pair.patch_prefix) if text is not None]
    ends = [text for text in (pair.clean_answer, pair.patch_answer) if text is not None]
    prompts = {text: encode(text) for text in texts}
    if len(texts) > len({tuple(ids) for ids in prompts.values()}):
        return Outcome(pair, None, "prompts are the same")
    if len({len(ids) for ids in prompts.values()}) > 1:
        return Outcome(pair, None, "prompts differ in length")
    both = {(t, end): encode(t + end) for t in prompts for end in ends}
    first = [{_first_token(both[t, end], ids) for t, ids in prompts.items()} for end in ends]
    if None in set().union(*first):
        return Outcome(pair, None, "answer merges with a prompt")
    if any(len(found) > 1 for found in first):
        return Outcome(pair, None, "first token of an answer depends on the prompt")
    ids = [prompts[text] for text in texts]
    answers = [token for found in first for token in found if token is not None]
    if len(set(answers)) < len(answers):
        return Outcome(pair, None, "answers share their first token")
    patch, patch_answer = (None, None) if len(texts) == 1 else (ids[1], answers[1])
    is_cut = any(len(found) > len(ids[0]) + 1 for found in both.values())
    return Outcome(pair, TokenPair(ids[0], patch, answers[0], patch_answer), is_cut=is_cut)


def _first_token(both: list[int], prompt: list[int]) -> int | None:
    """The token of prompt + answer after the prompt's; None where the prompt's tokens change."""
    n = len(prompt)
    return both[n] if len(both) > n and both[:n] == prompt else None


def of_one_length(splits: Sequence[Sequence[Outcome]]) -> list[list[Outcome]]:
    """Only prompts of the commonest length over all splits (the shortest of equally common)."""
    lengths = Counter(len(o.tokens.clean_ids) for split in splits for o in split if o.tokens)
    length = max(lengths, key=lambda n: (lengths[n], -n), default=0)
    reason = f"prompts do not have {length} tokens, the commonest length"

    def fits(outcome: Outcome) -> bool:
        return outcome.tokens is None or len(outcome.tokens.clean_ids) == length

    return [[o if fits(o) else Outcome(o.text, None, reason) for o in split] for split in splits]


def _at_most(most: int, outcomes: Sequence[Outcome], seed: int) -> list[Outcome]:
    kept = set(sample([i for i, o in enumerate(outcomes) if o.tokens], most, seed))
    reason = f"beyond max_examples = {most}"
    return [
        Outcome(o.text, None, reason) if o.tokens and i not in kept else o
        for i, o in enumerate(outcomes)
    ]


def _frame(splits: Mapping[str, Sequence[Outcome]]) -> pl.DataFrame:
    rows = [
        {"split": split, **outcome.text._asdict(), **outcome.tokens._asdict()}
        for split, outcomes in splits.items()
        for outcome in outcomes
        if outcome.tokens
    ]
    return pl.DataFrame([{**row, "example": i} for i, row in enumerate(rows)], schema=SCHEMA)


def _dropped(splits: Mapping[str, Sequence[Outcome]]) -> pl.DataFrame:
    rows = [
        (split, outcome.reason, outcome.text.clean_prefix)
        for split, outcomes in splits.items()
        for outcome in outcomes
        if not outcome.tokens
    ]
    schema = dict.fromkeys(("split", "reason", "first"), pl.String)
    grouped = pl.DataFrame(rows, schema=schema, orient="row").group_by(
        "split", "reason", maintain_order=True
    )
    return grouped.agg(pl.len().alias("count"), pl.col("first").first())


def cluster_pairs(
    contexts: pl.DataFrame,
    tokens: pl.LazyFrame,
    spec: ClusterTasksSpec,
    n_ctx: int,
    seed: int = 0,
) -> pl.DataFrame:
    """Contexts of a cluster as examples without a patch.

    contexts: rows of the contexts table; tokens: doc_id, pos, token_id, token. The prompt is the
    context's window, the n_ctx tokens before the answer. -> SCHEMA
    """
    chosen = sample(range(len(contexts)), spec.max_examples, seed)
    order = np.random.default_rng(seed).permutation(len(chosen))
    test = set(order[: n_held_out(len(chosen), spec.test_share)].tolist())
    split = ["test" if i in test else "train" for i in range(len(chosen))]
    marked = contexts[chosen].with_columns(pl.Series("split", split, pl.String))
    frame = marked.join(_windows(marked, tokens, n_ctx), on="context_id", maintain_order="left")
    ordered = pl.concat([frame.filter(split="train"), frame.filter(split="test")])
    columns = {
        "case": pl.col("skill"),
        "clean_answer": pl.col("answer"),
        "clean_answer_id": pl.col("answer_id"),
        "example": pl.int_range(pl.len()),
    }
    missing = [pl.lit(None).alias(c) for c in ("patch_prefix", "patch_answer", "patch_ids")]
    missing.append(pl.lit(None).alias("patch_answer_id"))
    return ordered.with_columns(*missing, **columns).select(SCHEMA.names()).cast(SCHEMA)


def _windows(contexts: pl.DataFrame, tokens: pl.LazyFrame, n_ctx: int) -> pl.DataFrame:
    """context_id, clean_ids, clean_prefix: the tokens before each answer."""
    answers = contexts.lazy().select("context_id", "doc_id", pl.col("pos").alias("answer_pos"))
    back = pl.col("answer_pos").cast(pl.Int32) - pl.col("pos").cast(pl.Int32)
    windows = tokens.select("doc_id", "pos", "token_id", "token").join(answers, on="doc_id")
    grouped = windows.filter(back.is_between(1, n_ctx)).sort("context_id", "pos")
    return (
        grouped.group_by("context_id", maintain_order=True)
        .agg(clean_ids="token_id", clean_prefix=pl.col("token").str.join())
        .collect()
    )
