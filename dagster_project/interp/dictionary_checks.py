"""What a stored dictionary must be: exactly the keys, the shapes and numbers that are expected.

Each failure is a DictionaryError that names the file, what was expected and what was found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from torch import Tensor

from dagster_project.interp.dictionary import SparseDictionary

Sides: TypeAlias = Sequence[Literal["F", "d"]]  # of a tensor: n_features and d_model


class DictionaryError(ValueError):
    """A dictionary that cannot be used: file, what was expected and what was found."""

    def __init__(self, file: Path, expected: str, found: object) -> None:
        super().__init__(f"{file}: expected {expected}, found {found}")
        self.file = file


def checked_k(file: Path, dictionary: SparseDictionary) -> SparseDictionary:
    """The dictionary, if a TopK one keeps between 1 and all features. Raises DictionaryError."""
    if dictionary.activation == "topk" and not 1 <= dictionary.k <= dictionary.n_features:
        raise DictionaryError(file, f"k between 1 and {dictionary.n_features}", dictionary.k)
    return dictionary


def check_tensors(
    file: Path,
    tensors: Mapping[str, object],
    sides: Mapping[str, Sides],
    d_model: int,
) -> int:
    """n_features, if the tensors are exactly those, of those shapes, finite. DictionaryError."""
    missing, further = sorted(sides.keys() - tensors.keys()), sorted(tensors.keys() - sides.keys())
    if missing or further:
        found = "; ".join(
            f"{what} {keys}"
            for what, keys in (("missing", missing), ("unexpected", further))
            if keys
        )
        raise DictionaryError(file, f"the keys {sorted(sides)}", found)
    first = next(n for n, s in sides.items() if "F" in s)
    weight = tensors[first]
    if not isinstance(weight, Tensor) or weight.ndim != len(sides[first]):
        raise DictionaryError(file, f"{first} with {len(sides[first])} sides", _shape(weight))
    n_features = weight.shape[list(sides[first]).index("F")]
    for name, letters in sides.items():
        _check_tensor(file, name, tensors[name], letters, {"F": n_features, "d": d_model})
    return n_features


def _check_tensor(
    file: Path,
    name: str,
    tensor: object,
    letters: Sides,
    sizes: Mapping[str, int],
) -> None:
    expected = tuple(sizes[letter] for letter in letters)
    if not isinstance(tensor, Tensor) or tuple(tensor.shape) != expected:
        meaning = f"{name} [{', '.join(letters)}] = {list(expected)}, d being the model's width"
        raise DictionaryError(file, meaning, _shape(tensor))
    if not tensor.is_floating_point():
        raise DictionaryError(file, f"{name} in floating point", tensor.dtype)
    if unfit := int((~tensor.isfinite()).sum()):
        raise DictionaryError(file, f"finite numbers in {name}", f"{unfit} that are not")


def _shape(value: object) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def read_json(file: Path) -> dict[str, object]:
    """The object in a JSON file. Raises DictionaryError."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DictionaryError(file, "a file", error.strerror) from error
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
