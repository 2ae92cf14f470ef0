"""The stage `dictionary_quality`: how well the dictionaries stand for the activations."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import polars as pl

from dagster_project.assets.dictionary_training import first_held_out, training_shards
from dagster_project.assets.plot import png
from dagster_project.assets.progress import progress
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.studies.study import Dtype

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes

    from dagster_project.interp.dictionary import Dictionary
    from dagster_project.interp.sequences import Ids

DOC = """Measures each site's dictionary on the corpus's last `held_out_tokens` tokens: L0, fraction
of variance explained, increase of the loss when the reconstruction stands in the activation's
place, that share of the increase under mean and under zero ablation, dead features.

All dictionaries with their errors put in place together must change no logit.

Cost: two forwards of the held-out tokens, and for each site three from that site on."""

SPLICED_TOKENS = 4096  # on which dictionaries with errors are put in place
CHECKS = {
    "every_site": "One row for each site that has a dictionary.",
    "finite": "No figure is NaN or infinite.",
    "in_range": "L0 lies in 0 … features, FVE is at most 1, the dead fraction in 0 … 1.",
}
TOLERANCE: dict[Dtype, float]  # of a logit; dictionaries are float32
TOLERANCE = {"float64": 1e-4, "float32": 1e-4, "float16": 0.1, "bfloat16": 0.5}


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources
    from dagster_project.interp.dictionary_quality import splice_error

    model = resources.model(run.study)
    dictionaries, held_out = resources.dictionaries(run.study, run.lake), held_out_documents(run)
    frame = measured(run, dictionaries, held_out, STAGE.name)
    batch_tokens = run.study.compute.batch_tokens
    change = splice_error(model, dictionaries, _some(held_out), batch_tokens)
    with run.writer("dictionaries", kind="study") as writer:
        source = [run.study.dictionaries.part(site).source for site in frame["site"]]
        writer.append(frame.with_columns(source=pl.Series(source, dtype=pl.String)))
    allowed = TOLERANCE[run.study.model.dtype]
    spliced = {"largest_logit_change": change, "allowed": allowed}
    checks = [
        *checks_of(frame, len(dictionaries)),
        Check("splicing_changes_nothing", change <= allowed, spliced),
    ]
    shown = {**figures(frame), "largest_logit_change_spliced": change}
    return StageResult(shown, checks, _plot(frame))


def held_out_documents(run: StageRun) -> list[list[int]]:
    """Token ids of the documents that are never trained on."""
    from dagster_project.interp.sequences import sequences

    rows = run.scan_shards("tokens").filter(pl.col("doc_id") >= first_held_out(run))
    return sequences(rows.select("doc_id", "pos", "token_id").collect())


def measured(
    run: StageRun, dictionaries: Mapping[str, Dictionary], held_out: Sequence[Ids], stage: str
) -> pl.DataFrame:
    """The quality of dictionaries on held-out documents, a row a site. stage: whose progress."""
    from dagster_project import resources
    from dagster_project.interp.dictionary_quality import quality

    model, batch_tokens = resources.model(run.study), run.study.compute.batch_tokens
    bos_id = model.tokenizer.bos_token_id
    with progress(run, stage, "held-out tokens", sum(map(len, held_out))) as advance:
        return quality(model, dictionaries, held_out, _others(run), batch_tokens, bos_id, advance)


def _others(run: StageRun) -> Iterator[Ids]:
    """Documents that are not held out, in order; none where all are."""
    from dagster_project.studies.parsing import StudyError

    try:
        shards = training_shards(run)
    except StudyError:
        return
    for shard in shards:
        yield from shard()


def _some(documents: Sequence[Ids]) -> Sequence[Ids]:
    """The first documents, as many as reach SPLICED_TOKENS."""
    before = accumulate((len(ids) for ids in documents), initial=0)
    return [ids for ids, n in zip(documents, before, strict=False) if n < SPLICED_TOKENS]


def figures(frame: pl.DataFrame) -> dict[str, str | int | float | None]:
    """Means over sites, and the worst of them."""
    worst = frame.sort("fve").row(0, named=True)
    return {
        "held_out_tokens": worst["n_tokens"],
        "mean_fve": _mean(frame, "fve"),
        "worst_fve": worst["fve"],
        "worst_site": worst["site"],
        "mean_l0": _mean(frame, "l0"),
        "mean_loss_recovered": _mean(frame, "loss_recovered"),
        "mean_loss_recovered_zero": _mean(frame, "loss_recovered_zero"),
        "mean_loss_increase": _mean(frame, "loss_increase"),
        "mean_dead_fraction": _mean(frame, "dead_fraction"),
    }


def _mean(frame: pl.DataFrame, column: str) -> float | None:
    found = frame[column].cast(pl.Float64).mean()
    return found if isinstance(found, float) else None


def checks_of(frame: pl.DataFrame, n_sites: int) -> list[Check]:
    """Whether every site has a row, of figures that can be."""
    floats = frame.select(pl.col(pl.Float64))
    unfit = sum(int((~column.is_finite()).sum()) for column in floats)
    outside = frame.filter(
        ~pl.col("l0").is_between(0, pl.col("n_features"))
        | (pl.col("fve") > 1)
        | ~pl.col("dead_fraction").is_between(0, 1)
    )
    return [
        Check("every_site", len(frame) == n_sites, {"rows": len(frame), "sites": n_sites}),
        Check("finite", unfit == 0, {"not_finite": unfit}),
        Check("in_range", not len(outside), {"outside": len(outside)}),
    ]


def _plot(frame: pl.DataFrame) -> bytes:
    """Variance explained and loss recovered by site, in forward order."""

    def draw(axes: Axes) -> None:
        for column, label in (("fve", "variance explained"), ("loss_recovered", "loss recovered")):
            axes.plot(frame["site"].to_list(), frame[column].to_list(), marker="o", label=label)
        axes.tick_params(axis="x", rotation=90, labelsize=7)
        axes.set_ylim(min(0, *frame["fve"]), 1.02)
        axes.legend()

    return png(draw, names=True)


STAGE = Stage(
    name="dictionary_quality",
    doc=DOC,
    partition="study",
    tables=("dictionaries",),
    inputs=("dictionaries", "tokens", "model"),
    reads=lambda study, _: {
        "held_out_tokens": study.dictionaries.held_out_tokens,
        "source": [part.source for _, part in study.dictionaries.sources()],  # a column
    },
    compute=compute,
    checks=CHECKS
    | {
        "splicing_changes_nothing": "Dictionaries with their errors at all sites change no logit.",
    },
    shards=lambda study: study.dictionaries.shards,
    pool="gpu",
    kinds=("parquet", "pytorch"),
)
