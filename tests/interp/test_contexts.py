"""Contexts: filters, quotas, repeated windows, and losses on the window alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.interp import contexts as module
from dagster_project.interp.contexts import (
    context_losses,
    mix,
    originals,
    proposals,
    select,
    windows,
)
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.strata import counts, known_strata
from dagster_project.studies.study import ContextsSpec

torch.set_num_threads(1)

TYPES = {
    "doc_id": pl.Int64,
    "pos": pl.UInt16,
    "token_id": pl.UInt32,
    "loss": pl.Float32,
    "skill": pl.String,
    "slot": pl.String,
    "subset": pl.String,
}


def tokens_of(documents: Mapping[int, Sequence[int]]) -> pl.LazyFrame:
    rows = [(d, pos, t) for d, ids in documents.items() for pos, t in enumerate(ids)]
    schema = {name: TYPES[name] for name in ("doc_id", "pos", "token_id")}
    return pl.LazyFrame(rows, schema=schema, orient="row")


def proposed_of(
    documents: Mapping[int, Sequence[int]],
    rules: Mapping[int, tuple[str, str | None]] | None = None,
) -> pl.DataFrame:
    """Every predicted token, with loss 0.01; rules: skill and slot of each token, if known.
    Documents of odd number are of subset `odd`, the others of none."""
    predicted = tokens_of(documents).filter(pl.col("pos") > 0).collect()
    known = [(rules or {}).get(token, (None, None)) for token in predicted["token_id"]]
    skills, slots = [skill for skill, _ in known], [slot for _, slot in known]
    columns = predicted.with_columns(
        loss=0.01,
        skill=pl.Series(skills, dtype=pl.String),
        slot=pl.Series(slots, dtype=pl.String),
        subset=pl.when(pl.col("doc_id") % 2 == 1).then(pl.lit("odd")),
    )
    return columns.cast(TYPES)  # type: ignore[arg-type]


def spec(**values: int | float | bool | str) -> ContextsSpec:
    return ContextsSpec(**{"per_document": 0, "n_ctx": 3, **values})  # type: ignore[arg-type]


def chosen(documents: Mapping[int, Sequence[int]], rules: ContextsSpec) -> list[tuple[int, int]]:
    found = select(proposed_of(documents), tokens_of(documents), rules)
    assert found.contexts["context_id"].is_sorted()
    assert len(found.contexts) + found.shortfall == rules.target
    return list(found.contexts.select("doc_id", "pos").iter_rows())


def test_filters_by_hand() -> None:
    losses = pl.LazyFrame(
        {
            "doc_id": [1, 1, 1, 1, 2, 3],
            "pos": [1, 2, 3, 4, 1, 1],
            "token_id": [7] * 6,
            "loss": [0.05, 0.1, 0.2, 0.0, 0.0, float("nan")],
            "trigram_seen": [False, False, False, True, False, False],
            "bigram_seen": [False, True, False, True, False, False],
            "skill": [None] * 6,
            "slot": [None] * 6,
        },
        schema_overrides={"loss": pl.Float32},
    )
    documents = pl.DataFrame({"doc_id": [1, 3], "subset": ["web", None]})  # 2 is a duplicate
    tokens = tokens_of({1: [0, 7, 7, 7, 7], 3: [0, 7]})

    def positions(rules: ContextsSpec) -> list[int]:
        found = proposals(losses, documents, tokens, rules)
        assert set(found["subset"]) == {"web"}
        return found["pos"].to_list()

    limit = float(np.float32(0.1))
    assert positions(spec(max_loss=limit)) == [1, 2]
    assert positions(spec(max_loss=0.15, loss_unit="bits")) == [1, 2]  # 0.104 nats
    assert positions(spec(max_loss=0.14, loss_unit="bits")) == [1]  # 0.097 nats
    assert positions(spec(max_loss=limit, skip_bigrams=True)) == [1]
    assert positions(spec(max_loss=limit, skip_trigrams=False)) == [1, 2, 4]


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ({"skip_trigrams": False}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"skip_trigrams": False, "skip_repeated": True}, [1, 2, 3, 5]),  # and 0 at the start
        ({"skip_trigrams": False, "skip_repeated": True, "seen_in": "window"}, [1, 2, 3, 5, 6, 8]),
        ({"seen_in": "window", "n_ctx": 7}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"seen_in": "window", "n_ctx": 8}, [1, 2, 3, 4, 5, 6, 7]),
        ({"seen_in": "window", "skip_bigrams": True, "n_ctx": 6}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"seen_in": "window", "skip_bigrams": True, "n_ctx": 7}, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_what_stands_in_the_window_or_document_already(
    rules: dict[str, bool | str | int], left: list[int]
) -> None:
    """The document is 0 1 2 3 1 4 0 1 2, windows have three tokens unless said otherwise. At 7
    the bigram 0 1 stands again, six tokens after the first, and at 8 the trigram 0 1 2: a window
    has to reach seven and eight tokens back to hold them."""
    ids = [0, 1, 2, 3, 1, 4, 0, 1, 2]
    losses = (
        proposed_of({1: ids})
        .lazy()
        .with_columns(loss=pl.lit(0.0, pl.Float32), trigram_seen=False, bigram_seen=False)
    )
    documents = pl.DataFrame({"doc_id": [1]}, schema={"doc_id": pl.Int64}).with_columns(subset=None)
    found = proposals(losses.drop("subset"), documents, tokens_of({1: ids}), spec(**rules))
    assert found["pos"].to_list() == left


def test_with_a_quota_only_tokens_that_start_a_known_rule_are_proposed() -> None:
    columns = ["doc_id", "pos", "piece", "skill", "slot", "surprisal", "loss"]
    rows = [
        (1, 1, 0, None, None, 2.0, 0.0),  # no rule
        (1, 2, 1, "sum", "digit", 0.0, 0.05),  # proposed
        (1, 3, 1, "sum", "digit", 0.0, 0.0),  # the same piece
        (1, 4, 2, "sum", "digit", 0.0, 3.0),  # not predicted well
        (1, 5, 2, "sum", "digit", 0.0, 0.0),  # but the rest of its piece
        (1, 6, None, None, None, None, 0.0),  # no piece
        (2, 1, 0, "sum", "digit", None, 0.0),  # the rest of a piece that begins the document
        (2, 2, 1, "sum", "digit", 0.0, 0.0),  # proposed: the same numbers as in document 1
        (3, 1, 0, "copy", None, 0.0, 0.0),  # proposed, behind a BOS
        (3, 9, 5, "copy", None, None, 0.0),  # proposed: a piece that is cut off later
    ]
    losses = pl.LazyFrame(rows, columns, orient="row").with_columns(
        token_id=7, trigram_seen=False, bigram_seen=False
    )
    documents = pl.DataFrame({"doc_id": [1, 2, 3]}).with_columns(subset=pl.lit("web"))
    by_rule, none = spec(stratify="rule", per_stratum=1), tokens_of({})
    found = proposals(losses, documents, none, by_rule)
    assert found.select("doc_id", "pos").rows() == [(1, 2), (2, 2), (3, 1), (3, 9)]
    assert found.select("skill", "slot").rows() == [("sum", "digit")] * 2 + [("copy", None)] * 2
    assert len(proposals(losses, documents, none, spec())) == 9
    assert known_strata(losses, documents, by_rule) == {"sum/digit", "copy"}
    by_skill = spec(stratify="skill", per_stratum=1)
    assert proposals(losses, documents, none, by_skill).equals(found)
    assert known_strata(losses, documents, by_skill) == {"sum", "copy"}
    assert known_strata(losses, documents, spec(stratify="subset")) == {"web"}
    assert known_strata(losses, documents, spec(stratify="answer")) == set()


def test_originals_come_first() -> None:
    columns = {"doc_id": [5, 1, 9, 2], "content_hash": list("abab"), "pile_set_name": list("wxyz")}
    assert originals(pl.LazyFrame(columns)).rows() == [(1, "x"), (5, "w")]


def test_windows_at_a_start_and_within() -> None:
    tokens = tokens_of({3: [10, 11, 12, 13, 14], 4: [20, 21]})
    where = pl.DataFrame(
        {"doc_id": [4, 3, 3], "pos": [1, 4, 2]}, schema_overrides={"pos": pl.UInt16}
    )
    assert windows(where, tokens, 3).to_list() == [[20], [11, 12, 13], [10, 11]]
    whole = windows(where, tokens, 3, answer=True)
    assert whole.to_list() == [[20, 21], [11, 12, 13, 14], [10, 11, 12]]
    assert whole.dtype == pl.List(pl.UInt32)


@pytest.mark.parametrize(("doc_id", "pos"), [(3, 5), (7, 1)])
def test_windows_outside_a_document(doc_id: int, pos: int) -> None:
    where = pl.DataFrame({"doc_id": [doc_id], "pos": [pos]})
    with pytest.raises(ValueError, match=f"document {doc_id}, position {pos}"):
        windows(where, tokens_of({3: [1, 2, 3, 4, 5]}), 3)


def test_repeated_windows_are_chosen_once() -> None:
    """Two documents that begin alike: position 1 and 2 of either are the same contexts."""
    documents = {0: [1, 2, 3, 4], 1: [1, 2, 3, 5]}
    found = select(proposed_of(documents), tokens_of(documents), spec(target=10))
    assert len(found.contexts) == 4
    assert (found.n_proposed, found.n_candidates, found.n_repeated) == (6, 6, 2)
    assert found.shortfall == 6
    assert sorted(found.contexts["pos"]) == [1, 2, 3, 3]


def test_context_ids_are_stable_and_say_where() -> None:
    documents = {2_000_000: [1, 2, 3], 99_999_999_999: [4, 5]}
    found = select(proposed_of(documents), tokens_of(documents), spec(target=9)).contexts
    ids = found["context_id"]
    assert ids.dtype == pl.Int64
    assert [divmod(i, 65_536) for i in ids] == list(found.select("doc_id", "pos").iter_rows())


def test_every_kth_in_document_order() -> None:
    documents = {0: [1, 2, 3, 4], 5: [5, 6, 7, 8]}
    assert chosen(documents, spec(every=4, target=9)) == [(0, 1), (5, 2)]


def test_nothing_proposed() -> None:
    assert chosen({0: [1]}, spec(target=3)) == []


RULES: dict[int, tuple[str, str | None]] = {
    0: ("sum", "digit"),
    1: ("sum", "carry"),
    2: ("sum", None),
    3: ("copy", "digit"),
}
"""Skill and slot of each token that the documents below have."""


@pytest.mark.parametrize("seed", range(4))
def test_quotas_by_hand(seed: int) -> None:
    """Rule sum/digit has one window three times and another once; a quota of two takes both.
    Rule sum has five windows of which it takes two, sum/carry one of two that it may."""
    documents = {0: [9, 0], 1: [9, 0], 2: [9, 0], 3: [8, 0], 5: [8, 1]}
    documents |= {10 + i: [20 + i, 2] for i in range(5)}
    proposed, tokens = proposed_of(documents, RULES), tokens_of(documents)
    by_rule = spec(stratify="rule", per_stratum=2, target=50, seed=seed)
    found = select(proposed, tokens, by_rule)
    counted = counts(found.of_stratum, {"sum", "sum/digit", "sum/carry", "date/day"})
    assert counted.rows() == [("date/day", 0), ("sum/carry", 1), ("sum", 2), ("sum/digit", 2)]
    assert 3 in found.contexts["doc_id"]
    assert found.shortfall == 45
    few = select(proposed, tokens, replace(by_rule, target=3)).contexts
    assert len(few) == 3  # the target caps
    assert set(few["context_id"]) <= set(found.contexts["context_id"])


@pytest.mark.parametrize(
    ("stratify", "expected"),
    [
        ("subset", {"odd": 2, "unknown": 2}),
        ("answer", {"0": 2, "1": 1, "2": 2}),
        ("skill", {"sum": 2}),
        ("", {}),
    ],
)
def test_strata_of_every_kind(stratify: str, expected: dict[str, int]) -> None:
    """Answers 0, 1 and 2, all of skill sum, five, one and five times, in windows of their own."""
    documents = {i: [40 + i, 0] for i in range(5)} | {5: [45, 1]}
    documents |= {10 + i: [20 + i, 2] for i in range(5)}
    by = spec(stratify=stratify, per_stratum=2 if stratify else 0, target=50)
    found = select(proposed_of(documents, RULES), tokens_of(documents), by)
    assert found.of_stratum == expected
    assert len(found.contexts) == (sum(expected.values()) or 11)
    assert "subset" not in found.contexts.columns


@pytest.mark.parametrize("seed", range(8))
def test_a_window_passed_over_for_its_quota_may_be_another_rules(seed: int) -> None:
    """Documents 1 and 2 have one window under two rules: it is chosen once, for `b` unless it was
    chosen for `a`."""
    documents = {0: [9, 0], 1: [8, 0], 2: [8, 0]}
    proposed = proposed_of(documents, {0: ("a", None)}).with_columns(
        skill=pl.Series(["a", "a", "b"])
    )
    found = select(
        proposed, tokens_of(documents), spec(stratify="rule", per_stratum=1, target=9, seed=seed)
    )
    chosen_rules = sorted(found.contexts["skill"])
    first = found.contexts.filter(skill="a")["doc_id"].to_list()
    assert chosen_rules == (["a", "b"] if first == [0] else ["a"])


DOCUMENTS = st.dictionaries(
    st.integers(0, 30), st.lists(st.integers(0, 3), min_size=1, max_size=8), max_size=8
)


@given(
    documents=DOCUMENTS,
    target=st.integers(1, 12),
    per_document=st.integers(0, 2),
    seed=st.integers(0, 3),
)
def test_what_every_choice_keeps(
    documents: dict[int, list[int]], target: int, per_document: int, seed: int
) -> None:
    rules = spec(target=target, per_document=per_document, seed=seed)
    found = chosen(documents, rules)
    assert found == chosen(dict(reversed(documents.items())), rules)  # order of work is nothing
    assert len(found) <= target
    if per_document:
        assert max(Counter(doc for doc, _ in found).values(), default=0) <= per_document
    whole = {tuple(documents[doc][max(0, pos - 3) : pos + 1]) for doc, pos in found}
    assert len(whole) == len(found)
    if not per_document:  # all that there is, where there is not enough
        possible = {
            tuple(ids[max(0, pos - 3) : pos + 1])
            for ids in documents.values()
            for pos in range(1, len(ids))
        }
        assert len(found) == min(target, len(possible))


@given(documents=DOCUMENTS, quota=st.integers(1, 4), target=st.integers(1, 20))
def test_what_quotas_keep(documents: dict[int, list[int]], quota: int, target: int) -> None:
    """Each rule has its quota, or all the windows that there are of it; unless the target caps."""

    def of(work: dict[int, list[int]]) -> pl.DataFrame:
        rules = spec(stratify="rule", per_stratum=quota, target=target)
        return select(proposed_of(work, RULES), tokens_of(work), rules).contexts

    found = of(documents)
    assert found.equals(of(dict(reversed(documents.items()))))
    possible = {
        tuple(ids[max(0, pos - 3) : pos + 1])
        for ids in documents.values()
        for pos in range(1, len(ids))
    }
    wanted = {
        rule: min(quota, sum(window[-1] == token for window in possible))
        for token, rule in RULES.items()
    }
    got = Counter(found.select("skill", "slot").iter_rows())
    assert len(found) == min(target, sum(wanted.values()))
    assert all(got[rule] <= n for rule, n in wanted.items())


@pytest.mark.parametrize("quota", [0, 5])
def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch, quota: int) -> None:
    random = np.random.default_rng(1)
    documents = {i: random.integers(0, 3, 20).tolist() for i in range(20)}
    proposed, tokens = proposed_of(documents, RULES), tokens_of(documents)
    rules = spec(target=60, stratify="rule" if quota else "", per_stratum=quota)
    whole = select(proposed, tokens, rules)
    monkeypatch.setattr(module, "CHUNK", 7)
    found = select(proposed, tokens, rules)
    assert found.contexts.equals(whole.contexts)
    assert found[1:] == whole[1:]
    assert len(whole.contexts) == (15 if quota else 60)


def test_choice_is_seeded_and_uniform() -> None:
    """Of 2,000 documents with 4 tokens to predict, one each: each position in a quarter; and of
    10 times as many candidates as wanted, the early documents are not preferred."""
    documents = {i: [1000 + i, i, i, i, i] for i in range(2000)}
    rules = spec(target=2000, per_document=1)
    positions = Counter(pos for _, pos in chosen(documents, rules))
    assert all(400 < positions[pos] < 600 for pos in (1, 2, 3, 4))
    few = chosen(documents, spec(target=200, per_document=1))
    assert 800 < np.mean([doc for doc, _ in few]) < 1200
    assert few != chosen(documents, spec(target=200, per_document=1, seed=1))


def test_mix_is_splitmix64() -> None:
    """First outputs of the generator seeded with 0 and 1, as published with the algorithm."""
    assert mix(np.array([0, 1]), 0).tolist() == [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1]
    assert len(set(mix(np.arange(10_000), 7).tolist())) == 10_000


def test_context_losses_are_those_of_the_window(any_model: LanguageModel) -> None:
    random = np.random.default_rng(0)
    sequences = [random.integers(0, 96, n).tolist() for n in (1, 7, 3, 12, 7)]
    answers = [4, 0, 95, 7, 7]
    found = context_losses(any_model, pl.Series(sequences), pl.Series(answers), batch_tokens=20)
    for ids, answer, loss in zip(sequences, answers, found, strict=True):
        with torch.no_grad():
            logits = any_model.hf(torch.tensor([ids]), use_cache=False).logits[0, -1].double()
        assert loss == pytest.approx(float(logits.logsumexp(-1) - logits[answer]), abs=1e-5)
    assert found.dtype == pl.Float32
    none = context_losses(any_model, pl.Series([], dtype=pl.List(pl.UInt32)), pl.Series([]), 20)
    assert none.is_empty()
