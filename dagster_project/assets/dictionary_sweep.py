"""The stage `dictionary_sweep`: dictionaries of many forms, widths and sparsities, compared."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import polars as pl

from dagster_project.assets import dictionaries, dictionary_quality
from dagster_project.assets.dictionary_training import figures, plot
from dagster_project.assets.stage import Stage, StageResult, StageRun
from dagster_project.provenance import Provenance
from dagster_project.studies.study import Study
from dagster_project.studies.sweep import at_point, points

if TYPE_CHECKING:
    from dagster_project.assets.dictionary_training import Trained

DOC = """Trains the dictionaries of one point (a form, a width, a number of features a token) at
every site of the study, and measures them as `dictionary_quality` does: what it costs to have fewer
features on, by form.

A point's dictionaries are kept like a study's own, in the lake's `_dictionaries` by data version: a
study with `dictionaries.source = "train"` and the same training finds them there, and a point that
such a study has trained is only measured.

Cost: a training of all sites a point. With `compute.activation_cache` the model runs once for all
trainings."""


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources

    here = of_point(run)
    model = resources.model(run.study)
    sites = dictionaries.sites_of(here.study, model)
    made = dictionaries.trained(here, sites, STAGE.name)
    folder = dictionaries.weights(run.lake, here.version)
    found = dictionaries.read(here.study, folder, model, model.device)
    held_out = dictionary_quality.held_out_documents(here)
    frame = dictionary_quality.measured(here, found, held_out, STAGE.name)
    with run.writer("dictionary_sweep", kind="point") as writer:
        writer.append(frame.with_columns(_of_training(here, made)))
    shown = {"version": here.version, **dictionary_quality.figures(frame)}
    checks = dictionary_quality.checks_of(frame, len(sites))
    if not (made and made.curve):  # trained before
        return StageResult(shown, checks)
    return StageResult({**shown, **figures(made.curve)}, checks, plot(made.curve))


def of_point(run: StageRun) -> StageRun:
    """The run that would train the point's dictionaries for a study that has them as its own."""
    from dagster_project.assets.flow import STAGES

    study = at_point(run.study, run.partition)
    version = Provenance(study, run.lake, STAGES).expected(dictionaries.STAGE, "")
    return replace(run, study=study, partition="", version=version)


def _of_training(here: StageRun, made: Trained | None) -> list[pl.Expr]:
    spec = here.study.dictionaries.train
    return [
        pl.lit(spec.form).alias("form"),
        pl.lit(spec.expansion).alias("expansion"),
        pl.lit(spec.k).alias("k"),
        pl.lit(spec.tokens).alias("training_tokens"),
        pl.lit(made.seconds if made else None, pl.Float64).alias("seconds"),
        pl.lit(here.version).alias("version"),
    ]


def _reads(study: Study, point: str) -> object:
    spec = study.dictionaries
    return {
        "sites": spec.sites,
        "held_out_tokens": spec.held_out_tokens,
        "train": asdict(points(study)[point]),
        "code": [dictionaries.STAGE.code_version, dictionary_quality.STAGE.code_version],
    }


STAGE = Stage(
    name="dictionary_sweep",
    doc=DOC,
    partition="point",
    tables=("dictionary_sweep",),
    inputs=("tokens", "model"),
    reads=_reads,
    compute=compute,
    checks=dictionary_quality.CHECKS,
    shards=lambda study: study.dictionaries.shards,
    pool="gpu",
    kinds=("parquet", "pytorch"),
)
