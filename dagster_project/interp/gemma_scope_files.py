"""Dictionaries of Gemma Scope (Lieberum et al. 2024): a folder with `params.npz`, JumpReLU.

Nothing is subtracted before encoding. Attention dictionaries sit on the input of the output
projection. That of the embedding was trained on the embedding before the model multiplies it by √d,
and is moved to what enters layer 0: W_enc / √d, W_dec · √d, b_dec · √d.
"""

from __future__ import annotations

import io
import math
import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from dagster_project.interp.dictionary import SparseDictionary
from dagster_project.interp.dictionary_checks import DictionaryError, Sides, check_tensors, checked
from dagster_project.interp.dictionary_folding import folded, of_scaled
from dagster_project.interp.file_tree import Folder

WEIGHTS = "params.npz"
BROKEN = (BadZipFile, zlib.error)
_SIDES: dict[str, Sides] = {
    "W_enc": ("d", "F"),
    "W_dec": ("F", "d"),
    "b_enc": ("F",),
    "b_dec": ("d",),
    "threshold": ("F",),
}


def load_gemma_scope(folder: Folder, site: str, width: int | None) -> SparseDictionary:
    """The dictionary in a folder. Raises DictionaryError."""
    file = folder.file(WEIGHTS)
    if site.startswith("attn_"):
        expected = f"the site {site.replace('attn', 'z')}, where attention dictionaries sit"
        raise DictionaryError(file, expected, site)
    t = _arrays(file, folder.read(WEIGHTS))
    check_tensors(file, t, _SIDES, width)
    weights = (t["W_enc"].T, t["b_enc"], t["W_dec"], t["b_dec"])
    found = folded(*weights, subtracted=False, activation="jumprelu", threshold=t["threshold"])
    if site == "embed":
        found = of_scaled(found, 1 / math.sqrt(found.d_model))
    return checked(file, found)


def _arrays(file: Path, content: bytes) -> dict[str, Tensor]:
    """Tensors by name; never objects, whose loading would run code. Raises DictionaryError."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except (OSError, ValueError, TypeError, EOFError, AttributeError, *BROKEN) as error:
        raise DictionaryError(file, "an npz file of arrays of numbers", error) from error
