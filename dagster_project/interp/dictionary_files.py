"""Dictionaries on disk, read without a network and never by guessing.

Two layouts of a root folder:
- ours, written by `save`: `<root>/<site>/dictionary.safetensors` and `config.json`;
- that of dictionary_learning and the Pythia set (Marks et al. 2024):
  `<root>/{embed, attn_out_layer{i}, mlp_out_layer{i}, resid_out_layer{i}}/<id>_<F>/ae.pt` and
  `config.json`, see `dictionary_learning_files`.
Whatever does not fit (a key, a shape, a class, a value that is not finite, a width that is not
the model's, a choice to be made) is a DictionaryError that names the file, what was expected and
what was found. Cost: one read of each file, with the weights on the CPU first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dagster_project.interp.dictionary import Activation, IdentityDictionary, SparseDictionary
from dagster_project.interp.dictionary_checks import (
    DictionaryError,
    Sides,
    check_tensors,
    checked_k,
    read_json,
    write_json,
)
from dagster_project.interp.dictionary_learning_files import load_dictionary_learning
from dagster_project.interp.site_names import parse_site
from dagster_project.studies.rules import is_path

WEIGHTS, CONFIG = "dictionary.safetensors", "config.json"
FORMAT = "circuit-lake/1"
_FOLDERS = {"attn": "attn_out_layer", "mlp": "mlp_out_layer", "resid": "resid_out_layer"}
_SIDES: dict[str, Sides] = {
    "W_enc": ("F", "d"),
    "b_enc": ("F",),
    "W_dec": ("F", "d"),
    "b_dec": ("d",),
    "threshold": ("F",),
}


def load_sites(
    root: Path,
    sites: Sequence[str],
    d_model: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict[str, SparseDictionary]:
    """The dictionary of each site below a folder of either layout. Raises DictionaryError."""
    return {site: _moved(load_site(root, site, d_model), device, dtype) for site in sites}


def _moved(
    dictionary: SparseDictionary, device: torch.device | str, dtype: torch.dtype
) -> SparseDictionary:
    """The same dictionary there, in that type."""
    threshold = dictionary.threshold
    return replace(
        dictionary,
        W_enc=dictionary.W_enc.to(device, dtype),
        b_enc=dictionary.b_enc.to(device, dtype),
        W_dec=dictionary.W_dec.to(device, dtype),
        b_dec=dictionary.b_dec.to(device, dtype),
        threshold=threshold.to(device, dtype) if isinstance(threshold, Tensor) else threshold,
    )


def load_site(root: Path, site: str, d_model: int) -> SparseDictionary:
    """One site's dictionary, float32 on the CPU. Raises DictionaryError."""
    if not root.is_dir():
        raise DictionaryError(root, "a folder of dictionaries", "none")
    ours, theirs = root / site, root / folder_name(site)
    if (ours / WEIGHTS).is_file() or (ours / CONFIG).is_file():
        return load(ours, d_model)
    if theirs.is_dir():
        return load_dictionary_learning(theirs, d_model)
    present = ", ".join(sorted(p.name for p in root.iterdir() if p.is_dir())) or "none"
    expected = f"a folder {site} or {theirs.name} with a dictionary of the site"
    raise DictionaryError(root, expected, f"folders {present}")


def folder_name(site: str) -> str:
    """The site's folder in dictionary_learning's layout: attn_3 -> attn_out_layer3."""
    kind, layer = parse_site(site)
    return site if kind == "embed" else f"{_FOLDERS[kind]}{layer}"


def save(dictionary: SparseDictionary, folder: Path, about: Mapping[str, object]) -> None:
    """Write our form; `about` (how it was trained, …) goes into config.json for the reader."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {n: getattr(dictionary, n) for n in _SIDES if getattr(dictionary, n) is not None}
    if isinstance(dictionary.threshold, float):
        tensors["threshold"] = torch.full((dictionary.n_features,), dictionary.threshold)
    temporary = folder / f"{WEIGHTS}.{os.getpid()}.tmp"
    save_file({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, temporary)
    temporary.replace(folder / WEIGHTS)
    config = {
        "format": FORMAT,
        "activation": dictionary.activation,
        "k": dictionary.k,
        "d_model": dictionary.d_model,
        "n_features": dictionary.n_features,
        "about": dict(about),
    }
    write_json(folder / CONFIG, config)


def load(folder: Path, d_model: int) -> SparseDictionary:
    """The dictionary in a folder of our form. Raises DictionaryError."""
    file, config = folder / CONFIG, read_json(folder / CONFIG)
    if config.get("format") != FORMAT:
        raise DictionaryError(file, f'format "{FORMAT}"', repr(config.get("format")))
    activation, k = config.get("activation"), config.get("k")
    if activation not in get_args(Activation):
        raise DictionaryError(file, f"activation one of {get_args(Activation)}", repr(activation))
    if not isinstance(k, int) or isinstance(k, bool) or k < 0:
        raise DictionaryError(file, "k, an integer from 0 on", repr(k))
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise DictionaryError(folder / WEIGHTS, "a safetensors file", error) from error
    keys = [n for n in _SIDES if n != "threshold" or activation == "jumprelu"]
    check_tensors(folder / WEIGHTS, tensors, {n: _SIDES[n] for n in keys}, d_model)
    threshold = _number_if_one(tensors.pop("threshold", None))
    kind = cast(Activation, activation)
    dictionary = SparseDictionary(**tensors, activation=kind, k=k, threshold=threshold)
    return checked_k(file, dictionary)


def _number_if_one(threshold: Tensor | None) -> Tensor | float | None:
    """What all features have in common, where they do."""
    if threshold is None or (threshold != threshold[0]).any():
        return threshold
    return float(threshold[0])


def identities(
    sites: Sequence[str],
    d_model: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict[str, IdentityDictionary]:
    """Neurons as features, at each site."""
    return {site: IdentityDictionary(d_model, device, dtype) for site in sites}


def find_root(local: Path, source: str, revision: str) -> Path:
    """The local folder where it is there, else a snapshot of the hub repository `source`.

    Raises DictionaryError where there is neither. The hub is not asked for a `source` that is
    written like a path.
    """
    if local.is_dir():
        return local
    if is_path(source):
        raise DictionaryError(local, "a folder of dictionaries", "none")
    from huggingface_hub import snapshot_download

    patterns = ["*.pt", "*.safetensors", "*.json"]
    try:
        return Path(snapshot_download(source, revision=revision or None, allow_patterns=patterns))
    except (OSError, ValueError) as error:  # no such repository, no network, not an id
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise DictionaryError(local, f'a folder, or "{source}" on the hub', first) from error
