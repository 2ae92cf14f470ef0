"""What stages share: the lake, and one model and one set of dictionaries a process.

nnsight is not thread-safe, and a model is worth keeping between steps of one process: the last
one used stays in memory, so that a run of a whole study loads it once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from dagster_project.lake.store import Lake
from dagster_project.processes import cores, threads
from dagster_project.provenance import content_hash
from dagster_project.studies.parsing import StudyError
from dagster_project.studies.rules import EMBEDDED, SPREAD, is_path
from dagster_project.studies.study import Device, Study

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from dagster_project.interp.budget import Budget
    from dagster_project.interp.dictionary import Dictionary
    from dagster_project.interp.model import LanguageModel

ROOT_VARIABLE = "CIRCUIT_LAKE_ROOT"
WEIGHTS = Path(__file__).parent / "embedded" / "weights"
"""The package's own model and dictionaries, in the folders `model` and `dictionaries`."""


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # has no value of its own
    """The lake that assets read and write."""

    root: str

    @property
    def lake(self) -> Lake:
        return Lake(Path(self.root))


def default_root() -> str:
    """The lake's root: CIRCUIT_LAKE_ROOT, or the folder `lake` where the program runs."""
    return os.environ.get(ROOT_VARIABLE) or str(Path("lake").resolve())


def model_source(study: Study) -> str:
    """The folder of the package's or a local model, absolute; else the hub id."""
    source = study.model.source
    if source == EMBEDDED:
        return str(WEIGHTS / "model")
    local = study.path(source)
    return str(local) if local.is_dir() or is_path(source) else source


def model_content(study: Study) -> str:
    """What identifies the weights: the content of a folder, or hub id and revision."""
    source = Path(model_source(study))
    return content_hash(source) if source.is_dir() else f"{source}@{study.model.revision}"


def present_source(study: Study) -> str:
    """As `model_source`. Raises ModelError where the package's own model has not been made."""
    from dagster_project.interp.model import ModelError

    source = model_source(study)
    if study.model.source == EMBEDDED and not Path(source).is_dir():
        raise ModelError(f'model "{EMBEDDED}": expected the package\'s own in {source}, found none')
    return source


def device(study: Study) -> str:
    """The device that is meant on this machine. Raises StudyError for one that it lacks."""
    wanted: Device = study.compute.device
    if wanted == "cpu":
        return wanted
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(wanted, True):
        expected = f"a device of this machine (auto, cpu, {SPREAD})"
        raise StudyError(study.file, "compute.device", expected, wanted)
    if wanted in there:
        return wanted
    return next((device for device, present in there.items() if present), "cpu")


def processes_of(study: Study) -> int:
    """Processes that make a study's partitions side by side."""
    most = min(study.compute.workers, cores())
    return most if most == 1 or device(study) == "cpu" else 1


@contextmanager
def same_bits(study: Study) -> Iterator[None]:
    """Kernels that give the same bits each time, where the study asks for them."""
    if not study.compute.deterministic:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when a GPU is first used
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def share_of_cores(study: Study) -> Iterator[None]:
    """As many threads as fall to one of a study's processes, however it is materialized: sums
    depend on them, in their last bits."""
    if (processes := processes_of(study)) == 1:
        yield
    else:
        with threads(cores() // processes):
            yield


def model(study: Study) -> LanguageModel:
    """The study's model, on its device; the last one loaded is kept."""
    spec = study.model
    source, content = present_source(study), model_content(study)
    most = tuple(study.compute.max_memory.items())
    key = (source, content, spec.revision, spec.dtype, spec.attention, study.compute.device, most)
    if key not in _models:
        _models.clear()
        _models[key] = _loaded(study, source)
    return _models[key]


def _loaded(study: Study, source: str) -> LanguageModel:
    import torch

    from dagster_project import memory
    from dagster_project.interp.loading import load_model

    spec, where = study.model, SPREAD if study.compute.device == SPREAD else device(study)
    if where != SPREAD:
        needs = memory.needs(study, model=True, dictionaries=False, training=False)
        memory.check(needs, study)
    return load_model(
        source,
        spec.revision,
        getattr(torch, spec.dtype),
        where,
        spec.attention,
        study.compute.max_memory,
    )


_models: dict[tuple[object, ...], LanguageModel] = {}  # one entry at most


def batch(study: Study, n_sites: int) -> Budget:
    """Tokens in a batch of circuit discovery, n_sites having a dictionary: what the study asks for,
    as far as each of its processes has the memory."""
    from dagster_project.interp.budget import budget

    spec = study.compute
    share = spec.memory_share / processes_of(study)
    return budget(model(study), n_sites, spec.batch_tokens, share)


def tokenizer(study: Study) -> PreTrainedTokenizerBase:
    """The tokenizer of the study's model, which is not loaded. Raises ModelError."""
    return _tokenizer(present_source(study), model_content(study), study.model.revision)


@lru_cache(maxsize=1)
def _tokenizer(source: str, _content: str, revision: str) -> PreTrainedTokenizerBase:
    from dagster_project.interp.tokenizer import load_tokenizer

    return load_tokenizer(source, revision)


def n_vocab(study: Study) -> int:
    """Token ids of the study's model, which is not loaded. Raises ModelError."""
    from dagster_project.interp.tokenizer import vocabulary_size

    return vocabulary_size(present_source(study), study.model.revision)


def dictionaries(study: Study, lake: Lake) -> dict[str, Dictionary]:
    """The study's dictionaries by site, in forward order, on the model's device; the last ones
    loaded are kept. They are float32 whatever the model's dtype. Raises DictionaryError where they
    have not been materialized."""
    from dagster_project import memory
    from dagster_project.assets import dictionaries as stage

    key = (lake.root, study.name, lake.marked(stage.STAGE.name, study.name))
    if key not in _dictionaries:
        held = model(study)
        _dictionaries.clear()
        if study.compute.device != SPREAD and key[-1] is not None:
            needs = memory.needs(study, model=False, dictionaries=True, training=False)
            memory.check(needs, study)
        _dictionaries[key] = stage.load(study, lake, held)
    return _dictionaries[key]


_dictionaries: dict[tuple[Path, str, str | None], dict[str, Dictionary]] = {}  # one entry at most
