"""Evaluation of node sets: invariants in every family, and equality with a slow float64 model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dagster_project.interp import evaluation as module
from dagster_project.interp.ablation import (
    Dictionaries,
    Rows,
    SiteValues,
    Task,
    Values,
    ablation_values,
)
from dagster_project.interp.dictionary import IdentityDictionary, SparseDictionary
from dagster_project.interp.evaluation import (
    NOTHING,
    Edit,
    Held,
    Kept,
    NodeSet,
    evaluate,
    metric_of_model,
    metric_under,
    splice,
)
from dagster_project.interp.examples import Examples
from dagster_project.interp.model import LanguageModel
from dagster_project.studies.study import Ablation, ErrorMode
from tests.interp import spliced
from tests.interp.ablation_cases import (
    SlowModel,
    random_dictionaries,
    random_pairs,
)

MODES: tuple[ErrorMode, ...] = ("default", "keep", "remove")
ABLATIONS: tuple[Ablation, ...] = ("mean", "resample", "zero")


def _some_nodes(dictionaries: Dictionaries, n_positions: int | None, seed: int = 0) -> NodeSet:
    """About half of the nodes; per position where there are positions."""
    generator = torch.Generator().manual_seed(seed)
    nodes = {}
    for site, dictionary in dictionaries.items():
        width = dictionary.n_features
        chosen = torch.rand(n_positions or 1, width + 1, generator=generator) < 0.5
        found = chosen.nonzero()
        found[found[:, 1] == width, 1] = -1
        if n_positions is None:
            found[:, 0] = -1
        nodes[site] = found
    return NodeSet(nodes)


def _splice(x: Tensor, kept: NodeSet) -> list[float]:
    # Two features in two dimensions: f = relu(x), x̂ = f + (1, 1). Values: f_a = (10, 20),
    # x̂_a = (11, 21), ε_a = (5, 7), a = x̂_a + ε_a = (16, 28).
    eye, one = torch.eye(2), torch.ones(2)
    dictionary = SparseDictionary(eye, torch.zeros(2), eye, one)
    numbers = ([[10.0, 20.0]], [[11.0, 21.0]], [[16.0, 28.0]])
    values = SiteValues(torch.zeros(1, 1, dtype=torch.int64), *map(torch.tensor, numbers))
    first = torch.zeros(1, dtype=torch.int64)
    held = Held.of(values, first, first)
    return splice(dictionary, x[None], kept.at("embed", 1), held)[0].tolist()


def test_splice_by_hand() -> None:
    # x = (3, −2): f = (3, 0), x̂ = (4, 1), ε = (−1, −3). Each set in both ways of writing it.
    x = torch.tensor([3.0, -2.0])
    expected = {
        (0, 1, -1): [3, -2],
        (): [16, 28],
        (0, -1): [3 + 1 - 1, 20 + 1 - 3],
        (1,): [10 + 1 + 5, 0 + 1 + 7],
        (-1,): [10 + 1 - 1, 20 + 1 - 3],
        (0, 1): [3 + 1 + 5, 0 + 1 + 7],
    }
    for kept, wanted in expected.items():
        left = [i for i in (0, 1, -1) if i not in kept]
        for listed, complement in ((kept, False), (left, True)):
            nodes = torch.tensor([[-1, i] for i in listed], dtype=torch.int64).view(-1, 2)
            assert _splice(x, NodeSet({"embed": nodes}, complement)) == wanted


def _mask(kept: Kept, n_features: int) -> tuple[Tensor, Tensor]:
    """Kept features [position or 1, feature] and error nodes [position or 1], bool."""
    features = torch.zeros(len(kept.listed), n_features, dtype=torch.bool)
    features[:, kept.features] = kept.listed
    return features ^ kept.complement, kept.errors


def test_kept_nodes_and_their_complement() -> None:
    nodes = NodeSet({"embed": torch.tensor([[-1, 2], [-1, -1]])})
    features, errors = _mask(nodes.at("embed", 3), 4)
    assert features.tolist() == [[False, False, True, False]]
    assert errors.tolist() == [True]
    features, errors = _mask(replace(nodes.others(), errors="keep").at("embed", 3), 4)
    assert features.tolist() == [[True, True, False, True]]
    assert errors.tolist() == [True]
    assert nodes.others().at("embed", 3).errors.tolist() == [False]
    assert not replace(nodes, errors="remove").at("embed", 3).errors.any()
    assert all(kept.all() for kept in _mask(NOTHING.others().at("mlp_0", 3), 4))
    assert not any(kept.any() for kept in _mask(NOTHING.at("mlp_0", 3), 4))


def test_kept_nodes_per_position() -> None:
    nodes = NodeSet({"embed": torch.tensor([[0, 1], [2, -1], [-1, 0]])})
    features, errors = _mask(nodes.at("embed", 3), 2)
    assert features.tolist() == [[True, True], [True, False], [True, False]]
    assert errors.tolist() == [False, False, True]


def test_sets_that_are_the_same_are_evaluated_once(
    tiny_neox: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples, dictionaries = random_pairs([3, 4]), random_dictionaries(tiny_neox)
    task = Task(tiny_neox, dictionaries, examples, 64)
    values = ablation_values("zero", task)
    some = [_some_nodes(dictionaries, None, seed) for seed in range(2)]
    no_error = NodeSet({"embed": torch.tensor([[-1, 3]])})
    sets = [NOTHING, some[0], NodeSet({}), replace(some[0]), some[0].others(), no_error,
            replace(no_error, errors="remove"), replace(no_error, errors="keep")]  # fmt: skip
    given: list[int] = []

    def counting(edit: Edit) -> Tensor:
        given.append(len(edit.sets))
        return metric_under(edit)

    monkeypatch.setattr(module, "metric_under", counting)
    found = evaluate(task, sets, values)
    assert sum(given) == 5
    alone = torch.cat([evaluate(task, [s], values) for s in sets])
    torch.testing.assert_close(found, alone, rtol=0, atol=2e-5)


@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("lengths", [[4, 4, 4], [3, 5, 4]])
def test_everything_and_nothing(
    any_model: LanguageModel, ablation: Ablation, lengths: list[int]
) -> None:
    """Everything kept gives the model, to the bit; nothing kept does not depend on the prompt."""
    examples, dictionaries = random_pairs(lengths), random_dictionaries(any_model)
    values = ablation_values(ablation, Task(any_model, dictionaries, examples, 64))
    sets = [replace(s, errors=e) for s in (NOTHING.others(), NOTHING) for e in ("default", "keep")]
    found = evaluate(Task(any_model, dictionaries, examples, 1000), sets, values)
    whole, kept_errors, nothing, _ = found
    task = Task(any_model, dictionaries, examples, 1000)
    torch.testing.assert_close(whole, metric_of_model(task), rtol=0, atol=2e-5)
    assert whole.equal(kept_errors)
    assert not torch.allclose(whole, nothing, atol=1e-2)
    other = replace(examples, clean=random_pairs(lengths, seed=9).clean)
    again = evaluate(Task(any_model, dictionaries, other, 1000), [NOTHING], values)
    torch.testing.assert_close(again[0], nothing, rtol=0, atol=2e-5)


def test_neurons_keep_everything_too(any_model: LanguageModel) -> None:
    examples = random_pairs([4, 3])
    identities = {s: IdentityDictionary(16) for s in random_dictionaries(any_model)}
    values = ablation_values("mean", Task(any_model, identities, examples, 64))
    sets = [replace(NOTHING.others(), errors=errors) for errors in MODES]
    found = evaluate(Task(any_model, identities, examples, 64), sets, values)
    expected = metric_of_model(Task(any_model, identities, examples, 64))
    for per_example in found:
        torch.testing.assert_close(per_example, expected, rtol=0, atol=2e-5)


def test_bos_is_left_as_it_is(tiny_llama: LanguageModel) -> None:
    examples = random_pairs([4, 4])
    examples.clean.ids[:, 0] = 1
    dictionaries = random_dictionaries(tiny_llama)
    values = ablation_values("zero", Task(tiny_llama, dictionaries, examples, 64, bos_id=1))
    (found,) = evaluate(Task(tiny_llama, dictionaries, examples, 64, bos_id=1), [NOTHING], values)
    slow = SlowModel.of(tiny_llama, dictionaries)
    for row, ids in enumerate(examples.clean.ids.tolist()):
        expected = _slow_metric(slow, ids, examples, row, NOTHING, values, skip=1)
        assert abs(float(found[row]) - expected) < 2e-5


def _slow_metric(
    slow: SlowModel,
    ids: list[int],
    examples: Examples,
    row: int,
    kept: NodeSet,
    values: Values,
    skip: int = 0,
) -> float:
    """F of one example by the formula; the first `skip` positions stay."""
    batch = examples.rows(row, row + 1).clean

    def edit(site: str, x: Tensor) -> Tensor:
        dictionary = slow.dictionaries[site]
        f = dictionary.encode(x.clone())
        error = x - dictionary.decode(f)
        site_values = values.at(site, Rows(torch.tensor([row]), batch))
        f_a = site_values.features[site_values.row[0]].double()
        error_a = site_values.stream[site_values.row[0]].double() - dictionary.decode(f_a)
        features, errors = _mask(kept.at(site, len(x)), dictionary.n_features)
        edited = dictionary.decode(torch.where(features, f, f_a))
        edited = edited + torch.where(errors[:, None], error, error_a)
        return torch.cat([x[:skip], edited[skip:]])

    logits = slow.logits(ids, edit)
    if examples.patch_answer is None:
        return float(logits.log_softmax(-1)[examples.answer[row]])
    return float(logits[examples.answer[row]] - logits[examples.patch_answer[row]])


@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("per_position", [True, False])
def test_equals_a_slow_model(
    any_model: LanguageModel, ablation: Ablation, per_position: bool
) -> None:
    """In float64, with dictionaries of three kinds and unequal widths."""
    model = spliced.in_float64(any_model)
    lengths = [4, 4, 4] if per_position else [3, 5, 4]
    examples = random_pairs(lengths)
    if ablation == "zero":  # no patch: log p of the answer
        examples = replace(examples, patch=None, patch_answer=None)
    dictionaries = spliced.random_dictionaries(model)
    values = ablation_values(ablation, Task(model, dictionaries, examples, 64))
    circuit = _some_nodes(dictionaries, 4 if per_position else None)
    sets = [replace(s, errors=e) for s in (circuit, circuit.others()) for e in MODES]
    found = evaluate(Task(model, dictionaries, examples, 1000), sets, values)
    slow = SlowModel.of(model, dictionaries)
    for row, length in enumerate(lengths):
        ids = examples.clean.ids[row, :length].tolist()
        for number, kept in enumerate(sets):
            expected = _slow_metric(slow, ids, examples, row, kept, values)
            assert float(found[number, row]) == pytest.approx(expected, rel=1e-9, abs=1e-9)
