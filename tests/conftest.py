"""Shared fixtures: tiny random models with a real tokenizer, and the optional reference data."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import dagster as dg
    from playwright.sync_api import Browser
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from dagster_project.interp.model import LanguageModel

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors; inherited by what tests start

settings.register_profile("untimed", deadline=None, max_examples=50)  # the whole suite in minutes
settings.load_profile("untimed")

FAMILIES = ("neox", "gpt2", "gemma2")
"""Three that have little in common: parallel; learned positions and transposed weights; norms
after, caps, windows, grouped heads wider than the stream."""
EVERY_FAMILY = (*FAMILIES, "neox_sequential", "llama", "mistral", "qwen3")

SENTENCES = [
    f"{start} {noun} {verb} {rest}"
    for start in ("the", "a", "one day the", "then the")
    for noun in ("girl", "girls", "boy", "boys", "dog", "dogs", "cat", "cats")
    for verb in ("was", "were", "saw", "had")
    for rest in ("happy", "in the park", "a big red ball", "so sad")
]
"""The corpus of the tiny models: 512 lines."""


def make_tokenizer(*, bos: bool) -> PreTrainedTokenizerFast:
    """A BPE of 96 entries trained on SENTENCES; with `bos`, `<s>` starts every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(
        vocab_size=96, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def make_model(family: str, seed: int = 0) -> LanguageModel:
    """A random model: 2 layers, d_model 16, 4 heads, 96 tokens; weights larger than usual, so
    that every part matters."""
    from dagster_project.interp.loading import wrap

    return wrap(random_model(family, seed), make_tokenizer(bos=family not in WITHOUT_BOS))


WITHOUT_BOS = ("neox", "neox_sequential", "gpt2")
COMMON: dict[str, object] = {
    "vocab_size": 96,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED: dict[str, object] = {"intermediate_size": 40, "num_key_value_heads": 2}
NEOX: dict[str, object] = {"intermediate_size": 32, "hidden_dropout": 0.0, "attention_dropout": 0.0}
GEMMA: dict[str, object] = {  # heads wider than the stream; caps and a window that matter
    **GROUPED,
    "head_dim": 8,
    "query_pre_attn_scalar": 8,
    "sliding_window": 5,
    "attn_logit_softcapping": 2.0,
    "final_logit_softcapping": 3.0,
}
CONFIGURATIONS: dict[str, tuple[str, dict[str, object]]] = {
    "neox": ("gpt_neox", NEOX | {"use_parallel_residual": True}),
    "neox_sequential": ("gpt_neox", NEOX | {"use_parallel_residual": False}),
    "llama": ("llama", GROUPED),
    "gpt2": ("gpt2", {"n_inner": 40}),
    "mistral": ("mistral", GROUPED | {"sliding_window": 5}),
    "qwen3": ("qwen3", GROUPED | {"head_dim": 8}),
    "gemma2": ("gemma2", GEMMA),
    "glm4": ("glm4", GROUPED | {"head_dim": 4}),
    "starcoder2": ("starcoder2", GROUPED),
    "olmo2": ("olmo2", GROUPED),
    "phi": ("phi", {"intermediate_size": 40}),
}


def random_model(
    family: str, seed: int = 0, options: Mapping[str, object] | None = None
) -> PreTrainedModel:
    """A model made from its configuration, of a family of CONFIGURATIONS or of transformers."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    model_type, usual = CONFIGURATIONS.get(family, (family, {}))
    config = AutoConfig.for_model(model_type, **{**COMMON, **usual, **(options or {})})
    model = AutoModelForCausalLM.from_config(config)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):  # zero by default; make biases matter
            torch.nn.init.normal_(weight, std=0.1)
        elif "norm" in name or ".ln_" in name:
            torch.nn.init.normal_(weight, mean=weight.mean().item(), std=0.1)
    return model


TINY_STUDY = """
[model]
source = "./model"

[corpus]
files = ["corpus/*.jsonl"]
rows_per_shard = 128

[tokens]
max_tokens = 32

[dictionaries]
source = "{dictionaries}"
held_out_tokens = 512

[dictionaries.train]
expansion = 2
k = 4
tokens = 20_000
batch = 256
dead_after = 5_000

[contexts]
n_ctx = 6
max_loss = 100.0
skip_trigrams = false
target = 60

[clusterings.effects-3]
n_clusters = 3

[clusterings.gradients-3]
representation = "gradients"
n_clusters = 3

[tasks.number]
templates = ["the {}", "one day the {}"]
fills = [["girl", "girls"], ["boy", "boys"], ["dog", "dogs"], ["cat", "cats"]]
answers = [" was", " were"]
node_threshold = 0.001
edge_threshold = 0.001

[cluster_tasks]
clustering = "effects-3"
largest = 1
max_examples = 12
node_threshold = 0.001
edge_threshold = 0.001

[node_effects]
steps = 4
bootstrap = 20

[faithfulness]
sizes = [0, 5, 20]
random_seeds = 2
bootstrap = 20

[shift]
site = "resid_0"
candidates = 20
by_rule = 3
random_seeds = 1
train = 16
test = 16

[shift.probes]
two = ["nurse", "pilot"]

[compute]
device = "cpu"
"""
"""A whole study that runs in seconds."""


def teach(model: LanguageModel, steps: int = 60) -> None:
    """A second of school: Adam on SENTENCES, so that the model is better than chance."""
    import torch

    ids = [model.tokenizer(text).input_ids for text in SENTENCES]
    longest = max(map(len, ids))
    batch = torch.tensor([row + [2] * (longest - len(row)) for row in ids])
    order = torch.Generator().manual_seed(0)
    model.hf.requires_grad_(True)
    optimizer = torch.optim.Adam(model.hf.parameters(), lr=1e-2)
    for _ in range(steps):
        rows = batch[torch.randint(len(batch), (64,), generator=order)]
        model.hf(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.hf.requires_grad_(False)


@cache
def taught(family: str) -> LanguageModel:
    """A small model after school."""
    model = make_model(family)
    teach(model)
    return model


def write_tiny_study(
    folder: Path, name: str = "tiny", family: str = "llama", dictionaries: str = "train"
) -> Path:
    """A study's TOML with its small model and a corpus of 512 lines in two files."""
    model = taught(family)
    model.hf.save_pretrained(folder / "model")
    model.tokenizer.save_pretrained(folder / "model")
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for part in (0, 1):
        lines = SENTENCES[part * 256 : (part + 1) * 256]
        rows = [{"text": text, "meta": {"pile_set_name": f"part {part}"}} for text in lines]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (corpus / f"{part}.jsonl").write_text(text)
    file = folder / f"{name}.toml"
    file.write_text(TINY_STUDY.replace("{dictionaries}", dictionaries))
    return file


@contextmanager
def history_in(home: Path) -> Iterator[dg.DagsterInstance]:
    """A folder's Dagster history as a study's run writes it."""
    from dagster._core.instance.ref import InstanceRef

    from dagster_project.history import history

    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with history(InstanceRef.from_dir(str(home))) as instance:
        yield instance


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole studies and their UI first: where two processes share the tests, neither then waits
    for the longest files of the other."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


@pytest.fixture(autouse=True)
def own_event_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """A browser's event loop, once started, runs on in this thread: tests that know of none may
    run their own."""
    running = None if "browser" in request.fixturenames else asyncio._get_running_loop()
    if running:
        asyncio._set_running_loop(None)
    yield
    if running:
        asyncio._set_running_loop(running)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, for all user interfaces."""
    from tests.browser import running_browser

    with running_browser() as made:
        yield made


@pytest.fixture(scope="session")
def tiny_neox() -> LanguageModel:
    return make_model("neox")


@pytest.fixture(scope="session")
def tiny_neox_sequential() -> LanguageModel:
    return make_model("neox_sequential")


@pytest.fixture(scope="session")
def tiny_llama() -> LanguageModel:
    return make_model("llama")


@pytest.fixture(scope="session", params=FAMILIES)
def any_model(request: pytest.FixtureRequest) -> LanguageModel:
    """Each family in turn."""
    return make_model(request.param)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The optional folder of real models and reference numbers beside the repository."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "reference").is_dir():
        pytest.skip("no reference data beside the repository")
    return folder


@pytest.fixture(scope="session")
def stories(shared: Path) -> LanguageModel:
    """A real model: stories260K, 5 layers, Llama family."""
    from dagster_project.interp.loading import load_model

    return load_model(shared / "models" / "stories260k")
