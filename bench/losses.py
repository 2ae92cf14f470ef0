"""Tokens a second of losses at the shape of Pythia-70m: `python -m bench.losses`.

Random weights and tokens; lengths of documents are lognormal (median 403) and cut at 1024, as one
in five is. Useful FLOPs are those of real tokens alone: 2 a weight of the layers and the
unembedding, and attention's two products with the tokens before. Beside their floor at the
machine's own rate of matrix products stands a naive implementation: documents in corpus order,
padded to the longest of a batch, and log-probabilities of the whole vocabulary in float32.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from rich.console import Console
from rich.table import Table

from bench.machine import matrix_rate, memory, now
from bench.pythia import LAYER, LAYERS, VOCABULARY, WIDTH, pythia
from dagster_project.interp.losses import BATCHES, losses, tokens_a_batch, windows
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sequences import buckets
from dagster_project.interp.sites import batch_of

LONGEST, MEDIAN, SPREAD = 1024, 403, 1.1  # tokens, tokens, standard deviation of the logarithm
BATCH_TOKENS = 8192  # the default of a study
NAIVE_BATCH, NAIVE_TOKENS = 8, 1 << 14  # documents; tokens that the naive implementation is given
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Timed(NamedTuple):
    """One row of the report."""

    name: str
    tokens: int
    seconds: float
    flops: int  # useful ones
    padding: float  # share of the tokens that the model is given
    gib: float  # held at most, model included


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.losses", description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--tokens", type=int, default=1 << 17)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device, dtype = torch.device(options.device), DTYPES[options.dtype]
    model = pythia(device, dtype)
    held, documents = memory(), corpus(options.tokens)
    list(losses(model, frame(documents[:8]), NO_PIECES, LONGEST, BATCH_TOKENS))  # warms up
    before = matrix_rate(device, dtype)
    mine = timed(model, documents)
    few = documents[: 1 + int(np.searchsorted(np.cumsum([*map(len, documents)]), NAIVE_TOKENS))]
    slow = naive(model, few)
    rate = max(before, matrix_rate(device, dtype))
    table = Table("", "tokens", "tokens/s", "share of rate", "padding", "GiB")
    for name, tokens, seconds, flops, padding, gib in (mine, slow):
        cells = [f"{tokens:,}", f"{tokens / seconds:,.0f}", f"{flops / rate / seconds:.1%}"]
        table.add_row(name, *cells, f"{padding:.1%}", f"{gib:.2f}")
    console = Console(soft_wrap=True)
    console.print(table)
    floor = mine.tokens * rate / mine.flops
    console.print(
        f"{device.type}, {options.dtype}, {options.threads} threads: {rate / 1e9:,.0f} GFLOP/s, of "
        f"which {floor:,.0f} tokens/s would be all; model {held:.2f} GiB"
    )


def corpus(tokens: int) -> list[list[int]]:
    """Documents of random tokens with at least so many together."""
    random, documents, n = np.random.default_rng(0), [], 0
    while n < tokens:
        length = int(np.clip(random.lognormal(np.log(MEDIAN), SPREAD), 2, LONGEST))
        documents.append(random.integers(VOCABULARY, size=length).tolist())
        n += length
    return documents


NO_PIECES = pl.DataFrame(
    schema={
        "doc_id": pl.Int64(),
        "pieces": pl.List(
            pl.Struct({"skill": pl.String, "slot": pl.String, "surprisal": pl.Float32})
        ),
    }
)


def frame(documents: Sequence[Sequence[int]]) -> pl.DataFrame:
    """Rows of the table `tokens`."""
    rows = pl.DataFrame({"doc_id": range(len(documents)), "token_id": documents})
    return rows.explode("token_id").select(
        pl.col("doc_id").cast(pl.Int64),
        pl.int_range(pl.len()).over("doc_id").cast(pl.UInt16).alias("pos"),
        pl.col("token_id").cast(pl.UInt32),
        pl.lit(None, pl.UInt32).alias("piece"),
    )


def flops(documents: Sequence[Sequence[int]]) -> int:
    """Useful ones of a forward: no padding, and half of the square of positions."""
    lengths = [len(document) for document in documents]
    weights = 2 * (LAYER * LAYERS + WIDTH * VOCABULARY) * sum(lengths)
    return weights + 2 * LAYERS * WIDTH * sum(n * n for n in lengths)


def timed(model: LanguageModel, documents: Sequence[Sequence[int]]) -> Timed:
    """The stage's computation of its whole frame."""
    tokens = frame(documents)
    began = now(model.device)
    for _ in losses(model, tokens, NO_PIECES, LONGEST, BATCH_TOKENS):
        pass
    seconds = now(model.device) - began
    padded = padded_tokens(tokens, tokens_a_batch(model, BATCH_TOKENS))
    n = len(tokens)
    return Timed("losses", n, seconds, flops(documents), 1 - n / padded, memory())


def padded_tokens(tokens: pl.DataFrame, size: int) -> int:
    """Tokens of all batches, padding included."""
    total = 0
    for window in windows(tokens, BATCHES * size):
        lengths = window.group_by("doc_id", maintain_order=True).len()["len"].to_list()
        total += sum(len(rows) * lengths[rows[0]] for rows in buckets(lengths, size))
    return total


@torch.no_grad()
def naive(model: LanguageModel, documents: Sequence[Sequence[int]]) -> Timed:
    """Loss, rank and entropy from the Hugging Face model's logits, as they come."""
    padded, began = 0, now(model.device)
    for start in range(0, len(documents), NAIVE_BATCH):
        batch = batch_of(documents[start : start + NAIVE_BATCH], model.device)
        padded += batch.ids.numel()
        log_p = model.hf(input_ids=batch.ids, use_cache=False).logits[:, :-1].float()
        log_p = log_p.log_softmax(-1)
        chosen = log_p.gather(-1, batch.ids[:, 1:, None])
        found = [chosen, (log_p > chosen).sum(-1), (log_p.exp() * log_p).sum(-1)]
        del log_p, found
    seconds, n = now(model.device) - began, sum(map(len, documents))
    return Timed("naive", n, seconds, flops(documents), 1 - n / padded, memory())


if __name__ == "__main__":
    main()
