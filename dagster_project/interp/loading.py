"""Loading models: from a folder or the hub, held against what is claimed of their parts.

Attention is what the model's class takes by itself: PyTorch's fused one where it can (without a
matrix over pairs of positions it is several times as fast on long documents, and differs from the
eager one by rounding, 1e-6 relative), the eager one where that would leave something out, as the
soft caps of Gemma 2.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import torch

from dagster_project.interp.families import FAMILIES, Modules, guesses
from dagster_project.interp.family_checks import verified
from dagster_project.interp.model import LanguageModel, ModelError, within_reach
from dagster_project.studies.rules import SPREAD

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MOST_NAMED = 5  # weights in a message

log = logging.getLogger(__name__)


def load_model(
    source: str | Path,
    revision: str = "",
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    attention: Literal["auto", "eager", "sdpa"] = "auto",
    max_memory: Mapping[str, float] = MappingProxyType({}),
) -> LanguageModel:
    """The model and tokenizer in a local folder or on the hub. Raises ModelError.

    device: or "spread", over all devices, each taking max_memory GiB of weights at most.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spread = device == SPREAD
    if spread and not find_spec("accelerate"):
        needed = "accelerate, which the extra `spread` installs"
        raise ModelError(f'model {source}: device "{SPREAD}" needs {needed}')
    places = {int(k) if k.isdecimal() else k: int(v * 2**30) for k, v in max_memory.items()}
    with within_reach(source):
        hf, info = AutoModelForCausalLM.from_pretrained(
            source,
            revision=revision or None,
            dtype=dtype,
            attn_implementation=None if attention == "auto" else attention,
            output_loading_info=True,
            **({"device_map": "auto", "max_memory": places or None} if spread else {}),
        )
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision or None)
    if unfit := [*info["missing_keys"], *(str(key) for key in info["mismatched_keys"])]:
        expected = "expected weights for every parameter, of its shape"
        raise ModelError(f"model {source}: {expected}; missing or of another shape: {_some(unfit)}")
    if spread and next(hf.parameters()).is_meta:
        expected = "a device that holds the embedding at least (compute.max_memory)"
        raise ModelError(f"model {source}: expected {expected}, found none")
    if unused := [*info["unexpected_keys"]]:
        log.warning("model %s: its class has no use for %s", source, _some(unused))
    return wrap(hf if spread else hf.to(device), tokenizer)


def wrap(hf: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> LanguageModel:
    """A loaded Hugging Face model as a LanguageModel, its parts where they are claimed to be.

    Raises ModelError that says what does not add up.
    """
    from nnsight import NNsight

    hf = hf.eval().requires_grad_(False)
    if hf.device.type == "cuda":  # cuDNN plans its attention anew, 6 ms, for each shape of a batch
        torch.backends.cuda.enable_cudnn_sdp(False)
    config, nn, head = hf.config.get_text_config(), NNsight(hf), hf.get_output_embeddings()
    known, n_layers = FAMILIES.get(config.model_type), config.num_hidden_layers
    problems: dict[str, Modules] = {}
    for modules in [known] if known else guesses(hf, n_layers):
        model = LanguageModel(
            hf=hf,
            nn=nn,
            tokenizer=tokenizer,
            modules=modules,
            parallel=False,
            n_layers=n_layers,
            d_model=config.hidden_size,
            d_values=0,
            n_vocab=len(head.weight),
            head_name=next(n for n, m in hf.named_modules() if m is head),
            cap=getattr(config, "final_logit_softcapping", None) or 0.0,
        )
        try:
            return verified(model)
        except ModelError as error:
            problems.setdefault(str(error), modules)
    raise ModelError(_refusal(hf, problems))


def _refusal(hf: PreTrainedModel, problems: dict[str, Modules]) -> str:
    family, source = hf.config.model_type, hf.config.name_or_path or type(hf).__name__
    if family in FAMILIES:
        return f'model {source}: family "{family}": {next(iter(problems))}'
    known = f"known families are {', '.join(FAMILIES)}"
    if not problems:
        wanted = "layers with attention, its output projection, an MLP and a final norm"
        return f'model {source}: family "{family}" has no {wanted} by names that are known; {known}'
    tried = "; ".join(
        f"with {m.attention}{f' and {m.attention_norm}' if m.attention_norm else ''}, "
        f"{m.mlp}, {m.mid}: {problem}"
        for problem, m in problems.items()
    )
    return f'model {source}: family "{family}" is not known and does not add up: {tried}; {known}'


def _some(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
