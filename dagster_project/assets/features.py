"""The stage `features`: what each feature of each dictionary does on the corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from dagster_project.assets.plot import png
from dagster_project.assets.progress import progress
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.studies.study import Dtype

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dagster_project.interp.feature_tokens import FeatureTokens
    from dagster_project.interp.features import SiteFeatures

DOC = """Every feature of every site on the corpus's first `features.tokens` tokens: how often it is
above 0, a histogram of its activations, the tokens on which it is strongest, tokens drawn from
each interval of its activation, and the features that point in the same direction or fire on the
same tokens.

BOS and padding never count. The histogram reaches up to the next power of two, in 32 equal bins;
intervals are an eighth of that. No two examples of a feature have the same context, which is the
token with the `features.n_ctx` before it; which ones are drawn is a matter of their content, not of
the order of documents. Around each example it is kept where else the feature is above 0, and what
it adds there to the losses after it, to first order. Common tokens are counted on a sample of
65,536.

Cost: two forwards and a backward of these tokens and two encodes of every site. Memory: one batch
and its graph, and the examples and histogram of every feature (12 bytes an example, 12 an active
token around it, 4 a bin)."""

RECOMPUTED = 16  # examples of each site, computed again from their documents alone
AGREE: dict[Dtype, float]  # relative, of an activation computed again
AGREE = {"float64": 1e-3, "float32": 1e-3, "float16": 0.02, "bfloat16": 0.1}
LEAST_AGREE = 0.98  # share: next to a threshold, or a k-th place, rounding can switch a feature off


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources
    from dagster_project.interp.feature_tokens import feature_tokens, first_tokens
    from dagster_project.interp.features import features, recompute

    study, spec = run.study, run.study.features
    model, dictionaries = resources.model(study), resources.dictionaries(study, run.lake)
    bos_id, batch_tokens = model.tokenizer.bos_token_id, study.compute.batch_tokens
    shards = (run.scan("tokens", shard=shard) for shard in run.shards)
    tokens = feature_tokens(first_tokens(shards, spec.tokens), spec.n_ctx, bos_id, model.device)
    tally = Tally(tokens, bos_id)
    with (
        run.writer("features", kind="study") as feature_writer,
        run.writer("feature_examples", kind="study") as example_writer,
        run.writer("feature_neighbours", kind="study") as neighbour_writer,
        progress(run, "features", "tokens", 2 * len(tokens.counted)) as advance,
    ):
        found = features(model, dictionaries, tokens, spec, batch_tokens, bos_id, advance)
        for site in found:
            name = pl.lit(site.site).alias("site")
            feature_writer.append(site.features.with_columns(name))
            example_writer.append(site.examples.with_columns(name))
            neighbour_writer.append(site.neighbours.with_columns(name))
            sample = some(site.examples)
            again = recompute(model, dictionaries[site.site], site.site, tokens, sample)
            tally.add(site, sample["activation"] - again, sample["activation"])
    sizes = {site: d.n_features for site, d in dictionaries.items()}
    return StageResult(tally.figures(), tally.checks(sizes, AGREE[study.model.dtype]), tally.plot())


def some(examples: pl.DataFrame) -> pl.DataFrame:
    """RECOMPUTED examples, as far apart as they can be."""
    return examples.gather_every(max(1, len(examples) // RECOMPUTED)).head(RECOMPUTED)


class Tally:
    """What the sites come to."""

    def __init__(self, tokens: FeatureTokens, bos_id: int | None) -> None:
        self.n_tokens = int(tokens.counted.sum())
        begins = [ids[0] == bos_id for ids in tokens.documents]
        self.with_bos = set(tokens.doc_id[begins].tolist())  # documents
        self.rows: dict[str, int] = {}  # site -> features
        self.density: dict[str, list[float]] = {}  # site -> of features that are alive
        self.examples = self.neighbours = self.unfit = 0
        self.miscounted = 0  # sites whose densities or histograms do not add up
        self.bare = 0  # features without what the strongest example must be, or with one if dead
        self.on_bos = self.repeated = 0  # examples
        self.recomputed = 0
        self.differences: list[float] = []  # relative, of activations computed again

    def add(self, site: SiteFeatures, difference: pl.Series, activation: pl.Series) -> None:
        """A site; difference: of some examples' activations, computed again."""
        features, examples = site.features, site.examples
        self.rows[site.site] = len(features)
        alive = features.filter(~pl.col("dead"))
        self.density[site.site] = alive["density"].to_list()
        l0 = float(features["density"].cast(pl.Float64).sum())
        counted = alive.select(pl.col("histogram").list.sum().sum()).item() or 0
        expected = site.active / self.n_tokens
        if abs(l0 - expected) > 1e-5 * max(expected, 1) or counted != site.active:
            self.miscounted += 1
        first = examples.filter(pl.col("rank") == 0).select("feature", first="activation")
        joined = alive.join(first, on="feature", how="full", coalesce=True)
        self.bare += int((joined["max_activation"].ne_missing(joined["first"])).sum())
        self.examples += len(examples)
        self.neighbours += len(site.neighbours)
        self.unfit += site.unfit
        at_start = examples.filter(pl.col("pos") == 0)["doc_id"]
        self.on_bos += sum(doc_id in self.with_bos for doc_id in at_start)
        self.repeated += int(examples.select("feature", "rank").is_duplicated().sum())
        self.differences += (difference.abs() / activation).to_list()

    def figures(self) -> dict[str, int | float]:
        """Metadata of the partition."""
        n_features = sum(self.rows.values())
        n_alive = sum(map(len, self.density.values()))
        return {
            "tokens": self.n_tokens,
            "features": n_features,
            "dead": n_features - n_alive,
            "examples": self.examples,
            "examples_per_feature": self.examples / max(n_alive, 1),
            "neighbours": self.neighbours,
            "mean_l0": sum(map(sum, self.density.values())) / max(len(self.rows), 1),
        }

    def checks(self, sizes: dict[str, int], tolerance: float) -> list[Check]:
        """The stage's checks. sizes: features of each site."""
        agree = sum(d <= tolerance for d in self.differences)
        share = agree / max(len(self.differences), 1)
        return [
            Check("every_feature", self.rows == sizes, {"features": sum(self.rows.values())}),
            Check("finite", self.unfit == 0, {"not_finite": self.unfit}),
            Check("densities_add_up", self.miscounted == 0, {"sites_amiss": self.miscounted}),
            Check("strongest_shown", self.bare == 0, {"features_amiss": self.bare}),
            Check("no_bos", self.on_bos == 0, {"examples_on_bos": self.on_bos}),
            Check("ranks", self.repeated == 0, {"repeated": self.repeated}),
            Check(
                "activations_again",
                share >= LEAST_AGREE or not self.differences,
                {"examples": len(self.differences), "agree": share, "tolerance": tolerance},
            ),
        ]

    def plot(self) -> bytes:
        """Density of the features of each site, from the densest to the rarest that is alive."""

        def draw(axes: Axes) -> None:
            for site, density in self.density.items():
                axes.plot(sorted(density, reverse=True), linewidth=1, label=site)
            axes.set(xlabel="features by density", ylabel="density", yscale="log")
            axes.legend(fontsize=6, ncols=2)

        return png(draw)


STAGE = Stage(
    name="features",
    doc=DOC,
    partition="study",
    tables=("features", "feature_examples", "feature_neighbours"),
    inputs=("dictionaries", "tokens", "model"),
    reads=lambda study, _: study.features,
    shards=lambda study: study.features.shards,
    compute=compute,
    checks={
        "every_feature": "One row for each feature of each site's dictionary.",
        "finite": "No activation is NaN or infinite.",
        "densities_add_up": "A site's densities add up to its L0 on these tokens, its histograms "
        "to its active features.",
        "strongest_shown": "The first example of each feature has its largest activation; only "
        "dead features have none.",
        "no_bos": "No example is a BOS in first place.",
        "ranks": "No rank occurs twice for a feature.",
        "activations_again": "Of some examples, computed again from their documents alone, 98 % "
        "have the same activation.",
    },
    pool="gpu",
    kinds=("parquet", "pytorch"),
)
