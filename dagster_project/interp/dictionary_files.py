"""Dictionaries on disk or on the hub, read without guessing which folder and which form.

Forms, each recognised by the file that holds the weights:
- ours, written by `save`: `dictionary.safetensors` and `config.json`;
- `ae.pt` and `config.json`: `dictionary_learning_files`;
- `sae_weights.safetensors` and `cfg.json`: `saelens_files`;
- `sae.safetensors` and `cfg.json`: `sparsify_files`;
- `params.npz`: `gemma_scope_files`.
A site's folder is the one that a study's pattern matches, or that has one of the names which the
forms give it, at any depth: `<site>`, `attn_out_layer3/<id>_<F>`, `blocks.3.hook_attn_out`, …
Whatever does not fit (a key, a shape, a class, a value that is not finite, a width that is not
the site's, a choice to be made) is a DictionaryError that names the file, what was expected and
what was found. Cost: one read of each file into memory, with the weights on the CPU first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import cast, get_args

import torch
from safetensors.torch import save_file
from torch import Tensor

from dagster_project.interp import (
    dictionary_learning_files,
    gemma_scope_files,
    saelens_files,
    sparsify_files,
)
from dagster_project.interp.dictionary import Activation, SparseDictionary
from dagster_project.interp.dictionary_checks import (
    DictionaryError,
    Sides,
    check_k,
    check_tensors,
    parse_json,
    write_json,
)
from dagster_project.interp.dictionary_folding import number_if_one, of_centred, of_scaled
from dagster_project.interp.file_tree import FileTree, Folder, folder_tree, zip_tree
from dagster_project.interp.foreign_names import folder_name, hooks, module_names
from dagster_project.interp.site_names import parse_site

WEIGHTS, CONFIG = "dictionary.safetensors", "config.json"
FORMAT = "circuit-lake/1"
LISTED = 12  # folders that an error names
_SIDES: dict[str, Sides] = {
    "W_enc": ("F", "d"),
    "b_enc": ("F",),
    "W_dec": ("F", "d"),
    "b_dec": ("d",),
    "threshold": ("F",),
}
_FILES = {  # of weights, and of what is said about them
    WEIGHTS: CONFIG,
    dictionary_learning_files.WEIGHTS: dictionary_learning_files.CONFIG,
    saelens_files.WEIGHTS: saelens_files.CONFIG,
    sparsify_files.WEIGHTS: sparsify_files.CONFIG,
    gemma_scope_files.WEIGHTS: None,
}


@dataclass(frozen=True)
class Place:
    """Where the dictionaries of some sites are, and what their files do not say."""

    tree: FileTree
    path: str = ""  # pattern of the folder, with {layer}; "": by the site's names
    nearest_l0: int | None = None  # of several that match, the one whose name ends nearest to it
    scale: float | None = None  # what activations are multiplied by first
    centred: bool = False  # whether the mean of an activation's numbers is taken from it first


def load_sites(
    root: Path,
    widths: Mapping[str, int],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict[str, SparseDictionary]:
    """The dictionary of each site below a folder or in a zip file, whatever its form.

    widths: site -> numbers of its activation. Raises DictionaryError.
    """
    place = Place(zip_tree(root) if root.is_file() else folder_tree(root))
    return {site: moved(load_site(place, site, d), device, dtype) for site, d in widths.items()}


def moved(
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


def load_site(place: Place, site: str, width: int | None) -> SparseDictionary:
    """One site's dictionary, float32 on the CPU. Raises DictionaryError.

    width: of the site's activation; None: as the file says.
    """
    folder = find_folder(place, site)
    if folder is None:
        present = sorted(_folders(place.tree))
        more = f" and {len(present) - LISTED} more" if len(present) > LISTED else ""
        expected = f"a dictionary of {site} in a folder {' or '.join(_patterns(place, site))}"
        found = f"dictionaries in {', '.join(present[:LISTED]) or 'no folder'}{more}"
        raise DictionaryError(place.tree.label, expected, found)
    return read_folder(folder, site, width, place)


def find_folder(place: Place, site: str) -> Folder | None:
    """The one folder of a site's dictionary; None where there is none. Raises DictionaryError where
    there are several."""
    patterns = [pattern.split("/") for pattern in _patterns(place, site)]
    found = sorted(
        name
        for name in _folders(place.tree)
        if any(_matches(name.split("/"), pattern, whole=bool(place.path)) for pattern in patterns)
    )
    if not place.tree.whole and (not found or place.nearest_l0 is not None):
        expected = f"a network, to tell whether there is a dictionary of {site} and which"
        raise DictionaryError(place.tree.label, expected, "what was fetched of the hub before")
    if len(found) > 1 and place.nearest_l0 is not None:
        found = [_nearest(place, found, place.nearest_l0)]
    if len(found) > 1:
        expected = f"exactly one folder of {site}: {' or '.join(_patterns(place, site))}"
        raise DictionaryError(place.tree.label, expected, ", ".join(found))
    return place.tree.folder(found[0]) if found else None


def _folders(tree: FileTree) -> set[str]:
    """Folders that have a file of a dictionary."""
    files = {*_FILES, *(about for about in _FILES.values() if about)}
    paths = [PurePosixPath(name) for name in tree.names]
    return {str(path.parent) for path in paths if path.name in files}


def _patterns(place: Place, site: str) -> list[str]:
    if place.path:
        return [place.path.strip("/").replace("{layer}", str(max(0, parse_site(site).layer)))]
    theirs = folder_name(site)
    return [site, *([f"{theirs}/*_[0-9]*"] if theirs else []), *hooks(site), *module_names(site)]


def _matches(folder: Sequence[str], pattern: Sequence[str], *, whole: bool) -> bool:
    """Name by name: a * does not pass a /. Not whole: the end of the folder's path."""
    if len(folder) < len(pattern) or (whole and len(folder) != len(pattern)):
        return False
    return all(map(fnmatchcase, folder[-len(pattern) :], pattern))


def _nearest(place: Place, folders: Sequence[str], wanted: int) -> str:
    """The folder whose name ends in the number nearest to that wanted, the lower of two."""
    numbers = {name: re.search(r"([0-9]+)$", name) for name in folders}
    if unnumbered := [name for name, number in numbers.items() if number is None]:
        expected = "folders whose names end in their L0, for nearest_l0"
        raise DictionaryError(place.tree.label, expected, ", ".join(unnumbered))
    ends = {name: int(number[1]) for name, number in numbers.items() if number}
    return min(folders, key=lambda name: (abs(ends[name] - wanted), ends[name]))


def read_folder(folder: Folder, site: str, width: int | None, place: Place) -> SparseDictionary:
    """The dictionary in a folder, of whatever form. Raises DictionaryError."""
    kinds = [file for file in _FILES if folder.has(file)]
    if not kinds and folder.has(saelens_files.CONFIG):
        kinds = [saelens_files.WEIGHTS]
    if len(kinds) != 1:
        several = ", ".join(kinds) or "none of them"
        raise DictionaryError(folder.file(""), f"one of {', '.join(_FILES)}", several)
    (file,) = kinds
    if file == saelens_files.WEIGHTS:
        found = saelens_files.load_saelens(folder, site, width, place.scale)
        return of_centred(found) if place.centred else found
    if file == WEIGHTS:
        dictionary = load(folder, width)
    elif file == dictionary_learning_files.WEIGHTS:
        dictionary = dictionary_learning_files.load_dictionary_learning(folder, width)
    elif file == sparsify_files.WEIGHTS:
        dictionary = sparsify_files.load_sparsify(folder, width)
    else:
        dictionary = gemma_scope_files.load_gemma_scope(folder, site, width)
    if place.centred:
        dictionary = of_centred(dictionary)
    return dictionary if place.scale is None else of_scaled(dictionary, place.scale)


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


def load(folder: Folder, width: int | None) -> SparseDictionary:
    """The dictionary in a folder of our form. Raises DictionaryError."""
    file, weights = folder.file(CONFIG), folder.file(WEIGHTS)
    config = parse_json(file, folder.read(CONFIG))
    if config.get("format") != FORMAT:
        raise DictionaryError(file, f'format "{FORMAT}"', repr(config.get("format")))
    activation = config.get("activation")
    if activation not in get_args(Activation):
        raise DictionaryError(file, f"activation one of {get_args(Activation)}", repr(activation))
    tensors = saelens_files.read_safetensors(weights, folder.read(WEIGHTS))
    keys = [n for n in _SIDES if n != "threshold" or activation == "jumprelu"]
    n_features = check_tensors(weights, tensors, {n: _SIDES[n] for n in keys}, width)
    k = check_k(file, config.get("k"), n_features) if activation == "topk" else 0
    threshold = number_if_one(tensors.pop("threshold")) if activation == "jumprelu" else None
    kind = cast(Activation, activation)
    return SparseDictionary(**tensors, activation=kind, k=k, threshold=threshold)
