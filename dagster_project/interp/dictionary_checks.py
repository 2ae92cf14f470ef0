"""What a stored dictionary must be: exactly the keys, the shapes and numbers that are expected.

Each failure is a DictionaryError that names the file, what was expected and what was found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from dagster_project.interp.dictionary import SparseDictionary

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
Sides: TypeAlias = Sequence[Literal["F", "d"]]  # of a tensor: n_features and d_model


class DictionaryError(ValueError):
    """A dictionary that cannot be used: file, what was expected and what was found."""

    def __init__(self, file: Path, expected: str, found: object) -> None:
        super().__init__(f"{file}: expected {expected}, found {found}")
        self.file = file


def check_k(file: Path, k: object, n_features: int) -> int:
    """k, if it is an integer between 1 and all features. Raises DictionaryError."""
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= n_features:
        raise DictionaryError(file, f"k, an integer between 1 and {n_features}", repr(k))
    return k


def checked(file: Path, dictionary: SparseDictionary) -> SparseDictionary:
    """The dictionary, if what was made of its file's numbers is finite. Raises DictionaryError."""
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        if unfit := int((~getattr(dictionary, name).isfinite()).sum()):
            expected = f"numbers of which {name} in float32 can be made"
            raise DictionaryError(file, expected, f"{unfit} that are too large")
    return dictionary


def check_tensors(
    file: Path,
    tensors: Mapping[str, object],
    sides: Mapping[str, Sides],
    width: int | None,
) -> int:
    """n_features, if the tensors are exactly those, of those shapes, finite. DictionaryError.

    width: the site's; None: as the file says.
    """
    missing, further = sorted(sides.keys() - tensors.keys()), sorted(tensors.keys() - sides.keys())
    if missing or further:
        found = "; ".join(
            f"{what} {keys}"
            for what, keys in (("missing", missing), ("unexpected", further))
            if keys
        )
        raise DictionaryError(file, f"the keys {sorted(sides)}", found)
    matrix = next(n for n, s in sides.items() if len(s) == 2)
    if not isinstance(both := tensors[matrix], Tensor) or both.ndim != 2:
        raise DictionaryError(file, f"{matrix} with 2 sides", _shape(both))
    sizes: dict[str, int] = dict(zip(sides[matrix], both.shape, strict=True))
    if width is not None:
        sizes["d"] = width
    for name, letters in sides.items():
        _check_tensor(file, name, tensors[name], letters, sizes)
    return sizes["F"]


def _check_tensor(
    file: Path,
    name: str,
    tensor: object,
    letters: Sides,
    sizes: Mapping[str, int],
) -> None:
    expected = tuple(sizes[letter] for letter in letters)
    if not isinstance(tensor, Tensor) or tuple(tensor.shape) != expected:
        meaning = f"{name} [{', '.join(letters)}] = {list(expected)}, d being the site's width"
        raise DictionaryError(file, meaning, _shape(tensor))
    if tensor.dtype not in FLOATS:
        raise DictionaryError(file, f"{name} in floating point of 16 bits at least", tensor.dtype)
    if unfit := int((~tensor.isfinite()).sum()):
        raise DictionaryError(file, f"finite numbers in {name}", f"{unfit} that are not")


def _shape(value: object) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def parse_json(file: Path, content: bytes) -> dict[str, object]:
    """The object in a JSON file's content. Raises DictionaryError."""
    try:
        found = json.loads(content.decode())
    except ValueError as error:
        raise DictionaryError(file, "JSON in UTF-8", error) from error
    if not isinstance(found, dict):
        raise DictionaryError(file, "a JSON object", type(found).__name__)
    return found


def write_json(file: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file in place of the last one, or leave that as it is."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(file)
