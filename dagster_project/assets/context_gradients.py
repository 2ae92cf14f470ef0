"""The stage `context_gradients`: gradients of a shard's contexts over the parameters, projected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from dagster_project.assets.context_features import contexts_of_shard
from dagster_project.assets.plot import png
from dagster_project.assets.progress import progress
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.studies.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dagster_project.interp.context_features import Window
    from dagster_project.interp.context_gradients import Cosines

DOC = """The gradient of each context's loss (−log p of the answer) over the parameters of the
linear layers, as a vector of a few thousand numbers.

Norms, embeddings and unembedding are left out, and so is padding. A seeded map projects the
gradients so that inner products stay what they are on average; the study's error and with it the
vectors' length say how nearly: 99 % of the pairs of contexts have a cosine within it. What comes of
that is measured on a sample of each shard against the gradients themselves.

Cost: a forward and a backward of the model and as much again for the gradients; 53/error² bytes a
context (21 kB for 0.05); memory of one batch and a byte a parameter."""


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources
    from dagster_project.interp.clustering import sample_of
    from dagster_project.interp.context_features import windows_of
    from dagster_project.interp.context_gradients import compared, context_gradients, sample_size
    from dagster_project.interp.gradient_projection import projection, size_for
    from dagster_project.interp.parameter_gradients import layer_shapes

    study, spec = run.study, run.study.context_gradients
    model, batch_tokens = resources.model(study), study.compute.batch_tokens
    tokens = run.scan("tokens", shard=run.partition)
    contexts = windows_of(contexts_of_shard(run), tokens, study.contexts.n_ctx)
    by = projection(layer_shapes(model), size_for(spec.error), spec.seed, model.device)
    size = sample_size(model, contexts, batch_tokens)
    sample = set(sample_of([w.context_id for w in contexts], size, spec.seed))
    tally = Tally()
    vectors: dict[int, list[float]] = {}
    with (
        run.writer("context_gradients", kind="shard") as writer,
        progress(run, "context_gradients", "contexts", len(contexts)) as advance,
    ):
        for frame in context_gradients(model, contexts, by, batch_tokens, advance):
            writer.append(frame)
            tally.add(frame)
            kept = frame.filter(frame["context_id"].is_in(sample))
            vectors.update(zip(kept["context_id"], kept["vector"].to_list(), strict=True))
    found = compared(model, [w for w in contexts if w.context_id in vectors], vectors)
    figures = {
        "contexts": len(contexts),
        "contexts_without_gradient": tally.zero,
        "numbers_per_context": by.width,
        "parameters": sum(shape.parameters for shape in by.shapes.values()),
        "pairs_compared": len(found.exact),
        "within_error": found.within(spec.error),
        "largest_error": found.largest,
    }
    checks = [*tally.checks(contexts), projection_check(found, spec.error)]
    return StageResult(figures, checks, _plot(found, spec.error))


class Tally:
    """What the shard's rows come to."""

    def __init__(self) -> None:
        self.unfit = self.zero = 0  # contexts with a NaN or infinity; with no gradient at all
        self.contexts: list[int] = []

    def add(self, frame: pl.DataFrame) -> None:
        finite = frame["vector"].list.eval(pl.element().is_finite()).list.all()
        self.unfit += int((~(finite & frame["norm"].is_finite())).sum())
        self.zero += int((frame["norm"] == 0).sum())
        self.contexts.extend(frame["context_id"])

    def checks(self, contexts: list[Window]) -> list[Check]:
        expected = [window.context_id for window in contexts]
        return [
            Check("finite", self.unfit == 0, {"not_finite": self.unfit}),
            Check(
                "every_context",
                self.contexts == expected,
                {"contexts": len(self.contexts), "expected": len(expected)},
            ),
        ]


def projection_check(found: Cosines, error: float) -> Check:
    """Whether the cosines are what the study asks for; nothing can be wrong without a pair."""
    from dagster_project.interp.gradient_projection import CERTAIN

    share, pairs = found.within(error), len(found.exact)
    allowed = (1 - CERTAIN) * pairs + 1  # one more than expected: few pairs prove little
    figures = {"within_error": share, "error": error, "pairs": len(found.exact)}
    return Check("projection", share is None or (1 - share) * pairs <= allowed, figures)


def _plot(found: Cosines, error: float) -> bytes:
    """Cosines of the vectors against those of the gradients, between lines of the error."""

    def draw(axes: Axes) -> None:
        axes.scatter(found.exact, found.projected, s=2)
        for shift in (-error, error):
            axes.axline((0, shift), slope=1, color="grey", linewidth=0.5)
        axes.set(xlabel="cosine of the gradients", ylabel="of their vectors")

    return png(draw)


def wanted(study: Study) -> bool:
    """Whether a study clusters by gradients."""
    return any(c.representation == "gradients" for c in study.clusterings.values())


STAGE = Stage(
    name="context_gradients",
    doc=DOC,
    partition="shard",
    tables=("context_gradients",),
    inputs=("contexts", "tokens", "model"),
    reads=lambda study, _: {
        "n_ctx": study.contexts.n_ctx,
        "context_gradients": study.context_gradients,
    },
    compute=compute,
    checks={
        "finite": "No number of a vector and no norm is NaN or infinite.",
        "every_context": "Every context of the shard has a vector, in order.",
        "projection": "Of the sampled pairs of contexts 99 % have a cosine within the stated error "
        "of that of their gradients.",
    },
    pool="gpu",
    kinds=("parquet", "pytorch"),
)
