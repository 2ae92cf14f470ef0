"""The recipe behind the shipped weights: tokenizer, model, dictionaries of generated documents.

Three corpora that share no document, each by its own seeds: what is trained on, what the
dictionaries are trained on, and what all is measured on. Studies use other, small seeds. Weights
are stored, and therefore measured, in float16. Cost on two cores: 20 s for the tokenizer, 10
minutes for the model, as many for the dictionaries.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from dagster_project.embedded import stream, tasks, tokenizer
from dagster_project.embedded.corpus import document
from dagster_project.processes import cores

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor
    from transformers import GPTNeoXForCausalLM

    from dagster_project.embedded.evaluation import HeldOut, Losses
    from dagster_project.interp.dictionary import SparseDictionary
    from dagster_project.interp.dictionary_training import Checkpoint, Progress
    from dagster_project.interp.model import LanguageModel
    from dagster_project.interp.sequences import Ids
    from dagster_project.studies.study import RecipeSpec

POSITIONS = 128  # tokens that the model is made for; no document has more
TOKENIZER_DOCUMENTS = 20_000
TRAINING, DICTIONARIES, HELD_OUT = 1_000_000, 2_000_000, 3_000_000
"""Added to the recipe's seed, the seeds of its three corpora."""
TEXTS_CHECKED = 5_000
QUALITY_DOCUMENTS = 2_000  # held-out, on which dictionaries are measured
WATCHED = 500  # held-out documents that the model is measured on while it trains
LOOKS = 20  # how often
EXAMPLES = 200  # of each task
WITHHELD = ("simple", "nounpp", "rc", "stacked", "past")
"""Structures in which agreement is measured on pairs that no document has."""
TOKENIZER, FIGURES = "tokenizer.json", "figures.json"


def make_tokenizer(spec: RecipeSpec) -> Tokenizer:
    """The tokenizer, of documents as they come in the corpus."""
    seed = TRAINING + spec.seed
    rows = range(min(TOKENIZER_DOCUMENTS, spec.documents))
    return tokenizer.train([document(seed, row).text for row in rows], spec.vocabulary)


class Fit(NamedTuple):
    """How a tokenizer does on held-out documents."""

    split_words: int  # distinct words, numbers and marks that are more than one token
    changed_texts: int  # that do not come back from their tokens
    longest: int  # tokens of the longest document, BOS included
    mean_length: float  # tokens of a document
    used: int  # entries that occur


def tokenizer_fit(made: Tokenizer, spec: RecipeSpec) -> Fit:
    """On TEXTS_CHECKED documents, or as many as are held out."""
    rows = range(min(TEXTS_CHECKED, spec.held_out))
    texts = [document(HELD_OUT + spec.seed, row).text for row in rows]
    encoded = made.encode_batch(texts)
    split = {w for text in texts for w, _ in made.pre_tokenizer.pre_tokenize_str(text)}
    entries, lengths = made.get_vocab(), [len(e.ids) for e in encoded]
    decoded = made.decode_batch([e.ids for e in encoded])
    return Fit(
        split_words=sum(word not in entries for word in split),
        changed_texts=sum(a != b for a, b in zip(texts, decoded, strict=True)),
        longest=max(lengths),
        mean_length=sum(lengths) / len(lengths),
        used=len({i for e in encoded for i in e.ids}),
    )


class Look(NamedTuple):
    """The model while it trains."""

    step: int
    steps: int
    loss: float  # mean of the steps since the last look, nats a token
    held_out: Losses


def make_stream(
    spec: RecipeSpec, tokenizer_file: Path, folder: Path, advance: Callable[[int], None]
) -> None:
    """Put the training documents into a folder. advance: told of them as they are done."""
    seed = TRAINING + spec.seed
    stream.store(tokenizer_file, seed, spec.documents, POSITIONS, folder, cores(), advance)


def make_model(
    spec: RecipeSpec,
    made: Tokenizer,
    folder: Path,
    advance: Callable[[int], None],
    tell: Callable[[Look], None],
) -> GPTNeoXForCausalLM:
    """The trained model. folder: of `make_stream`; advance: told of steps as they are done; tell:
    LOOKS times, how the model does."""
    from dagster_project.embedded.evaluation import held_out
    from dagster_project.embedded.network import Shape
    from dagster_project.embedded.training import Plan, train

    shape = Shape(spec.vocabulary, spec.n_layers, spec.d_model, spec.n_heads, POSITIONS)
    plan = Plan(shape, folder, spec.seed)
    watched = held_out(made, HELD_OUT + spec.seed, min(WATCHED, spec.held_out))
    return train(plan, _watcher(plan.steps, watched, advance, tell))


def _watcher(
    steps: int, documents: HeldOut, advance: Callable[[int], None], tell: Callable[[Look], None]
) -> Callable[[int, float, GPTNeoXForCausalLM], None]:
    from dagster_project.embedded.evaluation import losses

    since: list[float] = []

    def watch(step: int, loss: float, model: GPTNeoXForCausalLM) -> None:
        advance(1)
        since.append(loss)
        if step * LOOKS // steps > (step - 1) * LOOKS // steps:
            tell(Look(step, steps, sum(since) / len(since), losses(model, documents)))
            since.clear()

    return watch


def save_model(model: GPTNeoXForCausalLM, made: Tokenizer, folder: Path) -> None:
    """The model in float16, with its tokenizer, as transformers loads them."""
    from transformers import GPTNeoXForCausalLM

    copy = GPTNeoXForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())  # of its own memory, which training shares
    copy.half().save_pretrained(folder)
    tokenizer.for_transformers(made, POSITIONS).save_pretrained(folder)


def load_model(folder: Path) -> GPTNeoXForCausalLM:
    """A saved model in float32."""
    import torch
    from transformers import GPTNeoXForCausalLM

    return GPTNeoXForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


class Measured(NamedTuple):
    """How well a model follows the rules."""

    losses: Losses
    accuracy: dict[str, float]  # by task, on test words; agreement on withheld pairs too


def measure(
    model: GPTNeoXForCausalLM, made: Tokenizer, spec: RecipeSpec, advance: Callable[[int], None]
) -> Measured:
    """On spec.held_out documents and EXAMPLES of each task. advance: told of documents."""
    from dagster_project.embedded.evaluation import accuracy, held_out, losses

    documents = held_out(made, HELD_OUT + spec.seed, spec.held_out)
    found = losses(model, documents, advance)
    examples = {task: tasks.examples(task, "test", EXAMPLES) for task in tasks.TASKS}
    withheld = {f"{s} withheld": tasks.withheld_pairs(s, EXAMPLES) for s in WITHHELD}
    shares = {name: accuracy(model, made, e) for name, e in {**examples, **withheld}.items()}
    return Measured(found, shares)


def train_dictionaries(
    spec: RecipeSpec,
    model: LanguageModel,
    batch_tokens: int,
    checkpoint: Checkpoint,
    progress: Callable[[Progress], None],
) -> dict[str, SparseDictionary]:
    """A dictionary for each site, of documents as they come in their corpus."""
    from dagster_project.interp.activation_rounds import round_tokens, rounds
    from dagster_project.interp.dictionary_training import train
    from dagster_project.interp.site_names import site_names

    sites = site_names(model.n_layers)
    tokens = round_tokens(len(sites), model.d_model, spec.train.batch, spec.train.tokens)

    def source(start: int) -> Iterator[Tensor]:
        documents = _documents(model, DICTIONARIES + spec.seed)
        return rounds(model, sites, documents, tokens, batch_tokens, tokenizer.BOS_ID, start)

    return train(sites, source, spec.train, model.device, checkpoint, progress)


def dictionary_quality(
    spec: RecipeSpec,
    model: LanguageModel,
    dictionaries: Mapping[str, SparseDictionary],
    batch_tokens: int,
    advance: Callable[[int], None],
) -> pl.DataFrame:
    """Of each site, on held-out documents. advance: told of tokens as they are done."""
    from dagster_project.interp.dictionary_quality import quality

    documents = _documents(model, HELD_OUT + spec.seed)
    held_out = list(islice(documents, min(QUALITY_DOCUMENTS, spec.held_out)))
    bos_id = tokenizer.BOS_ID
    return quality(model, dictionaries, held_out, documents, batch_tokens, bos_id, advance)


def _documents(model: LanguageModel, seed: int) -> Iterator[Ids]:
    return stream.endless(model.tokenizer.backend_tokenizer, seed, POSITIONS)


def in_float16(dictionary: SparseDictionary) -> SparseDictionary:
    """The dictionary as it is stored."""
    weights = ("W_enc", "b_enc", "W_dec", "b_dec")
    return replace(dictionary, **{name: getattr(dictionary, name).half() for name in weights})


def model_figures(curve: Sequence[Look], found: Measured) -> dict[str, object]:
    """What is written beside the model, rounded to what the numbers of examples support."""
    return {
        "loss": round(found.losses.loss, 5),
        "excess_loss_per_token": round(found.losses.excess, 5),
        "excess_loss_per_piece": {
            f"{rule.skill}/{rule.slot}": round(rule.excess, 4) for rule in found.losses.rules
        },
        "accuracy": {task: round(share, 4) for task, share in found.accuracy.items()},
        "training": [
            {
                "step": look.step,
                "loss": round(look.loss, 4),
                "excess_loss_per_token": round(look.held_out.excess, 4),
                "excess_loss_per_piece": {
                    skill: round(nats, 4) for skill, nats in look.held_out.skills().items()
                },
            }
            for look in curve
        ],
    }


def dictionary_figures(quality: pl.DataFrame) -> dict[str, object]:
    """What is written beside the dictionaries: by site, the columns of `quality`."""
    digits = quality.with_columns(pl.col(pl.Float64).round_sig_figs(5))
    return {row.pop("site"): row for row in digits.to_dicts()}


def write_figures(folder: Path, figures: Mapping[str, object]) -> None:
    """What was measured, beside the weights."""
    text = json.dumps(figures, indent=1, allow_nan=False) + "\n"
    (folder / FIGURES).write_text(text, encoding="utf-8")


def read_figures(folder: Path) -> Any:
    """What `write_figures` has written."""
    return json.loads((folder / FIGURES).read_text(encoding="utf-8"))
