"""Seconds an example of circuit discovery at the shape of Pythia-70m: `python -m bench.circuits`.

Random weights, 19 dictionaries of 32,768 features with about 64 active a token, pairs of 7 tokens.
Beside each time stand its floor, the FLOPs that no exact method can leave out at the machine's own
rate of matrix products, and a naive implementation at a size it can stand: the dictionary inside
the graph at each of ig's points, and one backward of the whole model for each selected node.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal, NamedTuple, TypeVar

import polars as pl
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.machine import matrix_rate, memory, now
from bench.pythia import (
    FEATURES,
    LAYER,
    LAYERS,
    VOCABULARY,
    WIDTH,
    in_graph,
    pythia,
    sparse_dictionaries,
)
from dagster_project.interp.ablation import Task
from dagster_project.interp.circuit_edges import Rules, circuit_edges, scene
from dagster_project.interp.collection import Collection
from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.examples import Examples
from dagster_project.interp.faithfulness import faithfulness
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import attribute
from dagster_project.interp.site_names import parse_site
from dagster_project.interp.sites import Batch
from dagster_project.studies.study import FaithfulnessSpec, NodeEffectsSpec
from tests.interp import spliced

LENGTH = 7
CHANGING = LENGTH - 1  # pairs differ from their second token on
STEPS, BATCH_TOKENS, REPEATS = 10, 8192, 3
SELECTED = (10, 50)  # nodes a site
SIZES = (0, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1000)

Result = TypeVar("Result")


class Timed(NamedTuple):
    """One row of the report: seconds an example."""

    name: str
    seconds: float
    floor: float | None
    naive: float | None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.circuits", description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--examples", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    console, rate = Console(soft_wrap=True), matrix_rate(device)
    model, before = pythia(device), memory()
    pairs = examples(options.examples, device)
    dictionaries = sparse_dictionaries(model, pairs.clean.ids)
    held = memory()
    rows = list(timed(model, dictionaries, pairs, rate))
    peak = memory()
    rows += naive(model, dictionaries, pairs.rows(0, 1), rows)
    table = Table("", "s an example", "floor, s", "naive, s", "times faster")
    for name, seconds, floor, slow in rows:
        cells = [seconds, floor, slow, slow and slow / seconds]
        table.add_row(name, *("–" if c is None else f"{c:,.3g}" for c in cells))
    console.print(table)
    console.print(
        f"{options.threads} threads, {rate / 1e9:.0f} GFLOP/s, {len(pairs)} examples; model "
        f"{before:.2f} GiB, with dictionaries {held:.2f}, at most {peak:.2f}; naive {memory():.2f}"
    )


def timed(
    model: LanguageModel, dictionaries: Mapping[str, Dictionary], pairs: Examples, rate: float
) -> Iterator[Timed]:
    """Attribution, edges and evaluation of all examples."""
    encodes = 2 * 2 * len(dictionaries) * LENGTH * FEATURES * WIDTH  # clean and patch
    once = 4 * LENGTH * LAYER * LAYERS  # forward and backward
    paths = 4 * CHANGING * LAYER * sum(_layers_from(site) for site in dictionaries)
    floors: dict[Literal["attrib", "ig"], int] = {
        "attrib": encodes + once,
        "ig": encodes + once + STEPS * paths,
    }
    n, device = len(pairs), model.device
    for method, flops in floors.items():
        spec = NodeEffectsSpec(method=method, steps=STEPS)
        work = partial(discovered, model, dictionaries, pairs, spec)
        seconds, (effects, gradients) = best(device, work)
        yield Timed(method, seconds / n, flops / rate, None)
    for n_nodes in SELECTED:
        strongest = effects.sort(pl.col("effect").abs(), descending=True)
        nodes = strongest.group_by("site", maintain_order=True).head(n_nodes)

        def edges(nodes: pl.DataFrame = nodes) -> int:
            seen = scene(model, dictionaries, pairs, gradients, BATCH_TOKENS)
            return sum(len(frame) for frame in circuit_edges(seen, nodes, Rules(0.0, 0, 0)))

        seconds, n_edges = best(device, edges)
        yield Timed(f"edges, {n_nodes} nodes a site ({n_edges:,} edges)", seconds / n, None, None)
    task = Task(model, dictionaries, pairs, BATCH_TOKENS)
    grid = FaithfulnessSpec(sizes=SIZES, units=("feature",), errors=("default",), bootstrap=0)
    seconds, _ = best(device, lambda: faithfulness(task, grid, effects, None))
    yield Timed(f"evaluation, {len(SIZES)} sizes and their complements", seconds / n, None, None)


def best(device: torch.device, work: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds of the best of REPEATS, and the result."""
    times = []
    for _ in range(REPEATS):
        began = now(device)
        result = work()
        times.append(now(device) - began)
    return min(times), result


def _layers_from(site: str) -> int:
    """Whole layers that a change at a site passes through."""
    kind, layer = parse_site(site)
    return LAYERS if kind == "embed" else LAYERS - 1 - layer


def discovered(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    pairs: Examples,
    spec: NodeEffectsSpec,
) -> tuple[pl.DataFrame, dict[str, Tensor]]:
    """Effects per position, as means over examples, and the gradients behind them."""
    collected, gradients = Collection("none"), defaultdict[str, list[Tensor]](list)
    for found in attribute(model, dictionaries, pairs, spec, BATCH_TOKENS):
        collected.add(found)
        gradients[found.site].append(found.gradient)
    effects = pl.concat(collected.node_effects(0.0, 0, 0))
    return effects, {site: torch.cat(parts) for site, parts in gradients.items()}


def naive(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    pair: Examples,
    rows: list[Timed],
) -> list[Timed]:
    """What a whole circuit of one example takes, and what it would take naively."""
    began = now(model.device)
    for site in ("embed", "mlp_2", "resid_4"):
        alphas = [k / STEPS for k in range(STEPS)]
        spliced.effects(model, dictionaries[site], pair, site, alphas)
    ig = (now(model.device) - began) / 3 * len(dictionaries)
    backward = seconds_of_backward(model, dictionaries, pair)
    fast = {row.name.partition(" (")[0]: row.seconds for row in rows}
    return [
        Timed("ig, against naive", fast["ig"], None, ig),
        *(
            Timed(
                f"ig and edges, {n} nodes a site",
                fast["ig"] + fast[f"edges, {n} nodes a site"],
                None,
                ig + backward * n * len(dictionaries),
            )
            for n in SELECTED
        ),
    ]


def seconds_of_backward(
    model: LanguageModel, dictionaries: Mapping[str, Dictionary], pair: Examples
) -> float:
    """Of one node through the model with all dictionaries in its graph; mean over the sites."""
    with in_graph(model, dictionaries) as found:
        model.hf(input_ids=pair.clean.ids, use_cache=False)
    sites = list(dictionaries)
    began = now(model.device)
    for place, site in enumerate(sites[1:], start=1):
        above = [found[up] for up in sites[:place]]
        node = found[site][0, -1].max()
        torch.autograd.grad(node, above, retain_graph=True, allow_unused=True)
    return (now(model.device) - began) / (len(sites) - 1)


def examples(n: int, device: torch.device) -> Examples:
    """Pairs that differ in their second token."""
    made = torch.Generator().manual_seed(1)
    clean = torch.randint(VOCABULARY, (n, LENGTH), generator=made)
    patch = clean.clone()
    patch[:, 1] = torch.randint(VOCABULARY, (n,), generator=made)
    answers = torch.randint(VOCABULARY, (2, n), generator=made)
    clean, patch, answers = (x.to(device) for x in (clean, patch, answers))
    lengths = torch.full((n,), LENGTH, device=device)
    return Examples(Batch(clean, lengths), Batch(patch, lengths), answers[0], answers[1])


if __name__ == "__main__":
    main()
