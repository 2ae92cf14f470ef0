"""The stage `contexts`: predicted tokens chosen for study, once for all shards."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import polars as pl

from dagster_project.assets.progress import progress
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.studies.study import ContextsSpec

DOC = """Chooses contexts: answer tokens that the model predicts well, with the n_ctx tokens before.

Each shard proposes the tokens that pass the filters, in documents that repeat none of any shard;
one seeded choice over all of them keeps the quotas and leaves out repeated windows. With strata of
skills or rules only tokens that start a piece whose rule the corpus knows take part. What target or
quotas ask for and the corpus does not have is reported, never filled. `context_loss` is the model's
loss of the answer given the window alone.

Cost: two passes over losses, three with strata of rules; about two over tokens, three where
n-grams are looked for in windows; one forward of target × n_ctx tokens."""


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources
    from dagster_project.interp.contexts import (
        context_losses,
        originals,
        proposals,
        select,
        windows,
    )
    from dagster_project.interp.strata import counts, known_strata
    from dagster_project.interp.tokens import TokenTexts

    model, spec = resources.model(run.study), run.study.contexts
    tokens, documents = run.scan_shards("tokens"), originals(run.scan_shards("documents"))
    with progress(run, "contexts", "shards", len(run.shards)) as advance:
        proposed, known = [], set[str]()
        for shard in run.shards:
            losses = run.scan("losses", shard=shard)
            proposed.append(proposals(losses, documents, run.scan("tokens", shard=shard), spec))
            known |= known_strata(losses, documents, spec)
            advance(1)
    chosen = select(pl.concat(proposed), tokens, spec)
    texts = TokenTexts(model.tokenizer)
    before = windows(chosen.contexts, tokens, spec.n_ctx)
    answers = chosen.contexts["answer_id"]
    batch_tokens = run.study.compute.batch_tokens
    contexts = chosen.contexts.with_columns(
        context_losses(model, before, answers, batch_tokens),
        pl.Series("answer", [texts[i] for i in answers], dtype=pl.String),
    )
    with run.writer("contexts", kind="study") as writer:
        writer.append(contexts)
    if chosen.shortfall:
        run.log(f"{len(contexts)} contexts, {chosen.shortfall} fewer than the target")
    strata = counts(chosen.of_stratum, known)
    for name, count in strata.filter(pl.col("contexts") < spec.per_stratum).iter_rows():
        if name in known:
            run.log(f"{name}: {count} contexts, {spec.per_stratum - count} fewer than the quota")
    figures = {
        "contexts": len(contexts),
        "shortfall": chosen.shortfall,
        "proposed": chosen.n_proposed,
        "candidates": chosen.n_candidates,
        "repeated_windows": chosen.n_repeated,
        "documents": contexts["doc_id"].n_unique(),
        "distinct_answers": answers.n_unique(),
        "mean_loss": _mean(contexts["loss"]),
        "mean_context_loss": _mean(contexts["context_loss"]),
        **_stratum_figures(strata, spec),
    }
    return StageResult(figures, _checks(contexts, strata, spec))


def _stratum_figures(strata: pl.DataFrame, spec: ContextsSpec) -> dict[str, int | str]:
    if strata.is_empty():
        return {}
    smallest, count = strata.row(0)
    return {
        "strata": len(strata),
        "smallest_stratum": smallest,
        "contexts_of_smallest_stratum": count,
        "strata_below_quota": int((strata["contexts"] < spec.per_stratum).sum()),
    }


def _checks(contexts: pl.DataFrame, strata: pl.DataFrame, spec: ContextsSpec) -> list[Check]:
    from dagster_project.interp.contexts import largest_loss

    largest = max(contexts["loss"], default=0.0)
    finite = contexts["context_loss"].is_finite() & (contexts["context_loss"] >= 0)
    per_document = contexts.group_by("doc_id").len()["len"]
    most, quota = max(per_document, default=0), spec.per_document
    most_of_stratum = max(strata["contexts"], default=0)
    within = (not quota or most <= quota) and most_of_stratum <= spec.per_stratum
    limit = float(np.float32(largest_loss(spec)))  # as losses are stored
    distinct = contexts["context_id"].n_unique()
    return [
        Check("some", len(contexts) > 0, {"contexts": len(contexts), "target": spec.target}),
        Check("distinct", distinct == len(contexts), {"distinct": distinct}),
        Check(
            "within_limits",
            largest <= limit and within,
            {
                "largest_loss": largest,
                "max_loss": limit,
                "most_per_document": most,
                "most_per_stratum": most_of_stratum,
            },
        ),
        Check("context_losses", bool(finite.all()), {"unfit": int((~finite).sum())}),
    ]


def _mean(values: pl.Series) -> float | None:
    return float(values.cast(pl.Float64).mean()) if len(values) else None  # type: ignore[arg-type]


STAGE = Stage(
    name="contexts",
    doc=DOC,
    partition="study",
    tables=("contexts",),
    inputs=("losses", "tokens", "documents", "model"),
    reads=lambda study, _: asdict(study.contexts),
    shards=lambda study: study.contexts.shards,
    compute=compute,
    checks={
        "some": "At least one context passes the filters.",
        "distinct": "Every context_id occurs once.",
        "within_limits": "No loss is above max_loss (in nats); no document has more contexts than "
        "per_document, no stratum more than per_stratum.",
        "context_losses": "Every context_loss is finite and not below 0.",
    },
    pool="gpu",
    kinds=("parquet", "pytorch"),
)
