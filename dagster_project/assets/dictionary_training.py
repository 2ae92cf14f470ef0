"""Training of the study's dictionaries on its own tokens: what the lake holds as a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from dagster_project.assets import scratch
from dagster_project.assets.plot import png
from dagster_project.assets.progress import progress
from dagster_project.assets.stage import StageRun
from dagster_project.provenance import digest
from dagster_project.studies.parsing import StudyError
from dagster_project.studies.sweep import points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

    from dagster_project.interp.dictionary import SparseDictionary
    from dagster_project.interp.dictionary_training import Progress, Rounds
    from dagster_project.interp.sequences import Shard

LOG_LINES = 20  # of a training's progress
CACHE = "activations"  # what is shared in scratch


class Trained(NamedTuple):
    """Dictionaries by site, and how they came to be (since the last interruption)."""

    dictionaries: dict[str, SparseDictionary]
    curve: list[Progress]  # by round
    seconds: float


def train(run: StageRun, sites: Sequence[str], checkpoint: Path, stage: str) -> Trained:
    """A dictionary for each site. stage: whose progress it is."""
    from dagster_project import resources
    from dagster_project.interp import dictionary_training

    spec, curve, started = run.study.dictionaries.train, list["Progress"](), time.monotonic()
    with progress(run, stage, "tokens", spec.tokens) as advance:
        found = dictionary_training.train(
            sites,
            _rounds(run, sites, stage),
            spec,
            resources.model(run.study).device,
            dictionary_training.Checkpoint(checkpoint, run.version),
            _follower(run, curve, advance),
        )
    return Trained(found, curve, time.monotonic() - started)


def _rounds(run: StageRun, sites: Sequence[str], stage: str) -> Rounds:
    """Activations of the study's tokens: from the model, or from where they are kept."""
    from dagster_project import resources
    from dagster_project.interp.activation_cache import cached
    from dagster_project.interp.activation_rounds import round_tokens, rounds
    from dagster_project.interp.sequences import shuffled

    study, model, shards = run.study, resources.model(run.study), training_shards(run)
    spec, batch_tokens = study.dictionaries.train, study.compute.batch_tokens
    tokens = round_tokens(len(sites), model.d_model, spec.batch, spec.tokens)
    bos_id = model.tokenizer.bos_token_id

    def source(start: int) -> Iterator[Tensor]:
        stream = shuffled(shards, spec.seed)
        return rounds(model, sites, stream, tokens, batch_tokens, bos_id, start)

    if not study.compute.activation_cache:
        return source
    read = {
        "model": [resources.model_content(study), study.model.dtype],
        "tokens": [run.lake.version("tokens", study=study.name, shard=s) for s in run.shards],
        "rounds": [sites, study.dictionaries.held_out_tokens, spec.seed, tokens, batch_tokens],
    }
    needed_by = [scratch.Part("dictionary_sweep", point) for point in points(study)]
    needed_by.append(scratch.Part(stage, run.partition))
    folder = scratch.shared(run, CACHE, digest(read), needed_by)
    return cached(source, folder, int(study.compute.activation_cache * 2**30), model.device)


def _follower(
    run: StageRun, curve: list[Progress], advance: Callable[[int], None]
) -> Callable[[Progress], None]:
    """What to do after each round: keep it, move the bar, and say so now and then."""
    batch = run.study.dictionaries.train.batch

    def follow(now: Progress) -> None:
        before = curve[-1].step if curve else 0
        curve.append(now)
        advance((now.step - before) * batch)
        if before * LOG_LINES // now.steps < now.step * LOG_LINES // now.steps:
            run.log(described(now))

    return follow


def described(now: Progress) -> str:
    """A line of a training's log: means over sites, and the terms of the loss that there are."""
    from dagster_project.interp.dictionary_training import mean_of

    fve, l0, dead = mean_of(now.fve), mean_of(now.l0), mean_of(now.dead)
    terms = ", ".join(f"{name} {value:.4f}" for name, value in now.terms.items() if value)
    return (
        f"step {now.step}/{now.steps}: mean FVE {fve:.3f}, L0 {l0:.1f}, dead {dead:.1%}; "
        f"loss: {terms}; learning rate {now.rate:.1e}; {now.tokens_per_second:,.0f} tokens/s"
    )


def figures(curve: Sequence[Progress]) -> dict[str, float]:
    """What the last round of a training came to."""
    from dagster_project.interp.dictionary_training import mean_of

    last = curve[-1]
    return {
        "training_tokens_per_second": last.tokens_per_second,
        "training_fve": mean_of(last.fve),
        "training_fve_worst": min(last.fve.values()),
        "training_l0": mean_of(last.l0),
        "training_dead_share": mean_of(last.dead),
        **{f"training_loss_{term}": value for term, value in last.terms.items() if value},
    }


def first_held_out(run: StageRun) -> int:
    """doc_id of the first document that is never trained on."""
    from dagster_project.interp.sequences import held_out_from

    lengths = run.scan_shards("tokens").group_by("doc_id").agg(n_tokens=pl.len()).collect()
    return held_out_from(lengths, run.study.dictionaries.held_out_tokens)


def training_shards(run: StageRun) -> list[Shard]:
    """Readers of each shard's documents before the held-out ones. Raises StudyError if none."""
    from dagster_project.interp.sequences import sequences

    first = first_held_out(run)
    kept = run.scan_shards("tokens").filter(pl.col("doc_id") < first)
    names = kept.select(pl.col("shard").unique().sort()).collect()["shard"].to_list()
    if not names:
        key, found = "dictionaries.held_out_tokens", run.study.dictionaries.held_out_tokens
        raise StudyError(run.study.file, key, "fewer than the corpus has", found)

    def reader(shard: str) -> Shard:
        rows = run.scan("tokens", shard=shard).filter(pl.col("doc_id") < first)
        return lambda: sequences(rows.select("doc_id", "pos", "token_id").collect())

    return [reader(name) for name in names]


def plot(curve: Sequence[Progress]) -> bytes:
    """Variance explained during training, a line a site, and dashed the mean share of the dead."""
    from dagster_project.interp.dictionary_training import mean_of

    steps = [now.step for now in curve]

    def draw(axes: Axes) -> None:
        for site in curve[0].fve:
            axes.plot(steps, [now.fve[site] for now in curve], linewidth=1)
        axes.plot(steps, [mean_of(now.dead) for now in curve], "k--", linewidth=1, label="dead")
        axes.set(xlabel="step", ylabel="variance explained, by site", ylim=(0, 1))
        axes.legend()

    return png(draw)
