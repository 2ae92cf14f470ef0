"""Values of ablated nodes: derangements, alignment from the answer, means by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.interp.ablation import Rows, Task, ablation_values, derangement, from_answer
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import batch_of
from tests.interp.ablation_cases import SlowModel, random_dictionaries, random_pairs


@given(n=st.integers(2, 50), seed=st.integers(0, 1000))
def test_a_derangement_leaves_nothing_in_place(n: int, seed: int) -> None:
    other = derangement(n, seed)
    assert sorted(other.tolist()) == list(range(n))
    assert (other != torch.arange(n)).all()
    assert other.equal(derangement(n, seed))


def test_one_example_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match="at least 2 examples in the split, found 1"):
        derangement(1, 0)


def test_positions_count_from_the_answer() -> None:
    # prompts of 2 and 3 tokens read a source of 3 and one of 2: the last positions coincide
    batch = batch_of([[5, 6], [7, 8, 9]])
    positions = from_answer(batch, torch.tensor([3, 2]))
    assert positions.tolist() == [[1, 2, 2], [0, 0, 1]]


def _rows(examples: Examples) -> Rows:
    return Rows(torch.arange(len(examples)), examples.clean)


@pytest.mark.parametrize("paired", [True, False])
def test_means_by_distance_to_the_answer(tiny_neox: LanguageModel, paired: bool) -> None:
    examples = random_pairs([3, 5, 4])
    given = examples if paired else Examples(examples.clean, None, examples.answer, None)
    dictionaries = random_dictionaries(tiny_neox)
    values = ablation_values("mean", Task(tiny_neox, dictionaries, given, 7))
    slow = SlowModel.of(tiny_neox, dictionaries)
    source = examples.patch if paired else examples.clean
    assert source is not None
    sources = [row[:n].tolist() for row, n in zip(source.ids, source.lengths, strict=True)]
    states = [slow.states(ids) for ids in sources]
    for site, exact in slow.dictionaries.items():
        found = values.at(site, _rows(examples))
        for row, length in enumerate(examples.clean.lengths.tolist()):
            for pos in range(length):
                back = pos - length  # −1: the answer's own position
                x = torch.stack([s[site][back] for s in states if len(s[site]) >= -back])
                f, at = exact.encode(x).mean(0), found.row[row, pos]
                for got, expected in (
                    (found.features, f),
                    (found.decoded, exact.decode(f)),
                    (found.stream, x.mean(0)),
                ):
                    torch.testing.assert_close(got[at].double(), expected, rtol=1e-5, atol=1e-5)


def test_a_bos_enters_no_mean(tiny_llama: LanguageModel) -> None:
    # prompts 1 7 8 and 1 9: at distance 2 from the end stand the 7 and, uncounted, a BOS
    clean = batch_of([[1, 7, 8], [1, 9]])
    examples = Examples(clean, None, torch.tensor([5, 6]), None)
    dictionaries = random_dictionaries(tiny_llama)
    values = ablation_values("mean", Task(tiny_llama, dictionaries, examples, 64, bos_id=1))
    slow = SlowModel.of(tiny_llama, dictionaries)
    first, second = slow.states([1, 7, 8]), slow.states([1, 9])
    found = values.at("embed", _rows(examples))
    stream = found.stream[found.row].double()
    torch.testing.assert_close(stream[0, 1], first["embed"][1])
    torch.testing.assert_close(stream[0, 2], (first["embed"][2] + second["embed"][1]) / 2)


def test_resampled_values_are_those_of_one_other_prompt(tiny_neox: LanguageModel) -> None:
    examples = random_pairs([4, 2, 3, 4])
    dictionaries = random_dictionaries(tiny_neox)
    values = ablation_values("resample", Task(tiny_neox, dictionaries, examples, 9, seed=3))
    slow, other = SlowModel.of(tiny_neox, dictionaries), derangement(4, 3).tolist()
    assert examples.patch is not None
    patch = examples.patch
    for site, exact in slow.dictionaries.items():
        found = values.at(site, _rows(examples))
        for row, length in enumerate(examples.clean.lengths.tolist()):
            n_source = int(patch.lengths[other[row]])
            states = slow.states(patch.ids[other[row], :n_source].tolist())[site]
            for pos in range(length):
                x = states[max(pos - length + n_source, 0)]
                f, at = exact.encode(x), found.row[row, pos]
                for got, expected in (
                    (found.features, f),
                    (found.decoded, exact.decode(f)),
                    (found.stream, x),
                ):
                    torch.testing.assert_close(got[at].double(), expected, rtol=1e-5, atol=1e-5)


def test_zero_is_no_feature_and_no_error(tiny_neox: LanguageModel) -> None:
    examples, dictionaries = random_pairs([3, 3]), random_dictionaries(tiny_neox)
    values = ablation_values("zero", Task(tiny_neox, dictionaries, examples, 64))
    found = values.at("mlp_1", _rows(examples))
    assert found.row.tolist() == [[0]]
    assert not found.features.any()
    bias = dictionaries["mlp_1"].bias
    assert found.stream[0].equal(bias)
    assert found.decoded[0].equal(bias)
