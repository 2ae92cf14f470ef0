"""Features on a tiny model, against a slow recomputation: one document at a time, in float64."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl
import pytest
import torch

from dagster_project.interp import feature_windows
from dagster_project.interp import features as module
from dagster_project.interp.dictionary import (
    Activation,
    Dictionary,
    IdentityDictionary,
    SparseDictionary,
)
from dagster_project.interp.feature_tokens import FeatureTokens, feature_tokens
from dagster_project.interp.features import SiteFeatures, features, recompute
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import site_names
from dagster_project.interp.sites import activations, batch_of
from dagster_project.studies.study import FeaturesSpec
from tests.conftest import SENTENCES
from tests.interp.test_feature_tokens import rows

BOS, SPEC = 1, FeaturesSpec(top=4, per_interval=2, n_ctx=3)


def sparse(seed: int, activation: Activation) -> SparseDictionary:
    draw = torch.Generator().manual_seed(seed)
    encoder, decoder = torch.randn(2, 24, 16, generator=draw)
    bias = torch.full((24,), -1.0)
    bias[:3] = -1e3  # dead
    threshold = 0.5 if activation == "jumprelu" else None
    return SparseDictionary(
        encoder,
        bias,
        decoder,
        torch.zeros(16),
        activation,
        k=5,
        threshold=threshold,
    )


@pytest.fixture(scope="module")
def dictionaries() -> dict[str, Dictionary]:
    kinds: tuple[Activation, ...] = ("relu", "topk", "jumprelu")
    made: dict[str, Dictionary] = {
        site: sparse(i, kinds[i % 3]) for i, site in enumerate(site_names(2))
    }
    made["attn_1"] = IdentityDictionary(16)
    return made


@pytest.fixture(scope="module")
def tokens(tiny_llama: LanguageModel) -> FeatureTokens:
    """40 documents, of which some are repeated in whole."""
    texts = [*SENTENCES[::14], *SENTENCES[:3]]
    documents = {100 + 7 * i: tiny_llama.tokenizer(t).input_ids for i, t in enumerate(texts)}
    return feature_tokens(rows(documents), SPEC.n_ctx, BOS)


def slow(dictionary: Dictionary, x: np.ndarray) -> np.ndarray:
    """f [token, feature] in float64, row by row."""
    if isinstance(dictionary, IdentityDictionary):
        return x
    assert isinstance(dictionary, SparseDictionary)
    weight, bias = dictionary.W_enc.double().numpy(), dictionary.b_enc.double().numpy()
    f = np.maximum(x @ weight.T + bias, 0)
    if dictionary.activation == "jumprelu":
        f[f <= 0.5] = 0
    if dictionary.activation == "topk":
        for row in f:
            row[np.argsort(row)[:-5]] = 0
    return f


@pytest.fixture(scope="module")
def expected(
    tiny_llama: LanguageModel, dictionaries: dict[str, Dictionary], tokens: FeatureTokens
) -> dict[str, dict[int, dict[tuple[int, int], float]]]:
    """site -> feature -> (doc_id, pos) -> activation above 0."""
    found: dict[str, dict[int, dict[tuple[int, int], float]]] = {
        site: defaultdict(dict) for site in dictionaries
    }
    for doc_id, ids in zip(tokens.doc_id.tolist(), tokens.documents, strict=True):
        states = activations(tiny_llama, batch_of([ids]).ids, list(dictionaries))
        for site, dictionary in dictionaries.items():
            f = slow(dictionary, states[site][0].double().numpy())
            for pos in range(1, len(ids)):  # position 0 is BOS
                for feature in f[pos].nonzero()[0]:
                    if f[pos, feature] > 0:
                        found[site][int(feature)][doc_id, pos] = f[pos, feature]
    return found


@pytest.fixture(scope="module", params=[30, 10_000])
def result(
    request: pytest.FixtureRequest,
    tiny_llama: LanguageModel,
    dictionaries: dict[str, Dictionary],
    tokens: FeatureTokens,
) -> list[SiteFeatures]:
    return list(features(tiny_llama, dictionaries, tokens, SPEC, request.param, BOS))


def test_figures_of_every_feature(
    result: list[SiteFeatures],
    expected: dict[str, dict[int, dict[tuple[int, int], float]]],
    tokens: FeatureTokens,
    dictionaries: dict[str, Dictionary],
) -> None:
    assert [r.site for r in result] == sorted(dictionaries)
    n_tokens = int(tokens.counted.sum())
    assert n_tokens == sum(len(ids) - 1 for ids in tokens.documents)
    for site in result:
        wanted = expected[site.site]
        assert len(site.features) == dictionaries[site.site].n_features
        assert site.unfit == 0
        assert site.active == sum(len(places) for places in wanted.values())
        for row in site.features.to_dicts():
            values = list(wanted[row["feature"]].values())
            assert (row["active_tokens"], row["n_tokens"]) == (len(values), n_tokens)
            assert row["density"] == pytest.approx(len(values) / n_tokens)
            assert row["dead"] == (not values)
            assert row["max_activation"] == pytest.approx(max(values, default=0), rel=1e-4)
            if values:
                assert row["mean_activation"] == pytest.approx(np.mean(values), rel=1e-4)
                assert sum(row["histogram"]) == len(values)
                last = len(row["histogram"]) * row["bin_width"]
                assert last - row["bin_width"] <= row["max_activation"] < last


def test_examples_are_the_strongest_of_different_contexts(
    result: list[SiteFeatures],
    expected: dict[str, dict[int, dict[tuple[int, int], float]]],
    tokens: FeatureTokens,
) -> None:
    ids = dict(zip(tokens.doc_id.tolist(), tokens.documents, strict=True))

    def context(doc_id: int, pos: int) -> tuple[int, ...]:
        return tuple(ids[doc_id][max(0, pos - SPEC.n_ctx) : pos + 1])

    for site in result:
        wanted = expected[site.site]
        assert set(site.examples["feature"]) == {f for f, places in wanted.items() if places}
        for (feature,), shown in site.examples.group_by("feature"):
            places = list(zip(shown["doc_id"], shown["pos"], strict=True))
            found = [wanted[feature][place] for place in places]
            assert shown["activation"].to_list() == pytest.approx(found, rel=1e-4, abs=1e-4)
            assert shown["rank"].to_list() == list(range(len(shown)))
            contexts = [context(*place) for place in places]
            assert len(set(contexts)) == len(contexts)
            best: dict[tuple[int, ...], float] = {}
            for place, value in wanted[feature].items():
                best[context(*place)] = max(value, best.get(context(*place), 0))
            strongest = sorted(best.values(), reverse=True)[: SPEC.top]
            assert found[: SPEC.top] == pytest.approx(strongest, rel=1e-4, abs=1e-4)
            inside = (shown["interval_low"] <= shown["activation"]) & (
                shown["activation"] < shown["interval_high"]
            )
            assert inside.all()
            drawn = shown.filter("sampled").group_by("interval").len()["len"]
            assert max(drawn) <= SPEC.per_interval


def test_around_an_example_all_is_known(
    result: list[SiteFeatures],
    expected: dict[str, dict[int, dict[tuple[int, int], float]]],
) -> None:
    """Documents are shorter than what is kept: all of their tokens where the feature is active."""
    for site in result:
        for row in site.examples.to_dicts():
            wanted = expected[site.site][row["feature"]]
            around = {p - row["pos"]: a for (d, p), a in wanted.items() if d == row["doc_id"]}
            assert row["near_offsets"] == sorted(around)
            values = [around[offset] for offset in row["near_offsets"]]
            assert row["near_activations"] == pytest.approx(values, rel=1e-4, abs=1e-4)
            here = row["near_offsets"].index(0)
            assert row["near_activations"][here] == row["activation"]


def test_what_is_far_is_left_out(
    tiny_llama: LanguageModel, tokens: FeatureTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_windows, "BEFORE", 2)
    monkeypatch.setattr(feature_windows, "AFTER", 1)
    neurons = {"embed": IdentityDictionary(16)}
    (site,) = features(tiny_llama, neurons, tokens, SPEC, 30, BOS)
    offsets = set(site.examples["near_offsets"].explode())
    assert offsets == {-2, -1, 0, 1}


def test_neighbours_are_of_the_same_tokens(
    result: list[SiteFeatures], expected: dict[str, dict[int, dict[tuple[int, int], float]]]
) -> None:
    """Fewer tokens than the sample: all of them."""
    some = 0
    for site in result:
        for row in site.neighbours.filter(kind="coactive").to_dicts():
            a, b = (set(expected[site.site][row[c]]) for c in ("feature", "other"))
            assert row["common_tokens"] == len(a & b) >= 2
            assert row["value"] == pytest.approx(len(a & b) / len(a | b))
            some += 1
    assert some > 100


def test_what_is_shown_does_not_depend_on_batches(
    tiny_llama: LanguageModel, dictionaries: dict[str, Dictionary], tokens: FeatureTokens
) -> None:
    """But for rounding of the activations, which intervals and ranks may turn on."""
    few, many = (
        list(features(tiny_llama, dictionaries, tokens, SPEC, n, BOS)) for n in (40, 10_000)
    )
    for a, b in zip(few, many, strict=True):
        assert a.features.select("feature", "active_tokens", "histogram").equals(
            b.features.select("feature", "active_tokens", "histogram")
        )
        keys = ("feature", "doc_id", "pos", "sampled")
        common = a.examples.join(b.examples, on=keys)
        assert len(common) >= 0.95 * max(len(a.examples), len(b.examples))


def test_activations_again(
    tiny_llama: LanguageModel,
    dictionaries: dict[str, Dictionary],
    tokens: FeatureTokens,
    result: list[SiteFeatures],
) -> None:
    for site in result:
        again = recompute(tiny_llama, dictionaries[site.site], site.site, tokens, site.examples)
        assert again.to_list() == pytest.approx(
            site.examples["activation"].to_list(), rel=1e-3, abs=1e-4
        )


def test_what_is_not_finite_is_counted_and_left_out(
    tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch, tokens: FeatureTokens
) -> None:
    """One NaN in an activation, one infinite feature."""
    plain = activations

    def spoilt(
        model: LanguageModel, ids: torch.Tensor, sites: list[str]
    ) -> dict[str, torch.Tensor]:
        found = {site: x.clone() for site, x in plain(model, ids, sites).items()}
        found["embed"][0, 1, 0] = torch.nan
        found["resid_1"][0, 1, 0] = torch.inf
        return found

    monkeypatch.setattr(module, "activations", spoilt)
    neurons = {site: IdentityDictionary(16) for site in ("embed", "resid_0", "resid_1")}
    few = tokens._replace(documents=tokens.documents[:4], doc_id=tokens.doc_id[:4])
    found = list(features(tiny_llama, neurons, few, SPEC, 10_000, BOS))
    assert [site.unfit for site in found] == [1, 0, 2]
    for site in found:
        assert site.examples["activation"].is_finite().all()
        assert pl.Series(site.features["mean_activation"].drop_nulls()).is_finite().all()


def test_parts_of_a_site_are_encoded_alike(
    tokens: FeatureTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the size of a block; none at all for no tokens."""
    monkeypatch.setattr(module, "LEAST_TOKENS", 3)
    x = torch.randn(50, 16, generator=torch.Generator().manual_seed(3))
    dictionary = sparse(4, "relu")
    whole = module.active_features(dictionary, x, torch.arange(50) + 7)
    monkeypatch.setattr(module, "BLOCK", 1)
    parts = module.active_features(dictionary, x, torch.arange(50) + 7)
    assert all(a.equal(b) for a, b in zip(whole[:2], parts[:2], strict=True))
    f = dictionary.encode(x)
    assert f[parts.token - 7, parts.feature].allclose(parts.activation, atol=1e-4)
    assert len(parts.token) == int((f > 0).sum())
    assert len(module.active_features(dictionary, x[:0], torch.arange(0)).token) == 0
