"""Excess losses against those of the lake, and accuracy on models that are known."""

from __future__ import annotations

import json

import polars as pl
import pytest
import torch
from tokenizers import Tokenizer
from transformers import GPTNeoXForCausalLM

from dagster_project.embedded.corpus import line
from dagster_project.embedded.evaluation import accuracy, held_out, losses
from dagster_project.embedded.network import Shape, new_model
from dagster_project.embedded.tasks import Example
from dagster_project.embedded.tokenizer import for_transformers
from dagster_project.interp.loading import wrap
from dagster_project.interp.losses import losses as lake_losses
from dagster_project.interp.tokens import tokens

DOCUMENTS, SEED = 150, 9


@pytest.fixture
def model() -> GPTNeoXForCausalLM:
    made = new_model(Shape(1536, 1, 16, 2, 128), 0)
    with torch.no_grad():
        made.gpt_neox.embed_in.weight.mul_(20)
    return made


def of_the_lake(model: GPTNeoXForCausalLM, tokenizer: Tokenizer) -> pl.DataFrame:
    """Rows of the table `losses`, as the stages make them of the corpus's lines."""
    records = [json.loads(line(SEED, row)) for row in range(DOCUMENTS)]
    documents = pl.DataFrame(
        {
            "doc_id": range(DOCUMENTS),
            "text": [r["text"] for r in records],
            "pieces": [r["meta"]["pieces"] for r in records],
        },
        schema_overrides={"doc_id": pl.Int64},
    )
    wrapped = wrap(model, for_transformers(tokenizer, 128))
    rows = pl.concat(tokens([documents], wrapped.tokenizer, 128))
    return pl.concat(lake_losses(wrapped, rows, documents, 128, 4096))


def test_excess_losses_are_those_of_the_lake(
    model: GPTNeoXForCausalLM, tokenizer: Tokenizer
) -> None:
    told: list[int] = []
    found = losses(model, held_out(tokenizer, SEED, DOCUMENTS), told.append)
    assert sum(told) == DOCUMENTS
    rows = of_the_lake(model, tokenizer)
    pieces = rows.group_by("doc_id", "piece", "skill", "slot").agg(
        excess=pl.col("loss").sum() - pl.col("surprisal").sum()
    )
    expected = {
        (skill, slot): (n, excess)
        for skill, slot, n, excess in pieces.group_by("skill", "slot")
        .agg(pl.len(), pl.col("excess").mean())
        .iter_rows()
    }
    del expected[None, None]  # what no rule determines
    assert {(r.skill, r.slot) for r in found.rules} == set(expected)
    for rule in found.rules:
        n, excess = expected[rule.skill, rule.slot]
        assert rule.pieces == n
        assert rule.excess == pytest.approx(excess, rel=1e-4)
    assert found.loss == pytest.approx(rows["loss"].cast(pl.Float64).mean(), rel=1e-5)
    surprisal = float(rows["surprisal"].cast(pl.Float64).sum()) / len(rows)
    assert found.excess == pytest.approx(found.loss - surprisal, rel=1e-4)
    skills = found.skills()
    enumerations = [r for r in found.rules if r.skill == "enumeration"]
    assert len(enumerations) > 1
    assert skills["enumeration"] == pytest.approx(
        sum(r.pieces * r.excess for r in enumerations) / sum(r.pieces for r in enumerations)
    )


def test_accuracy_of_a_model_that_repeats_the_last_token(tokenizer: Tokenizer) -> None:
    """Without layers' outputs the stream is the embedding; orthogonal ones make it its own
    best continuation, so that the model is right where the answer is the prompt's last token."""
    model = new_model(Shape(1536, 1, 64, 2, 128), 0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layers" in name:
                parameter.zero_()
        torch.nn.init.normal_(model.gpt_neox.embed_in.weight)
    bare = [Example("The is", None, " is", None, ""), Example("The is", None, " are", None, "")]
    right = Example("The bakers are", "The baker is", " are", " is", "")
    wrong = Example("The baker is", "The bakers are", " are", " is", "")
    assert accuracy(model, tokenizer, bare) == 0.5
    assert accuracy(model, tokenizer, [right]) == 1
    assert accuracy(model, tokenizer, [right, wrong, wrong]) == pytest.approx(1 / 3)
