"""The stage `feature_logits`: the tokens that each feature raises and lowers most."""

from __future__ import annotations

import polars as pl

from dagster_project.assets.progress import progress
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun

DOC = """The ten tokens that a feature raises most and the ten that it lowers most by its own
direction alone: W_U (γ ⊙ (d − mean(d))) for its decoder row d, the final norm's weight γ and the
unembedding W_U (no mean with RMSNorm); of z through attention's projection first. That is the
feature's share of the logits for a unit activation, times the final norm's scale σ, on which
neither order nor sign depend. What later layers make of the feature is left out.

Cost: 2 d_model FLOPs a feature and token of the vocabulary."""


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources
    from dagster_project.interp.feature_logits import SHOWN, feature_logits
    from dagster_project.interp.tokens import TokenTexts

    model = resources.model(run.study)
    dictionaries = resources.dictionaries(run.study, run.lake)
    texts = TokenTexts(model.tokenizer)
    n_features = sum(d.n_features for d in dictionaries.values())
    rows = unfit = 0
    with (
        run.writer("feature_logits", kind="study") as writer,
        progress(run, "feature_logits", "features", n_features) as advance,
    ):
        for site in sorted(dictionaries):
            frame = feature_logits(model, site, dictionaries[site])
            token = pl.Series("token", [texts[i] for i in frame["token_id"]], dtype=pl.String)
            writer.append(frame.with_columns(token, site=pl.lit(site)))
            rows += len(frame)
            unfit += int((~frame["logit"].is_finite()).sum())
            advance(dictionaries[site].n_features)
    expected = 2 * n_features * min(SHOWN, len(model.tokenizer), model.n_vocab)
    checks = [
        Check("every_feature", rows == expected, {"rows": rows, "expected": expected}),
        Check("finite", unfit == 0, {"not_finite": unfit}),
    ]
    return StageResult({"features": n_features}, checks)


STAGE = Stage(
    name="feature_logits",
    doc=DOC,
    partition="study",
    tables=("feature_logits",),
    inputs=("dictionaries", "model"),
    reads=lambda _study, _partition: {},
    compute=compute,
    checks={
        "every_feature": "As many tokens of each sign for each feature of each site.",
        "finite": "No logit is NaN or infinite.",
    },
    pool="gpu",
    kinds=("parquet", "pytorch"),
)
