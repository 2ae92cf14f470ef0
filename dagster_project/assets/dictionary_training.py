"""Training of the study's dictionaries on its own tokens: what the lake holds as a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from dagster_project.assets.plot import png
from dagster_project.assets.progress import progress
from dagster_project.assets.stage import StageRun
from dagster_project.studies.parsing import StudyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dagster_project.interp.dictionary import SparseDictionary
    from dagster_project.interp.dictionary_training import Progress
    from dagster_project.interp.sequences import Shard

LOG_LINES = 20  # of a training's progress


def train(
    run: StageRun, sites: Sequence[str], checkpoint: Path
) -> tuple[dict[str, SparseDictionary], list[Progress]]:
    """A dictionary for each site, and progress by round (since the last interruption)."""
    from dagster_project import resources
    from dagster_project.interp import dictionary_training
    from dagster_project.interp.activation_rounds import round_tokens, rounds
    from dagster_project.interp.sequences import shuffled

    model, spec = resources.model(run.study), run.study.dictionaries.train
    shards = training_shards(run)
    tokens = round_tokens(len(sites), model.d_model, spec.batch, spec.tokens)
    bos_id, batch_tokens = model.tokenizer.bos_token_id, run.study.compute.batch_tokens
    curve: list[Progress] = []
    with progress(run, "dictionaries", "tokens", spec.tokens) as advance:
        found = dictionary_training.train(
            sites,
            lambda start: rounds(
                model, sites, shuffled(shards, spec.seed), tokens, batch_tokens, bos_id, start
            ),
            spec,
            model.device,
            dictionary_training.Checkpoint(checkpoint, run.version),
            _follower(run, curve, advance),
        )
    return found, curve


def _follower(
    run: StageRun, curve: list[Progress], advance: Callable[[int], None]
) -> Callable[[Progress], None]:
    """What to do after each round: keep it, move the bar, and say so now and then."""
    from dagster_project.interp.dictionary_training import mean_of

    batch = run.study.dictionaries.train.batch

    def follow(now: Progress) -> None:
        before = curve[-1].step if curve else 0
        curve.append(now)
        advance((now.step - before) * batch)
        if before * LOG_LINES // now.steps < now.step * LOG_LINES // now.steps:
            fve, dead = mean_of(now.fve), mean_of(now.dead)
            run.log(f"step {now.step}/{now.steps}: mean FVE {fve:.3f}, dead {dead:.1%}")

    return follow


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
    """Fraction of variance explained during training, a line a site."""
    steps = [now.step for now in curve]

    def draw(axes: Axes) -> None:
        for site in curve[0].fve:
            axes.plot(steps, [now.fve[site] for now in curve], linewidth=1)
        axes.set(xlabel="step", ylabel="variance explained, by site", ylim=(0, 1))

    return png(draw)
