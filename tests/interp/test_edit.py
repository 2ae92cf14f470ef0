"""Edits: the model without some nodes, by hand and against the evaluation of circuits."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from dagster_project.interp.ablation import Task, Values, ZeroValues, ablation_values
from dagster_project.interp.dictionary import SparseDictionary
from dagster_project.interp.edit import NODES, Edit, listed, token_means
from dagster_project.interp.evaluation import NOTHING, evaluate, metric_of_model
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sites import (
    activations,
    at_last,
    batch_of,
    edited_activation,
    final_hidden,
)
from dagster_project.interp.states import ERROR
from tests.interp.ablation_cases import random_dictionaries, random_pairs

TEXTS = batch_of([[5, 17, 30, 41, 8], [9, 60, 22]])


def ablating(task: Task, nodes: pl.DataFrame, values: Values) -> torch.Tensor:
    """F of the edited model on the task's clean prompts."""
    batch = task.examples.clean
    edit = Edit.ablating(task.dictionaries, nodes, values)
    hidden = final_hidden(task.model, batch.ids, edit.on(batch), edit.sites)
    return task.examples.evaluation_metric()(task.model, at_last(hidden, batch.lengths))


@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_without_any_node_the_model_is_that_of_the_empty_circuit(
    any_model: LanguageModel, kind: str
) -> None:
    dictionaries = random_dictionaries(any_model)
    task = Task(any_model, dictionaries, random_pairs([6, 6, 4]))
    values = ablation_values("mean" if kind == "mean" else "zero", task)
    every = [(s, f) for s, d in dictionaries.items() for f in range(ERROR, d.n_features)]
    expected = evaluate(task, [NOTHING], values)[0]
    torch.testing.assert_close(
        ablating(task, listed(every), values), expected, rtol=1e-4, atol=1e-4
    )


def test_without_none_it_is_the_model(any_model: LanguageModel) -> None:
    dictionaries = random_dictionaries(any_model)
    task = Task(any_model, dictionaries, random_pairs([6, 6, 4]))
    edited = ablating(task, listed([]), ZeroValues(dictionaries))
    torch.testing.assert_close(edited, metric_of_model(task), rtol=1e-5, atol=1e-5)


def test_one_feature_leaves_its_direction_at_every_token_but_bos(tiny_llama: LanguageModel) -> None:
    dictionaries, site = random_dictionaries(tiny_llama), "resid_0"
    batch = batch_of([[1, 17, 30, 41], [1, 60]])  # 1 is <s>
    x = activations(tiny_llama, batch.ids, [site])[site]
    dictionary = dictionaries[site]
    feature = int((dictionary.encode(x)[0, 1:].sum(0)).argmax())  # active in the first text
    edit = Edit.ablating(dictionaries, listed([(site, feature)]), ZeroValues(dictionaries), 1)
    got = edited_activation(tiny_llama, batch.ids, site, edit.on(batch), edit.sites)
    taken = dictionary.encode(x)[..., feature, None] * dictionary.decoder_rows(
        torch.tensor([feature])
    )
    expected = x - taken
    expected[:, 0], expected[1, 2:] = x[:, 0], x[1, 2:]  # BOS; padding
    assert edit.sites == [site]
    assert float(taken[0, 1:].abs().max()) > 0.01
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_a_circuits_node_at_a_position_is_ablated_there_alone(tiny_neox: LanguageModel) -> None:
    dictionaries, site = random_dictionaries(tiny_neox), "embed"
    nodes = pl.DataFrame({"site": [site], "pos": [2], "feature": [ERROR]}, schema=NODES)
    edit = Edit.ablating(dictionaries, nodes, ZeroValues(dictionaries))
    x = activations(tiny_neox, TEXTS.ids, [site])[site]
    got = edited_activation(tiny_neox, TEXTS.ids, site, edit.on(TEXTS), edit.sites)
    dictionary = dictionaries[site]
    expected = x.clone()
    expected[:, 2] = dictionary.decode(dictionary.encode(x[:, 2]))  # x̂: no error
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_a_text_that_ends_before_a_nodes_position_stays(tiny_neox: LanguageModel) -> None:
    dictionaries, short = random_dictionaries(tiny_neox), batch_of([[9, 60]])
    nodes = pl.DataFrame({"site": ["embed"], "pos": [2], "feature": [ERROR]}, schema=NODES)
    edit = Edit.ablating(dictionaries, nodes, ZeroValues(dictionaries))
    got = edited_activation(tiny_neox, short.ids, "embed", edit.on(short), edit.sites)
    x = activations(tiny_neox, short.ids, ["embed"])["embed"]
    torch.testing.assert_close(got, x, rtol=1e-5, atol=1e-5)


def test_later_sites_are_edited_on_the_edited_stream(tiny_neox: LanguageModel) -> None:
    dictionaries = random_dictionaries(tiny_neox)
    every = [(s, f) for s in ("embed", "resid_0") for f in range(ERROR, 24)]
    edit = Edit.ablating(dictionaries, listed(every), ZeroValues(dictionaries))
    got = edited_activation(tiny_neox, TEXTS.ids, "resid_0", edit.on(TEXTS), edit.sites)
    bias = dictionaries["resid_0"].bias
    torch.testing.assert_close(got[0], bias.expand(5, -1), rtol=1e-5, atol=1e-5)


def test_token_means_are_those_of_all_tokens(tiny_neox: LanguageModel) -> None:
    dictionaries = {"attn_1": random_dictionaries(tiny_neox)["attn_1"]}
    one, other = (batch_of([row]) for row in ([5, 17, 30], [9]))
    found = token_means(tiny_neox, dictionaries, [one, other])
    x = torch.cat(
        [activations(tiny_neox, b.ids, ["attn_1"])["attn_1"][0] for b in (one, other)]
    )  # four tokens
    f = dictionaries["attn_1"].encode(x).mean(0)
    torch.testing.assert_close(found.stream["attn_1"][0], x.mean(0))
    torch.testing.assert_close(found.features["attn_1"][0], f)
    torch.testing.assert_close(found.decoded["attn_1"][0], dictionaries["attn_1"].decode(f))


@pytest.mark.parametrize(
    ("node", "expected"), [(("resid_9", 0), "expected a site of"), (("embed", 24), "below 24")]
)
def test_nodes_that_are_not_there_are_refused(
    tiny_neox: LanguageModel, node: tuple[str, int], expected: str
) -> None:
    dictionaries = random_dictionaries(tiny_neox)
    assert isinstance(dictionaries["embed"], SparseDictionary)
    with pytest.raises(ValueError, match=expected):
        Edit.ablating(dictionaries, listed([node]), ZeroValues(dictionaries))
