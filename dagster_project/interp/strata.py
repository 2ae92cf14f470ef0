"""Strata of contexts: the kinds of which a choice takes equally many, as far as there are so many.

A stratum is a subset of the corpus, an answer token (its id as text), a skill, or a rule: a skill
and a slot in it, where the corpus knows what is behind a token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from dagster_project.studies.study import ContextsSpec

BY_RULE = ("skill", "rule")
"""Strata that only the first token of a piece of known rule has."""
NO_SUBSET = "unknown"
"""Stratum of the documents whose subset is not known."""

RULE = (
    pl.when(pl.col("skill").is_not_null())
    .then(pl.concat_str("skill", "slot", separator="/", ignore_nulls=True))
    .alias("rule")
)
"""A rule by its name: `skill/slot`, or the skill where there is no slot; null where unknown."""
_SUBSET = pl.col("subset").fill_null(NO_SUBSET)


def stratum(spec: ContextsSpec) -> pl.Expr:
    """Of a candidate (answer_id, subset, skill, slot): a name, null where nothing is stratified."""
    names = {
        "": pl.lit(None, pl.String),
        "subset": _SUBSET,
        "answer": pl.col("answer_id").cast(pl.String),
        "skill": pl.col("skill"),
        "rule": RULE,
    }
    return names[spec.stratify]


def starts_rule() -> pl.Expr:
    """Whether a row of losses is the first token of a piece whose rule is known.

    The document's first token has no loss, so that a row at position 1 may be the second token of
    its piece; the surprisal, null for a piece that is not predicted in whole, tells.
    """
    first = pl.col("pos") == pl.col("pos").min().over("doc_id", "piece")
    whole = (pl.col("pos") > 1) | pl.col("surprisal").is_not_null()
    return pl.col("skill").is_not_null() & first & whole


def known_strata(losses: pl.LazyFrame, documents: pl.DataFrame, spec: ContextsSpec) -> set[str]:
    """Strata of a shard's losses and of documents (subset), of which none may be chosen too; of
    answers none: any token could be one."""
    if spec.stratify == "subset":
        return set(documents.select(_SUBSET)["subset"])
    if spec.stratify not in BY_RULE:
        return set()
    pairs = losses.select("skill", "slot").drop_nulls("skill").unique().collect()
    return set(pairs.select(stratum(spec)).to_series())


def counts(chosen: Mapping[str, int], known: Iterable[str]) -> pl.DataFrame:
    """How many contexts each stratum has, none included: stratum, contexts; fewest first."""
    every = {**dict.fromkeys(known, 0), **chosen}
    columns = {"stratum": list(every), "contexts": list(every.values())}
    frame = pl.DataFrame(columns, schema={"stratum": pl.String, "contexts": pl.Int64})
    return frame.sort("contexts", "stratum")
