"""The stage `recipe_model`: the shipped model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from typing import TYPE_CHECKING, Any

from dagster_project.assets.progress import progress
from dagster_project.assets.recipe_folder import made, of_version, recipe_of, size, written
from dagster_project.assets.recipe_tokenizer import generator
from dagster_project.assets.stage import Check, Scalar, Stage, StageResult, StageRun
from dagster_project.studies.study import Study

if TYPE_CHECKING:
    from dagster_project.embedded.recipe import Look

DOC = """Trains the small GPT-NeoX on generated documents, each read once, and measures how far it
is from their rules.

Muon on the hidden matrices, AdamW on the rest, warm-up and cosine; float32, in two processes of one
thread each, so that the same seed gives the same weights on any number of cores of a kind. To begin
with half of the documents are repeated sequences, which make the heads that copy. Weights are
stored in float16, and measured so: excess loss (loss less the generator's surprisal) by rule on
documents of another seed, and accuracy on the test halves of tasks, in `figures.json` beside them.

Lies in the lake's `_recipe` folder by data version. Cost: about 12 minutes on two cores."""

LEAST = 1e-3  # nats, of the plot
STYLES = ("-", "--")  # ten colours each


def compute(run: StageRun) -> StageResult:
    from dagster_project.embedded import recipe

    spec, place = recipe_of(run.study), of_version(run.lake, run.version, "model")
    if not place.is_dir():
        _make(run)
    figures = recipe.read_figures(place)
    model = recipe.load_model(place)
    unfit = sum(int((~p.isfinite()).sum()) for p in model.parameters())
    better = {"loss": figures["loss"], "ln_vocabulary": math.log(spec.vocabulary)}
    checks = [
        Check("finite", unfit == 0, {"not_finite": unfit}),
        Check("better_than_uniform", figures["loss"] < better["ln_vocabulary"], better),
    ]
    shown = {"parameters": model.num_parameters(), "bytes": size(place), **_shown(figures)}
    return StageResult(shown, checks, _plot(figures["training"]))


def _make(run: StageRun) -> None:
    """Train, store and measure the model."""
    from tokenizers import Tokenizer

    from dagster_project.embedded import packing, recipe

    spec, curve = recipe_of(run.study), list["Look"]()
    tokenizer_file = made(run.lake, run.study.name, "tokenizer") / recipe.TOKENIZER
    tokenizer = Tokenizer.from_file(str(tokenizer_file))

    def tell(look: Look) -> None:
        curve.append(look)
        run.log(
            f"step {look.step}/{look.steps}: loss {look.loss:.3f}; held out "
            f"{look.held_out.loss:.3f}, {look.held_out.excess:.3f} above the generator"
        )

    with written(run, "model") as folder:
        with progress(run, "recipe_model", "documents", spec.documents) as advance:
            recipe.make_stream(spec, tokenizer_file, folder, advance)
        steps = spec.documents // packing.BATCH
        with progress(run, "recipe_model", "steps", steps) as advance:
            model = recipe.make_model(spec, tokenizer, folder, advance, tell)
        recipe.save_model(model, tokenizer, folder / "new")
        with progress(run, "recipe_model", "held-out documents", spec.held_out) as advance:
            stored = recipe.load_model(folder / "new")
            found = recipe.measure(stored, tokenizer, spec, advance)
        recipe.write_figures(folder / "new", recipe.model_figures(curve, found))


def _shown(figures: Mapping[str, Any]) -> dict[str, Scalar]:
    """The figures, those of rules and tasks by the name of each."""
    excess = {f"excess {rule}": nats for rule, nats in figures["excess_loss_per_piece"].items()}
    right = {f"accuracy {task}": share for task, share in figures["accuracy"].items()}
    names = ("loss", "excess_loss_per_token")
    return {**{name: figures[name] for name in names}, **excess, **right}


def _plot(training: Sequence[Mapping[str, Any]]) -> bytes:
    """Excess loss during training, a line a skill."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=80, layout="constrained")
    axes = figure.subplots()
    steps = [look["step"] for look in training]
    for i, skill in enumerate(training[-1]["excess_loss_per_piece"]):
        nats = [max(look["excess_loss_per_piece"][skill], LEAST) for look in training]
        axes.plot(steps, nats, STYLES[i // 10], linewidth=1, label=skill)
    total = [look["excess_loss_per_token"] for look in training]
    axes.plot(steps, total, color="black", linewidth=2, label="all, a token")
    axes.set(xlabel="step", ylabel="loss − surprisal (nats a piece)", yscale="log")
    figure.legend(loc="outside right upper", fontsize="small")
    image = BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def _reads(study: Study, _partition: str) -> object:
    spec = asdict(recipe_of(study))
    del spec["train"]  # of the dictionaries
    return spec


STAGE = Stage(
    name="recipe_model",
    doc=DOC,
    partition="study",
    tables=(),
    inputs=("recipe_tokenizer",),
    reads=_reads,
    content=generator,
    compute=compute,
    checks={
        "finite": "No weight is NaN or infinite in float16.",
        "better_than_uniform": "The loss on held-out documents is below ln(vocabulary).",
    },
    pool="gpu",
    kinds=("huggingface", "pytorch"),
)
