"""The stage `losses`: how well the model predicts each token of a shard."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from dagster_project.assets import scratch
from dagster_project.assets.plot import png
from dagster_project.assets.progress import progress
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOC = """Loss, rank and entropy of every predicted token, in nats, with what induction and the
corpus's rules say of it.

loss[t] = −log p(x_t | x_<t), float32 whatever the model's dtype. Batches are length-bucketed and
hold at most `compute.batch_tokens` tokens (2048 on a CPU), padding included. 128 of them make a
window of documents: a computation that was killed goes on after the last one that it finished.

Cost: 2 FLOPs a parameter and token; about 12 bytes a predicted token on disk."""

BINS, LARGEST = 60, 15.0  # of the histogram; LARGEST in nats


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources
    from dagster_project.interp.kept import Kept
    from dagster_project.interp.losses import losses

    model = resources.model(run.study)
    columns = ["doc_id", "pos", "token_id", "piece"]
    tokens = run.scan("tokens", shard=run.partition).select(columns).collect()
    documents = run.scan("documents", shard=run.partition).select("doc_id", "pieces")
    pieces = documents.drop_nulls("pieces").collect()
    limit, batch_tokens = run.study.tokens.max_tokens, run.study.compute.batch_tokens
    tally, kept = Tally(), Kept(scratch.folder(run, STAGE.name))
    with (
        run.writer("losses", kind="shard") as writer,
        progress(run, "losses", "tokens", len(tokens)) as advance,
    ):
        for frame in losses(model, tokens, pieces, limit, batch_tokens, advance, kept):
            writer.append(frame)
            tally.add(frame)
    expected = len(tokens) - tokens["doc_id"].n_unique()
    return StageResult(tally.figures(), _checks(tally, expected, model.n_vocab), tally.plot())


class Tally:
    """What the shard's losses come to."""

    def __init__(self) -> None:
        self.rows = self.top = self.trigrams = self.with_piece = 0
        self.unfit = self.negative = 0  # rows with a NaN or infinity; with a loss below 0
        self.loss = self.entropy = 0.0  # sums, nats
        self.counts = [0] * BINS  # of losses, LARGEST / BINS wide

    def add(self, frame: pl.DataFrame) -> None:
        loss, entropy = frame["loss"].cast(pl.Float64), frame["entropy"].cast(pl.Float64)
        self.rows += len(frame)
        self.top += int((frame["rank"] == 0).sum())
        self.trigrams += int(frame["trigram_seen"].sum())
        self.with_piece += len(frame) - frame["piece"].null_count()
        self.unfit += int((~(loss.is_finite() & entropy.is_finite())).sum())
        self.negative += int((loss < 0).sum())
        self.loss += float(loss.sum())
        self.entropy += float(entropy.sum())
        bins = (loss.fill_nan(LARGEST) * (BINS / LARGEST)).clip(0, BINS - 1).cast(pl.Int64)
        for index, count in bins.value_counts().iter_rows():
            self.counts[index] += count

    @property
    def mean_loss(self) -> float:
        return self.loss / max(self.rows, 1)

    def figures(self) -> dict[str, int | float]:
        rows = max(self.rows, 1)
        return {
            "predicted_tokens": self.rows,
            "mean_loss": self.mean_loss,
            "mean_entropy": self.entropy / rows,
            "top_choice_share": self.top / rows,
            "trigram_seen_share": self.trigrams / rows,
            "tokens_with_a_piece": self.with_piece,
        }

    def plot(self) -> bytes:
        """Histogram of the losses; its last bar holds all beyond."""
        edges = [i * LARGEST / BINS for i in range(BINS + 1)]

        def draw(axes: Axes) -> None:
            axes.stairs(self.counts, edges, fill=True)
            axes.axvline(self.mean_loss, color="black", label=f"mean {self.mean_loss:.3f}")
            axes.set(xlabel="loss (nats)", ylabel="tokens", yscale="log", xlim=(0, LARGEST))
            axes.legend()

        return png(draw)


def _checks(tally: Tally, expected: int, n_vocab: int) -> list[Check]:
    rows = {"losses": tally.rows, "predicted_tokens": expected}
    uniform = math.log(n_vocab)
    mean = {"mean_loss": tally.mean_loss, "ln_vocabulary": uniform}
    return [
        Check("all_predicted", tally.rows == expected, rows),
        Check("finite", tally.unfit == 0, {"not_finite": tally.unfit}),
        Check("not_negative", tally.negative == 0, {"negative": tally.negative}),
        Check("better_than_uniform", tally.mean_loss < uniform, mean),
    ]


STAGE = Stage(
    name="losses",
    doc=DOC,
    partition="shard",
    tables=("losses",),
    inputs=("tokens", "documents", "model"),
    reads=lambda study, _: {"max_tokens": study.tokens.max_tokens},
    compute=compute,
    checks={
        "all_predicted": "One row for each token but the first of its document.",
        "finite": "No loss or entropy is NaN or infinite.",
        "not_negative": "No loss is below 0.",
        "better_than_uniform": "The mean loss is below ln(vocabulary), that of a uniform guess.",
    },
    pool="gpu",
    kinds=("parquet", "pytorch"),
)
