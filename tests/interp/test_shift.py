"""SHIFT: its parts by hand, and a spurious feature that is taken from a model made for it."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest
import torch

from dagster_project.interp.dictionary import Dictionary, SparseDictionary
from dagster_project.interp.edit import listed
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.probe import Probe, Reader
from dagster_project.interp.shift import (
    EDITS,
    Plan,
    Sets,
    Texts,
    chosen_by_rule,
    like,
    measured,
    partial_correlation,
    shift,
    up_to,
    wilson,
)
from tests.interp import spliced


def flags(text: str) -> torch.Tensor:
    return torch.tensor([mark == "1" for mark in text])


def test_accuracy_leakage_and_subgroups_by_hand() -> None:
    label, woman = flags("11110000"), flags("11000011")
    texts = Texts([], label, woman, torch.zeros(8))
    found = measured(flags("11011000"), texts)  # wrong on the third and the fifth
    assert found["accuracy"] == 0.75
    assert found["leakage"] == 0.5  # 1, 2, 3, 6 say what gender would
    assert found["women_usual"] == 1.0  # 1, 2
    assert found["men_unusual"] == 0.5  # 3, 4
    assert found["men_usual"] == 0.5  # 5, 6
    assert found["women_unusual"] == 1.0  # 7, 8
    assert found["worst_group"] == 0.5


def test_the_interval_of_half_of_ten_by_hand() -> None:
    """z² = 2.7055: centre 0.5, half width z √(0.025 + z²/400) / (1 + z²/10) = 0.2307."""
    assert wilson(5, 10) == pytest.approx((0.2693, 0.7307), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((10 / 12.7055, 1), abs=1e-4)


def test_partial_correlation_is_within_groups() -> None:
    group = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    woman = flags("11000011")
    values = torch.tensor(
        [
            [1.0, 1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0],  # the group and nothing else
            [2.0, 2.0, 1.0, 1.0, 5.0, 5.0, 6.0, 6.0],  # gender, on top of the group
            [2.0, 1.0, 2.0, 1.0, 5.0, 6.0, 6.0, 5.0],  # neither
        ]
    ).T
    torch.testing.assert_close(
        partial_correlation(values, woman, group), torch.tensor([0.0, 1.0, 0.0])
    )


def rated() -> pl.DataFrame:
    rows = [("embed", 3, 0.1), ("embed", 4, -0.9), ("attn_0", 1, 0.5), ("attn_0", 2, 0.95)]
    frame = listed([(site, feature) for site, feature, _ in rows])
    return frame.with_columns(
        gender_correlation=pl.Series([r[2] for r in rows]), abs_effect=pl.lit(1.0)
    )


def test_the_rule_takes_the_best_of_its_candidates() -> None:
    plan = Plan(listed([]), "mean", candidates=3, by_rule=2, random_seeds=1)
    found = chosen_by_rule(rated(), plan)  # the last is no candidate
    assert found.select("site", "feature").rows() == [("embed", 4), ("attn_0", 1)]


def test_random_nodes_are_as_many_of_each_site() -> None:
    idle = listed([("embed", 5)]).with_columns(gender_correlation=pl.lit(0.0), abs_effect=0.0)
    nodes = pl.concat([rated(), idle])  # the last has no effect
    drawn = {tuple(like(listed([("embed", 9)]), nodes, seed).row(0)) for seed in range(16)}
    assert drawn == {("embed", None, 3), ("embed", None, 4)}


def test_sites_after_the_probes_are_left_out(tiny_neox: LanguageModel) -> None:
    dictionaries = spliced.random_dictionaries(tiny_neox)
    assert list(up_to("mlp_0", dictionaries)) == ["embed", "attn_0", "mlp_0"]
    assert list(up_to("mlp_0", dictionaries, parallel=True)) == ["embed", "mlp_0"]
    with pytest.raises(ValueError, match="expected one with a dictionary"):
        up_to("resid_7", dictionaries)


@pytest.mark.parametrize("site", ["mlp_0", "mlp_1"])
def test_a_probe_beside_attention_has_effects(any_model: LanguageModel, site: str) -> None:
    """In a parallel layer the MLP does not read what attention adds."""
    dictionaries = up_to(site, spliced.random_dictionaries(any_model), parallel=any_model.parallel)
    probe = Probe(torch.linspace(-1, 1, 16), 0.5)
    texts = [[5, 17, 30], [9, 60, 22, 35]]
    single = {s: in_float32(d) for s, d in dictionaries.items()}
    found = Reader(any_model, site).effects(texts, single, probe)
    assert found.filter(pl.col("abs_effect") > 0)["site"].unique().len() == len(dictionaries)


def in_float32(dictionary: Dictionary) -> Dictionary:
    assert isinstance(dictionary, SparseDictionary)
    names = ("W_enc", "b_enc", "W_dec", "b_dec")
    return replace(dictionary, **{n: getattr(dictionary, n).float() for n in names})


def test_every_edit_has_its_rows(tiny_neox: LanguageModel) -> None:
    """Texts of random words: the label is the first word, gender the second."""
    generator = torch.Generator().manual_seed(0)

    def texts(ambiguous: bool) -> Texts:
        label = torch.arange(24) % 2 == 0
        woman = label if ambiguous else torch.arange(24) % 4 < 2
        rest = torch.randint(40, 90, (24, 3), generator=generator).tolist()
        ids = [
            [10 + int(a), 20 + int(b), *more]
            for a, b, more in zip(label.tolist(), woman.tolist(), rest, strict=True)
        ]
        return Texts(ids, label, woman, label.long())

    dictionaries = spliced.random_dictionaries(tiny_neox)
    by_hand = listed([("embed", spliced.DEAD), ("attn_0", 5)])  # one that is never active
    plan = Plan(by_hand, "mean", candidates=20, by_rule=2, random_seeds=2)
    sets = Sets(texts(ambiguous=True), texts(ambiguous=False), texts(ambiguous=False))
    found = shift(Reader(tiny_neox, "resid_0"), dictionaries, sets, plan)
    assert found.edits.schema == EDITS
    assert found.edits.select("edit", "seed", "retrained", "n_nodes").rows() == [
        ("none", None, False, 0),
        ("by_hand", None, False, 2),
        ("by_hand", None, True, 2),
        ("by_rule", None, False, 2),
        ("by_rule", None, True, 2),
        ("random", 0, False, 2),
        ("random", 1, False, 2),
        ("neurons", None, False, 2),
        ("neurons", None, True, 2),
        ("oracle", None, False, 0),
    ]
    chosen = found.features.filter("by_hand").select("site", "feature")
    assert set(chosen.rows()) == {("embed", spliced.DEAD), ("attn_0", 5)}
    assert found.features["by_rule"].sum() == 2
    assert set(found.features["site"]) <= {"embed", "attn_0", "mlp_0", "resid_0"}
    ordered = found.features["abs_effect"]
    assert ordered.is_sorted(descending=True)
