"""Dictionaries of SAELens: a folder with `cfg.json` and `sae_weights.safetensors`.

With W_enc [d, F], W_dec [F, d], and x − b_dec for x where cfg.json says `apply_b_dec_to_input`:
- standard: f = ReLU(x W_enc + b_enc); topk: the k largest of it; jumprelu: those above threshold;
- gated: f = 1[x W_enc + b_gate > 0] · ReLU(e^r_mag x W_enc + b_mag).
x̂ = f W_dec + b_dec. What cfg.json says besides is in `saelens_config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from dagster_project.interp.dictionary import SparseDictionary
from dagster_project.interp.dictionary_checks import (
    DictionaryError,
    Sides,
    check_k,
    check_tensors,
    checked,
    parse_json,
    write_json,
)
from dagster_project.interp.dictionary_folding import (
    folded,
    folded_gate,
    of_centred,
    of_scaled,
    of_unit_rows,
)
from dagster_project.interp.file_tree import Folder
from dagster_project.interp.foreign_names import hooks
from dagster_project.interp.saelens_config import Encoding, encoding

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"
VERSION = "6.0.0"  # whose cfg.json is written
_MATRICES: dict[str, Sides] = {"W_enc": ("d", "F"), "W_dec": ("F", "d"), "b_dec": ("d",)}
_BIASES: dict[str, tuple[str, ...]] = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
}


def load_saelens(
    folder: Folder, site: str, width: int | None, scale: float | None = None
) -> SparseDictionary:
    """The dictionary in a folder. Raises DictionaryError.

    scale: what activations are multiplied by first, which files that say
    `expected_average_only_in` leave to their reader.
    """
    file, config = folder.file(WEIGHTS), folder.file(CONFIG)
    said = encoding(config, parse_json(config, folder.read(CONFIG)), site)
    if said.scaled and scale is None:
        expected = "a scale from the study (normalize_activations = expected_average_only_in)"
        raise DictionaryError(config, expected, "none")
    if said.unit_rows and said.architecture != "topk":
        expected = f"rescale_acts_by_decoder_norm false with architecture {said.architecture}"
        raise DictionaryError(config, expected, "true")
    state = read_safetensors(file, folder.read(WEIGHTS))
    _check_scaling_factor(file, state.pop("scaling_factor", None))
    biases: dict[str, Sides] = dict.fromkeys(_BIASES[said.architecture], ("F",))
    n_features = check_tensors(file, state, {**_MATRICES, **biases}, width)
    for key, value, stored in (
        ("d_in", said.d_in, len(state["b_dec"])),
        ("d_sae", said.d_sae, n_features),
    ):
        if value not in (None, stored):
            raise DictionaryError(config, f"{key} {stored}, as in {WEIGHTS}", repr(value))
    found = _made(config, said, state)
    if said.centred:
        found = of_centred(found)
    return checked(file, found if scale is None else of_scaled(found, scale))


def _made(config: Path, said: Encoding, t: Mapping[str, Tensor]) -> SparseDictionary:
    W_enc, W_dec, b_dec = t["W_enc"].T, t["W_dec"], t["b_dec"]
    if said.architecture == "gated":
        gate = (t["r_mag"], t["b_gate"], t["b_mag"])
        return folded_gate(W_enc, *gate, W_dec, b_dec, subtracted=said.subtracted)
    b_enc = t["b_enc"]
    if said.architecture == "jumprelu":
        threshold, weights = t["threshold"], (W_enc, b_enc, W_dec, b_dec)
        return folded(
            *weights, subtracted=said.subtracted, activation="jumprelu", threshold=threshold
        )
    if said.architecture == "standard":
        return folded(W_enc, b_enc, W_dec, b_dec, subtracted=said.subtracted)
    k = check_k(config, said.k, len(b_enc))
    if said.unit_rows:
        if silent := int((W_dec.double().norm(dim=-1) == 0).sum()):
            expected = "decoder rows that are not 0, since activations are rescaled by their norm"
            raise DictionaryError(config, expected, f"{silent} of 0")
        if said.subtracted:
            b_enc = b_enc.double() - W_enc.double() @ b_dec.double()
        W_enc, b_enc, W_dec = of_unit_rows(W_enc, b_enc, W_dec)
        return folded(W_enc, b_enc, W_dec, b_dec, subtracted=False, activation="topk", k=k)
    return folded(W_enc, b_enc, W_dec, b_dec, subtracted=said.subtracted, activation="topk", k=k)


def save_saelens(dictionary: SparseDictionary, site: str, folder: Path) -> Path:
    """Write `<folder>/<hook>/{cfg.json, sae_weights.safetensors}`, and say where. Weights are kept
    to the bit; nothing is left to subtract."""
    place, d = folder / hooks(site)[0], dictionary
    place.mkdir(parents=True, exist_ok=True)
    architecture = {"relu": "standard"}.get(d.activation, d.activation)
    state = {"W_enc": d.W_enc.T, "b_enc": d.b_enc, "W_dec": d.W_dec, "b_dec": d.b_dec}
    if d.threshold is not None:
        state["threshold"] = torch.as_tensor(d.threshold).expand(d.n_features)
    content = {n: t.detach().cpu().contiguous() for n, t in state.items()}
    safetensors.torch.save_file(content, place / WEIGHTS)
    config: dict[str, object] = {
        "architecture": architecture,
        "d_in": d.d_model,
        "d_sae": d.n_features,
        "dtype": str(d.W_enc.dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "hook_z" if site.startswith("z_") else "none",
        "metadata": {"sae_lens_version": VERSION, "hook_name": hooks(site)[0]},
    }
    if d.activation == "topk":
        config |= {"k": d.k, "rescale_acts_by_decoder_norm": False}
    write_json(place / CONFIG, config)
    return place


def read_safetensors(file: Path, content: bytes) -> dict[str, Tensor]:
    """Tensors by name. Raises DictionaryError."""
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise DictionaryError(file, "a safetensors file", error) from error


def _check_scaling_factor(file: Path, factor: Tensor | None) -> None:
    """Older files may have one, of ones where it has not been fitted."""
    if factor is not None and (factor != 1).any():
        raise DictionaryError(file, "a scaling_factor of ones, or none", "others")
