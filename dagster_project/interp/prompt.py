"""The circuit of one's own prompt: nodes, edges and what the model says, for a single example.

A prompt with an answer, or a pair of prompts that differ in some token, with theirs. A node is a
feature (or error) at a token. Cost: that of `node_effects` and `circuit_edges` for one example;
with the dictionaries of a small model, tenths of a second.

    model = load_model("…")
    found = circuit_of(model, dictionaries, Prompt("The baker", " is", "The bakers", " are"))
    found.nodes.head()
    Path("circuit.svg").write_text(svg(found))  # of `circuit_svg`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from dagster_project.interp.circuit_edges import Rules, circuit_edges, scene
from dagster_project.interp.circuits import select_nodes
from dagster_project.interp.collection import Collection
from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.examples import Examples, NoPairMetric, examples_from
from dagster_project.interp.locate import locate, located_nodes
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import attribute
from dagster_project.interp.pairs import SCHEMA, encoder, tokenize
from dagster_project.interp.sites import Batch, last_hidden
from dagster_project.interp.text_pairs import TextPair
from dagster_project.interp.tokens import TokenTexts
from dagster_project.studies.study import EdgeKind, NodeEffectsSpec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ALONE = NodeEffectsSpec(bootstrap=0)
"""Integrated gradients; of one example there is nothing to resample."""


NODES = ["site", "pos", "feature", "effect", "patch_only"]
_END = {"site": pl.String(), "pos": pl.Int16(), "feature": pl.Int32()}
EDGES = pl.Schema(
    {f"{end}_{name}": dtype for end in ("up", "down") for name, dtype in _END.items()}
    | {"weight": pl.Float32()}
)


class PromptError(ValueError):
    """A prompt that cannot be examined; the text says what was expected."""


class Prompt(NamedTuple):
    """Texts. Without a patch, a node's effect is that of taking it away."""

    clean: str
    answer: str  # one token, that continues the prompt; leading space included
    patch: str | None = None  # as many tokens as the clean prompt
    patch_answer: str | None = None


class Values(NamedTuple):
    """What the model says: logit[answer] − logit[patch answer], or log p or logit of the answer."""

    clean: float
    patch: float | None  # after the patch prompt; None: there is none


@dataclass(frozen=True)
class PromptCircuit:
    """What was found of a prompt."""

    prompt: Prompt
    tokens: list[str]  # of the clean prompt
    patch_tokens: list[str] | None
    values: Values
    nodes: pl.DataFrame  # site, pos, feature, effect, patch_only: strongest first
    edges: pl.DataFrame  # ends and weight, as in the circuit_edges table: strongest first


def circuit_of(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    prompt: Prompt,
    *,
    node_threshold: float = 0.1,
    edge_threshold: float = 0.01,
    edge_kind: EdgeKind = "direct",
    metric: NoPairMetric = "log_prob",
    spec: NodeEffectsSpec = ALONE,
    batch_tokens: int = 8192,
) -> PromptCircuit:
    """The circuit of one prompt. dictionaries: by site, in forward order.

    metric: of the answer, where there is no patch. Raises PromptError.
    """
    pairs = prompt_pairs(prompt, model.tokenizer)
    examples = examples_from(pairs, model.device, metric)
    bos_id = model.tokenizer.bos_token_id if spec.skip_bos else None
    found = list(attribute(model, dictionaries, examples, spec, batch_tokens, bos_id))
    collection = Collection("none")
    for part in found:
        collection.add(part)
    effects = pl.concat(collection.node_effects(node_threshold, spec.bootstrap, spec.seed))
    gradients = {part.site: part.gradient for part in found}
    examined = scene(model, dictionaries, examples, gradients, batch_tokens, bos_id)
    nodes = select_nodes(effects, node_threshold)
    find = circuit_edges if edge_kind == "direct" else locate
    frames = find(examined, nodes, Rules(edge_threshold, spec.bootstrap, spec.seed))
    edges = pl.concat([pl.DataFrame(schema=EDGES), *(f.select(EDGES.names()) for f in frames)])
    if edge_kind == "total":
        nodes = located_nodes(effects, edges)
    return described(model, prompt, pairs, metric, nodes, edges)


def prompt_pairs(prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> pl.DataFrame:
    """The prompt as the one row of a pairs table. Raises PromptError."""
    if (prompt.patch is None) != (prompt.patch_answer is None):
        raise PromptError("a patch has a prompt and an answer, or there is none; found one of them")
    encode = encoder(tokenizer)
    if not prompt.clean:
        raise PromptError("a prompt has a token at least, found an empty one")
    text = TextPair(*_in_order(prompt), None, (prompt.clean, prompt.clean))
    outcome = tokenize(text, encode)
    if outcome.tokens is None:
        prompts = [p for p in (prompt.clean, prompt.patch) if p is not None]
        shown = "; ".join(_shown(tokenizer, encode(p)) for p in prompts)
        raise PromptError(f"{outcome.reason}: {shown}")
    if outcome.is_cut:
        n = len(outcome.tokens.clean_ids)
        both = ((prompt.clean, prompt.answer), (prompt.patch, prompt.patch_answer))
        ends = [encode(p + a)[n:] for p, a in both if p is not None and a is not None]
        shown = "; ".join(_shown(tokenizer, ids) for ids in ends)
        raise PromptError(f"an answer must be one token, found {shown}")
    row = {"split": "train", "example": 0, **text._asdict(), **outcome.tokens._asdict()}
    return pl.DataFrame([row], schema=SCHEMA)


def described(
    model: LanguageModel,
    prompt: Prompt,
    pairs: pl.DataFrame,
    metric: NoPairMetric,
    nodes: pl.DataFrame,
    edges: pl.DataFrame,
) -> PromptCircuit:
    """Nodes and edges of a prompt with its tokens and what the model says of it."""
    (row,) = pairs.to_dicts()
    text = TokenTexts(model.tokenizer)
    tokens, patched = (
        None if ids is None else [text[i] for i in ids]
        for ids in (row["clean_ids"], row["patch_ids"])
    )
    examples = examples_from(pairs, model.device, metric)
    return PromptCircuit(
        prompt,
        tokens or [],
        patched,
        Values(
            _value(model, examples, examples.clean),
            None if examples.patch is None else _value(model, examples, examples.patch),
        ),
        _strongest(nodes.select(NODES), "effect"),
        _strongest(edges.select(EDGES.names()), "weight"),
    )


def _strongest(rows: pl.DataFrame, by: str) -> pl.DataFrame:
    return rows.sort(pl.col(by).abs(), descending=True, maintain_order=True)


def _in_order(prompt: Prompt) -> tuple[str, str | None, str, str | None]:
    return prompt.clean, prompt.patch, prompt.answer, prompt.patch_answer


def _value(model: LanguageModel, examples: Examples, batch: Batch) -> float:
    return float(examples.evaluation_metric()(model, last_hidden(model, batch))[0])


def _shown(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """Tokens, their spaces visible, and how many they are."""
    text = TokenTexts(tokenizer)
    names = "|".join(text[i] for i in ids).replace(" ", "·")
    return f"{len(ids)} token{'s' * (len(ids) != 1)} {names}"
