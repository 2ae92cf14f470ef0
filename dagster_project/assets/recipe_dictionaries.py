"""The stage `recipe_dictionaries`: the shipped dictionaries of the shipped model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dagster_project.assets.dictionary_training import plot
from dagster_project.assets.progress import progress
from dagster_project.assets.recipe_folder import (
    LIMIT,
    made,
    of_version,
    recipe_of,
    size,
    written,
)
from dagster_project.assets.recipe_tokenizer import generator
from dagster_project.assets.stage import Check, Scalar, Stage, StageResult, StageRun

if TYPE_CHECKING:
    from dagster_project.interp.dictionary import SparseDictionary
    from dagster_project.interp.dictionary_training import Progress
    from dagster_project.interp.model import LanguageModel

DOC = """Trains a BatchTopK dictionary for each site of the shipped model on generated documents,
and measures them, as they are stored in float16, on documents of another seed: L0, variance
explained, increase of the loss, dead features, in `figures.json` beside them.

Lies in the lake's `_recipe` folder by data version. A training that was killed goes on from its
last checkpoint. Cost: about 7 minutes on two cores for 2M tokens."""

CHECKPOINT = "dictionaries.checkpoint.safetensors"


def compute(run: StageRun) -> StageResult:
    from dagster_project.embedded import recipe
    from dagster_project.interp.site_names import site_names

    place = of_version(run.lake, run.version, "dictionaries")
    curve = [] if place.is_dir() else _make(run)
    figures = recipe.read_figures(place)
    found = {path.name for path in place.iterdir() if path.is_dir()}
    expected = set(site_names(recipe_of(run.study).n_layers))
    total = size(made(run.lake, run.study.name, "model"), place)
    checks = [
        Check("every_site", found == set(figures) == expected, {"folders": len(found)}),
        Check("small_enough", total <= LIMIT, {"bytes": total, "allowed": LIMIT}),
    ]
    shown = {**_shown(figures), "bytes with the model": total}
    return StageResult(shown, checks, plot(curve) if curve else None)


def _make(run: StageRun) -> list[Progress]:
    """Train, store and measure the dictionaries; -> progress of the training by round."""
    from dagster_project import resources
    from dagster_project.embedded import recipe
    from dagster_project.interp.dictionary_files import load_sites, save
    from dagster_project.interp.loading import load_model

    spec, place = recipe_of(run.study), made(run.lake, run.study.name, "model")
    model = load_model(place, device=resources.device(run.study))
    with written(run, "dictionaries") as folder:
        trained, curve = _train(run, model)
        for site, dictionary in trained.items():
            about = {"source": "recipe", "training": asdict(spec.train)}
            save(recipe.in_float16(dictionary), folder / "new" / site, about)
        stored = load_sites(folder / "new", dict.fromkeys(trained, model.d_model), model.device)
        batch_tokens = run.study.compute.batch_tokens
        with progress(run, "recipe_dictionaries", "held-out tokens") as advance:
            quality = recipe.dictionary_quality(spec, model, stored, batch_tokens, advance)
        recipe.write_figures(folder / "new", recipe.dictionary_figures(quality))
    of_version(run.lake, run.version, CHECKPOINT).unlink(missing_ok=True)
    return curve


def _train(
    run: StageRun, model: LanguageModel
) -> tuple[dict[str, SparseDictionary], list[Progress]]:
    from dagster_project.embedded import recipe
    from dagster_project.interp.dictionary_training import Checkpoint

    spec, curve = recipe_of(run.study), list["Progress"]()
    checkpoint = of_version(run.lake, run.version, CHECKPOINT)
    with progress(run, "recipe_dictionaries", "tokens", spec.train.tokens) as advance:

        def follow(now: Progress) -> None:
            advance((now.step - (curve[-1].step if curve else 0)) * spec.train.batch)
            curve.append(now)

        trained = recipe.train_dictionaries(
            spec,
            model,
            run.study.compute.batch_tokens,
            Checkpoint(checkpoint, run.version),
            follow,
        )
    return trained, curve


def _shown(figures: Mapping[str, Any]) -> dict[str, Scalar]:
    """The worst sites, against the bars of a good set, and the means."""
    rows = list(figures.values())
    streams = [row["loss_increase"] for site, row in figures.items() if site.startswith("resid")]
    others = [row["loss_increase"] for site, row in figures.items() if not site.startswith("resid")]
    return {
        "sites": len(rows),
        "mean_l0": sum(row["l0"] for row in rows) / len(rows),
        "mean_fve": sum(row["fve"] for row in rows) / len(rows),
        "least_fve": min(row["fve"] for row in rows),
        "largest_loss_increase_resid": max(streams),
        "largest_loss_increase_others": max(others),
        "largest_dead_fraction": max(row["dead_fraction"] for row in rows),
    }


STAGE = Stage(
    name="recipe_dictionaries",
    doc=DOC,
    partition="study",
    tables=(),
    inputs=("recipe_model",),
    reads=lambda study, _: recipe_of(study),
    content=generator,
    compute=compute,
    code_version="3",  # errors relative to each token
    checks={
        "every_site": "A dictionary, with its figures, for each site of the model.",
        "small_enough": "Model, tokenizer and dictionaries together are at most 6 MB.",
    },
    pool="gpu",
    kinds=("pytorch",),
)
