"""Dictionaries of EleutherAI's sparsify: a folder with `cfg.json` and `sae.safetensors`, TopK.

f = the k largest of ReLU(W (x − b_dec) + b), x̂ = f W_dec + b_dec. What makes another function of it
(transcoders, skip connections, signed features, features in groups) is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dagster_project.interp.dictionary import SparseDictionary
from dagster_project.interp.dictionary_checks import (
    DictionaryError,
    Sides,
    check_k,
    check_tensors,
    checked,
    parse_json,
)
from dagster_project.interp.dictionary_folding import folded
from dagster_project.interp.file_tree import Folder
from dagster_project.interp.saelens_files import read_safetensors

WEIGHTS, CONFIG = "sae.safetensors", "cfg.json"
_SIDES: dict[str, Sides] = {
    "encoder.weight": ("F", "d"),
    "encoder.bias": ("F",),
    "W_dec": ("F", "d"),
    "b_dec": ("d",),
}
_USUAL: dict[str, object] = {
    "activation": "topk",
    "signed": False,
    "transcode": False,
    "skip_connection": False,
}
_NO_MEANING = {"expansion_factor", "normalize_decoder", "num_latents", "k", "d_in", "multi_topk"}


def load_sparsify(folder: Folder, width: int | None) -> SparseDictionary:
    """The dictionary in a folder. Raises DictionaryError."""
    file, config = folder.file(WEIGHTS), folder.file(CONFIG)
    said = parse_json(config, folder.read(CONFIG))
    _check(config, said)
    t = read_safetensors(file, folder.read(WEIGHTS))
    n_features = check_tensors(file, t, _SIDES, width)
    d = len(t["b_dec"])
    features = said.get("num_latents") or d * _number(config, said, "expansion_factor")
    for key, value, stored in (
        ("d_in", said.get("d_in"), d),
        ("num_latents", features, n_features),
    ):
        if value != stored:
            raise DictionaryError(config, f"{key} {stored}, as in {WEIGHTS}", repr(value))
    k = check_k(config, said.get("k"), n_features)
    weights = (t["encoder.weight"], t["encoder.bias"], t["W_dec"], t["b_dec"])
    return checked(file, folded(*weights, subtracted=True, activation="topk", k=k))


def _check(config: Path, said: Mapping[str, object]) -> None:
    for key, usual in _USUAL.items():
        if said.get(key, usual) != usual:
            raise DictionaryError(config, f"{key} {usual!r}", repr(said[key]))
    if unknown := sorted(said.keys() - _USUAL.keys() - _NO_MEANING):
        found = ", ".join(f"{key} = {said[key]!r}" for key in unknown)
        raise DictionaryError(config, "keys that are known, since none is passed over", found)


def _number(config: Path, said: Mapping[str, object], key: str) -> int:
    if not isinstance(found := said.get(key), int):
        raise DictionaryError(config, f"num_latents, or {key}, an integer", repr(found))
    return found
