"""Contexts a second of the stage `context_features` at the shape of Pythia-70m:
`python -m bench.context_features`.

Random weights, 19 dictionaries of 32,768 features with about 64 active a token, contexts of 64
tokens. Beside the time stand its ratio to the floor, the encoders' FLOPs at the machine's own rate
of matrix products in float32, and a naive implementation: dictionaries in the graph, dense
activations and gradients of all sites. On a CPU the rows are written as the lake writes them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.machine import matrix_rate, memory, now
from bench.pythia import FEATURES, VOCABULARY, WIDTH, in_graph, pythia, sparse_dictionaries
from dagster_project.interp.context_features import Window, context_features
from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_order import by_site
from dagster_project.studies.study import ContextFeaturesSpec

TOKENS, BATCH_TOKENS, NAIVE = 64, 8192, 2
Aggregation = Literal["sum", "last"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.context_features", description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--contexts", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    rate, model = matrix_rate(device), pythia(device, dtype)
    windows = contexts(options.contexts)
    ids = torch.tensor([w.ids for w in windows], device=device)
    dictionaries = sparse_dictionaries(model, ids)
    held = memory()
    floor = TOKENS * 2 * FEATURES * WIDTH * len(dictionaries) / rate
    table = Table("", "contexts a second", "times the floor", "bytes a row", "rows a context")
    shapes: list[tuple[Aggregation, int]] = [("sum", 0), ("last", TOKENS)]
    for aggregation, last_k in shapes:
        spec = ContextFeaturesSpec(aggregation=aggregation, last_k=last_k or 1, skip_bos=False)
        stored(model, dictionaries, windows[:4], spec)  # what is made once
        began = now(device)
        rows, size = stored(model, dictionaries, windows, spec)
        seconds = (now(device) - began) / len(windows)
        cells = [1 / seconds, seconds / floor, size / rows, rows / len(windows)]
        name = "sums over positions" if aggregation == "sum" else "every position"
        table.add_row(name, *(f"{cell:,.3g}" for cell in cells))
    peak = memory()
    seconds = naive_seconds(model, dictionaries, ids[:NAIVE], windows[0].answer_id)
    table.add_row("naive", f"{1 / seconds:,.3g}", f"{seconds / floor:,.3g}", "–", "–")
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(
        f"{options.threads} threads, {rate / 1e9:,.0f} GFLOP/s: at most {1 / floor:,.3g} contexts "
        f"a second; model and dictionaries {held:.2f} GiB, at most {peak:.2f}; naive, of "
        f"{NAIVE} contexts, {memory():.2f}"
    )


def contexts(n: int) -> list[Window]:
    """Windows of random tokens."""
    made = torch.Generator().manual_seed(1)
    ids = torch.randint(VOCABULARY, (n, TOKENS + 1), generator=made).tolist()
    return [Window(i, row[:-1], row[-1]) for i, row in enumerate(ids)]


def stored(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    windows: list[Window],
    spec: ContextFeaturesSpec,
) -> tuple[int, int]:
    """Rows of the contexts' partition and, on a CPU that can write it, bytes."""
    found = context_features(model, dictionaries, windows, spec, BATCH_TOKENS)
    if model.device.type != "cpu" or find_spec("pyarrow") is None:
        return sum(len(frame) for frame in found), 0
    from dagster_project.lake.store import Lake

    with tempfile.TemporaryDirectory() as folder:
        lake, keys = Lake(Path(folder)), {"study": "bench", "shard": "00000"}
        with lake.writer("context_features", "v1", **keys) as writer:
            for frame in by_site(found, Path(folder)):
                writer.append(frame)
        return writer.rows, lake.file("context_features", **keys).stat().st_size


def naive_seconds(
    model: LanguageModel, dictionaries: Mapping[str, Dictionary], ids: Tensor, answer: int
) -> float:
    """Of one context, with the dictionaries in the graph and every site's features kept dense."""
    began = now(model.device)
    with in_graph(model, dictionaries) as found:
        logits = model.hf(input_ids=ids, use_cache=False).logits[:, -1]
    m = logits.log_softmax(-1)[:, answer].sum()
    gradients = torch.autograd.grad(m, list(found.values()))
    [f * g for f, g in zip(found.values(), gradients, strict=True)]
    return (now(model.device) - began) / len(ids)


if __name__ == "__main__":
    main()
