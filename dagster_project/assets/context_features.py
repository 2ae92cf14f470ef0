"""The stage `context_features`: features and effects of a shard's contexts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

from dagster_project.assets.plot import png
from dagster_project.assets.progress import progress
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.studies.study import ContextFeaturesSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dagster_project.interp.context_features import Window
    from dagster_project.interp.dictionary import Dictionary

DOC = """Activation, gradient and effect of every active feature of every site in each context of
a shard, and each site's error node (feature −1).

m is the metric of the answer, read at the context's last token; a feature's effect is its
activation × ∂m/∂activation, summed over positions after the product (`pos` is null), or kept for
the last ones; with `also_last` the sums and, besides, the rows of position −1.
One forward and one backward of the model serve all sites; the gradient is projected on active
features alone.

Cost: a forward and a backward a context, and an encode of every site; memory of one batch, and of
one site's rows while they are sorted."""


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources
    from dagster_project.interp.context_features import bos_id, context_features, windows_of
    from dagster_project.interp.site_order import by_site

    study, spec = run.study, run.study.context_features
    model, dictionaries = resources.model(study), resources.dictionaries(study, run.lake)
    tokens = run.scan("tokens", shard=run.partition)
    contexts = windows_of(contexts_of_shard(run), tokens, study.contexts.n_ctx)
    tally = Tally(dictionaries, spec)
    with (
        run.writer("context_features", kind="shard") as writer,
        progress(run, "context_features", "contexts", len(contexts)) as advance,
    ):
        frames = context_features(
            model, dictionaries, contexts, spec, study.compute.batch_tokens, advance
        )
        for frame in by_site(frames, run.lake.folder("_scratch", study=study.name)):
            writer.append(frame)
            tally.add(frame)
    expected = with_tokens(contexts, bos_id(model, spec))
    figures = tally.figures(len(contexts), run.size("context_features", kind="shard"))
    return StageResult(figures, tally.checks(expected), tally.plot())


def contexts_of_shard(run: StageRun) -> pl.DataFrame:
    """The study's contexts in documents of this shard."""
    from dagster_project.interp.corpus import ROWS_PER_ORDINAL

    shard = pl.col("doc_id") // ROWS_PER_ORDINAL == int(run.partition)
    columns = ("context_id", "doc_id", "pos", "answer_id")
    return run.scan("contexts").filter(shard).select(columns).collect()


def with_tokens(contexts: list[Window], bos: int | None) -> set[int]:
    """context_id of the contexts that are more than a BOS left out."""
    return {w.context_id for w in contexts if len(w.ids) > 1 or w.ids[0] != bos}


class Tally:
    """What the shard's rows come to."""

    def __init__(self, dictionaries: Mapping[str, Dictionary], spec: ContextFeaturesSpec) -> None:
        self.dictionaries = dictionaries
        self.sums_alone = spec.also_last  # the last position's rows are in the sums already
        self.rows = self.nodes = 0
        self.unfit = 0  # rows with a NaN or infinity
        self.negative = 0  # rows with a negative activation where there should be none
        self.outside = 0  # rows of a feature that the dictionary does not have
        self.contexts: set[int] = set()
        self.effects: dict[str, tuple[float, float]] = {}  # site -> Σ|effect| of features, errors

    def add(self, frame: pl.DataFrame) -> None:
        """The rows of one site."""
        from dagster_project.interp.context_features import EFFECT

        site = frame["site"][0]
        dictionary, feature = self.dictionaries[site], pl.col("feature")
        numbers = pl.col("activation", "gradient", "effect").fill_null(0.0)
        effect = EFFECT.cast(pl.Float64)
        counted = pl.col("pos").is_null() if self.sums_alone else pl.lit(True)
        error, size = feature == -1, effect.abs()
        found = frame.select(
            nodes=feature.filter(counted).len(),
            unfit=(~(pl.all_horizontal(numbers.is_finite()) & effect.is_finite())).sum(),
            negative=(pl.col("activation") < 0).sum(),
            outside=(~feature.is_between(-1, dictionary.n_features - 1)).sum(),
            features=size.filter(counted & ~error).sum(),
            errors=size.filter(counted & error).sum(),
        ).row(0, named=True)
        self.rows += len(frame)
        self.nodes += found["nodes"]
        self.unfit += found["unfit"]
        self.outside += found["outside"]
        self.negative += 0 if _signed(dictionary) else found["negative"]
        self.contexts.update(frame["context_id"].unique())
        self.effects[site] = (found["features"], found["errors"])

    def figures(self, n_contexts: int, size: int) -> dict[str, int | float]:
        """Metadata of the partition; size: its bytes."""
        features, errors = (sum(e[i] for e in self.effects.values()) for i in (0, 1))
        return {
            "contexts": n_contexts,
            "contexts_without_nodes": n_contexts - len(self.contexts),
            "bytes_per_row": size / max(self.rows, 1),
            "bytes_per_context": size / max(n_contexts, 1),
            "nodes_per_context": self.nodes / max(len(self.contexts), 1),
            "feature_share": features / (features + errors) if features + errors else 0.0,
        }

    def checks(self, expected: set[int]) -> list[Check]:
        """The stage's checks."""
        missing, foreign = expected - self.contexts, self.contexts - expected
        return [
            Check("finite", self.unfit == 0, {"rows": self.rows, "not_finite": self.unfit}),
            Check("not_negative", self.negative == 0, {"negative_activations": self.negative}),
            Check("known_features", self.outside == 0, {"outside": self.outside}),
            Check(
                "every_context",
                not missing and not foreign,
                {"expected": len(expected), "missing": len(missing), "foreign": len(foreign)},
            ),
        ]

    def plot(self) -> bytes:
        """Σ|effect| of each site's features and errors."""
        sites = [site for site in self.dictionaries if site in self.effects]
        features, errors = ([self.effects[site][i] for site in sites] for i in (0, 1))

        def draw(axes: Axes) -> None:
            axes.bar(sites, features, label="features")
            axes.bar(sites, errors, bottom=features, label="error nodes")
            axes.set_ylabel("Σ|effect|")
            axes.tick_params(axis="x", rotation=90, labelsize=7)
            axes.legend()

        return png(draw, names=True)


def _signed(dictionary: Dictionary) -> bool:
    """Whether activations may be negative: those of neurons are."""
    from dagster_project.interp.dictionary import IdentityDictionary

    return isinstance(dictionary, IdentityDictionary)


STAGE = Stage(
    name="context_features",
    doc=DOC,
    partition="shard",
    tables=("context_features",),
    inputs=("contexts", "tokens", "dictionaries", "model"),
    reads=lambda study, _: {
        "n_ctx": study.contexts.n_ctx,
        "context_features": study.context_features,
    },
    compute=compute,
    checks={
        "finite": "No activation, gradient or effect is NaN or infinite.",
        "not_negative": "Activations are not negative, but for neurons.",
        "known_features": "Every feature is one of its site's dictionary, or −1.",
        "every_context": "Every context of the shard has nodes, unless it is a left-out BOS alone.",
    },
    code_version="2",  # effects that are products are not stored
    pool="gpu",
    kinds=("parquet", "pytorch"),
)
