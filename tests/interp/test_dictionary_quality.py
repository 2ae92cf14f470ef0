"""Quality: two features by hand, and the model by PyTorch hooks in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from dagster_project.interp.dictionary import IdentityDictionary, SparseDictionary
from dagster_project.interp.dictionary_quality import (
    Tally,
    means,
    quality,
    recovered,
    splice_error,
)
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import site_names
from dagster_project.interp.sites import final_hidden
from tests.interp.hooked import edited

BOS = 1


def documents(n: int = 9, seed: int = 0) -> list[list[int]]:
    """Random documents of unequal length, BOS first."""
    random = np.random.default_rng(seed)
    return [[BOS, *random.integers(3, 90, size=random.integers(3, 9)).tolist()] for _ in range(n)]


def random_dictionaries(model: LanguageModel) -> dict[str, SparseDictionary]:
    """TopK at every second site, ReLU at the others; some features never fire."""
    random = torch.Generator().manual_seed(1)
    found = {}
    for i, site in enumerate(site_names(model.n_layers)):
        rows = torch.randn(40, model.d_model, generator=random) / model.d_model**0.5
        b_enc = torch.where(torch.arange(40) < 7, -1e6, 0.0)
        b_dec = 0.1 * torch.randn(model.d_model, generator=random)
        kind = {"activation": "topk", "k": 5} if i % 2 else {}
        found[site] = SparseDictionary(rows, b_enc, rows, b_dec, **kind)  # type: ignore[arg-type]
    return found


def test_reconstruction_by_hand() -> None:
    # ReLU of the axes: x̂ keeps what is positive. Three tokens, four features of which two exist.
    x = torch.tensor([[1.0, -1.0], [2.0, 0.0], [-1.0, 3.0]])
    axes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -5.0], [-5.0, -9.0]])
    dictionary = SparseDictionary(
        axes, torch.zeros(4), axes * torch.tensor([[1.0], [1.0], [0.0], [0.0]]), torch.zeros(2)
    )
    f = dictionary.encode(x)
    assert f.tolist() == [[1, 0, 4, 4], [2, 0, 0, 0], [0, 3, 0, 0]]
    tally = Tally(torch.zeros(4, dtype=torch.bool))
    tally.add(x[:2], dictionary.decode(f[:2]), f[:2], x.double().mean(0))
    assert tally.fired.tolist() == [True, False, True, True]
    tally.add(x[2:], dictionary.decode(f[2:]), f[2:], x.double().mean(0))
    assert tally.fired.all()
    assert tally.active / 3 == pytest.approx(5 / 3)
    assert tally.error == pytest.approx(2)  # (0, −1), (0, 0), (−1, 0)
    # The mean is (2/3, 2/3): 1/9 + 25/9 + 16/9 + 4/9 + 25/9 + 49/9.
    assert tally.fve == pytest.approx(1 - 2 / (120 / 9))


class Expected:
    """Everything again, document by document, in float64."""

    def __init__(self, model: LanguageModel, texts: list[list[int]]) -> None:
        self.model, self.texts = model, texts
        self.hf = copy.deepcopy(model.hf).double()

    def loss(self, site: str, edit: Callable[[Tensor], Tensor]) -> float:
        """Mean loss of tokens from the third on, edited at positions from the second on."""

        def beyond_bos(x: Tensor) -> Tensor:
            return torch.cat([x[:, :1], edit(x[:, 1:])], dim=1)

        losses = []
        with torch.no_grad(), edited(self.hf, self.model.modules, {site: beyond_bos}):
            for ids in self.texts:
                logits = self.hf(torch.tensor([ids]), use_cache=False).logits[0]
                log_p = logits.log_softmax(-1)
                losses += [-float(log_p[i, ids[i + 1]]) for i in range(1, len(ids) - 1)]
        return float(np.mean(losses))

    def activations(self, site: str) -> Tensor:
        """[token, d_model] beyond BOS."""
        seen: list[Tensor] = []

        def keep(x: Tensor) -> Tensor:
            seen.append(x[0])
            return x

        self.loss(site, keep)
        return torch.cat(seen)


def test_all_figures_against_float64_hooks(any_model: LanguageModel) -> None:
    texts, dictionaries = documents(), random_dictionaries(any_model)
    frame = quality(any_model, dictionaries, texts, [], 24, BOS)
    assert frame["site"].to_list() == site_names(any_model.n_layers)
    expected = Expected(any_model, texts)
    for row in frame.iter_rows(named=True):
        d = dictionaries[row["site"]]
        W_enc, b_enc, W_dec, b_dec = (t.double() for t in (d.W_enc, d.b_enc, d.W_dec, d.b_dec))
        double = SparseDictionary(W_enc, b_enc, W_dec, b_dec, d.activation, d.k)
        x = expected.activations(row["site"])
        f = double.encode(x)
        mean = x.mean(0)
        own = expected.loss(row["site"], lambda x: x)
        increase, by_mean, by_zero = (
            expected.loss(row["site"], edit) - own
            for edit in (
                lambda x, d=double: d.decode(d.encode(x)),
                lambda x, m=mean: m.expand_as(x),
                torch.zeros_like,
            )
        )
        residual, variance = x - double.decode(f), x - mean
        assert row["n_tokens"] == len(x)
        assert row["kind"] == d.activation
        assert row["l0"] == pytest.approx(float((f > 0).double().sum(-1).mean()))
        fve = 1 - float(residual.square().sum() / variance.square().sum())
        assert row["fve"] == pytest.approx(fve, rel=1e-5)
        assert row["loss"] == pytest.approx(own, rel=1e-5)
        assert row["loss_increase"] == pytest.approx(increase, abs=2e-5)
        assert row["loss_increase_mean"] == pytest.approx(by_mean, abs=2e-5)
        assert row["loss_increase_zero"] == pytest.approx(by_zero, abs=2e-5)
        dead = float((f.amax(0) <= 0).double().mean())
        assert row["dead_fraction"] == pytest.approx(dead)
        assert dead >= 7 / 40
        if by_mean > 1e-3:
            assert row["loss_recovered"] == pytest.approx(1 - increase / by_mean, abs=0.05)


def test_identity_dictionaries_change_nothing(any_model: LanguageModel) -> None:
    identities = {s: IdentityDictionary(16) for s in site_names(any_model.n_layers)}
    frame = quality(any_model, identities, documents(), [], 24, BOS)
    assert frame["fve"].to_list() == [1.0] * len(frame)
    assert frame["loss_increase"].abs().max() < 1e-6  # type: ignore[operator]  # a number
    assert set(frame["kind"]) == {"identity"}
    assert splice_error(any_model, identities, documents(), 24) == 0


def test_batches_make_no_difference(any_model: LanguageModel) -> None:
    dictionaries, starts_with_bos = random_dictionaries(any_model), documents()
    texts = [ids[i % 2 :] for i, ids in enumerate(starts_with_bos)]  # every other one without
    whole = quality(any_model, dictionaries, texts, [], 10_000, BOS)
    parts = quality(any_model, dictionaries, texts, [], 1, BOS)
    increases = [f"loss_increase{of}" for of in ("", "_mean", "_zero")]
    for column in ("l0", "fve", "loss", *increases, "dead_fraction"):
        np.testing.assert_allclose(whole[column], parts[column], rtol=1e-5, atol=1e-5)


def test_silent_features_are_looked_for_further(tiny_llama: LanguageModel) -> None:
    dictionaries = {"resid_0": random_dictionaries(tiny_llama)["resid_0"]}
    held_out, others = documents(1), documents(60, seed=2)

    def dead(further: list[list[int]]) -> float:
        frame = quality(tiny_llama, dictionaries, held_out, further, 64, BOS)
        return float(frame["dead_fraction"][0])

    together = quality(tiny_llama, dictionaries, [*held_out, *others], [], 64, BOS)
    assert dead([]) > dead(others) == together["dead_fraction"][0] >= 7 / 40


def test_splicing_with_errors_changes_no_logit(any_model: LanguageModel) -> None:
    assert splice_error(any_model, random_dictionaries(any_model), documents(), 24) < 1e-4


def test_splicing_sees_a_dictionary_that_breaks(tiny_llama: LanguageModel) -> None:
    dictionaries = random_dictionaries(tiny_llama)
    dictionaries["mlp_0"].b_dec[0] = 1e7  # x̂ + (x − x̂) loses x's digits
    assert splice_error(tiny_llama, dictionaries, documents(), 24) > 1e-4


def test_means_leave_bos_and_padding_out(tiny_neox: LanguageModel) -> None:
    texts = documents()
    found, n_tokens = means(tiny_neox, ["mlp_1"], texts, 24, BOS)
    x = Expected(tiny_neox, texts).activations("mlp_1")
    assert n_tokens == len(x) == sum(len(ids) - 1 for ids in texts)
    torch.testing.assert_close(found["mlp_1"], x.mean(0), atol=1e-6, rtol=1e-5)


def test_recovered() -> None:
    assert recovered(0.1, 0.4) == pytest.approx(0.75)
    assert recovered(0.1, 0.0) is None
    assert recovered(0.1, -0.2) is None


def test_no_token_to_predict_is_an_error(tiny_neox: LanguageModel) -> None:
    identities = {"embed": IdentityDictionary(16)}
    with pytest.raises(ValueError, match="at least one with a next token, found none"):
        quality(tiny_neox, identities, [[BOS, 5]], [], 24, BOS)


def test_final_hidden_is_untouched_by_quality(tiny_neox: LanguageModel) -> None:
    ids = torch.tensor([[BOS, 5, 7, 9]])
    before = final_hidden(tiny_neox, ids)
    quality(tiny_neox, random_dictionaries(tiny_neox), documents(2), [], 24, BOS)
    assert torch.equal(final_hidden(tiny_neox, ids), before)
