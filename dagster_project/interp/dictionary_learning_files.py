"""Dictionaries in the layout of dictionary_learning: `<id>_<F>/ae.pt` beside `config.json`.

The class is what config.json says (`trainer.dict_class`, or `dict_class` at the top; where it
names only the trainer, the class that this trainer makes), never what the keys look like: classes
with the same keys differ in meaning. `ae.pt` is a state dict, or a training backup that holds one
under "ae"; it is read with weights_only. Classes:
- AutoEncoder: f = ReLU(W_e (x − bias) + b_e), x̂ = W_d f + bias;
- AutoEncoderTopK: the same with b_dec for bias and the k largest kept. Its `threshold` belongs to
  another way of encoding, which it does not use by default, and is not read.
The subtraction is folded into b_enc, in float64.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dagster_project.interp.dictionary import Activation, SparseDictionary
from dagster_project.interp.dictionary_checks import (
    DictionaryError,
    Sides,
    check_tensors,
    checked_k,
    read_json,
)

_NAME = re.compile(r"(?P<id>.+)_(?P<n_features>[0-9]+)")
_TRAINERS = {"StandardTrainer": "AutoEncoder", "TopKTrainer": "AutoEncoderTopK"}


class _Class(NamedTuple):
    """A class of dictionary_learning."""

    bias: str  # key of what is subtracted before encoding and added after decoding
    activation: Activation
    scalars: frozenset[str]  # keys of numbers that must be there
    unread: frozenset[str]  # keys that may be there


_CLASSES = {
    "AutoEncoder": _Class("bias", "relu", frozenset(), frozenset()),
    "AutoEncoderTopK": _Class("b_dec", "topk", frozenset({"k"}), frozenset({"threshold"})),
}


def load_dictionary_learning(site_folder: Path, d_model: int) -> SparseDictionary:
    """The one dictionary `<id>_<F>/ae.pt` below a site's folder. Raises DictionaryError."""
    folder = _only_folder(site_folder)
    file, known = folder / "ae.pt", _CLASSES[_class_name(folder / "config.json")]
    state = _state_dict(file)
    sides: dict[str, Sides] = {
        "encoder.weight": ("F", "d"),
        "encoder.bias": ("F",),
        "decoder.weight": ("d", "F"),
        known.bias: ("d",),
    }
    scalars = {name: _number(file, state, name) for name in known.scalars}
    read = {n: t for n, t in state.items() if n not in known.scalars | known.unread}
    n_features = check_tensors(file, read, sides, d_model)
    named = int(_NAME.fullmatch(folder.name)["n_features"])  # type: ignore[index]  # it matched
    if n_features != named:
        raise DictionaryError(file, f"{named} features, as its folder says", n_features)
    return checked_k(file, _folded(state, known, scalars.get("k", 0)))


def _folded(state: Mapping[str, Tensor], known: _Class, k: int) -> SparseDictionary:
    W_enc, bias = state["encoder.weight"].double(), state[known.bias].double()
    b_enc = state["encoder.bias"].double() - W_enc @ bias
    return SparseDictionary(
        W_enc=state["encoder.weight"].float(),
        b_enc=b_enc.float(),
        W_dec=state["decoder.weight"].float().T.contiguous(),
        b_dec=bias.float(),
        activation=known.activation,
        k=k,
    )


def _only_folder(site_folder: Path) -> Path:
    """The folder `<id>_<F>` of a site; none or several are an error."""
    found = sorted(p for p in site_folder.iterdir() if p.is_dir() and _NAME.fullmatch(p.name))
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise DictionaryError(site_folder, "exactly one folder <id>_<features>", names)
    return found[0]


def _class_name(file: Path) -> str:
    """The dictionary's class, by its config.json. Raises DictionaryError for an unknown one."""
    config = read_json(file)
    trainer = config.get("trainer")
    inner = trainer if isinstance(trainer, dict) else {}
    named = {c["dict_class"] for c in (inner, config) if "dict_class" in c}
    if not named and inner.get("trainer_class") in _TRAINERS:
        named = {_TRAINERS[inner["trainer_class"]]}
    if len(named) != 1 or (name := str(named.pop())) not in _CLASSES:
        expected = f"trainer.dict_class to be one of {', '.join(_CLASSES)}"
        found = {
            k: c[k] for c in (config, inner) for k in ("dict_class", "trainer_class") if k in c
        }
        raise DictionaryError(file, expected, found or "none")
    return name


def _state_dict(file: Path) -> dict[str, Tensor]:
    """Tensors by name; those under "ae" in a training backup. Raises DictionaryError."""
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DictionaryError(file, "a file", error.strerror or error) from error
    except Exception as error:  # a file that is not torch's, or holds more, fails in many ways
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise DictionaryError(file, "a torch file of tensors alone", first) from error
    if isinstance(found, Mapping) and isinstance(found.get("ae"), Mapping):
        found = found["ae"]
    if not isinstance(found, Mapping):
        raise DictionaryError(file, "a state dict", type(found).__name__)
    return dict(found)


def _number(file: Path, state: Mapping[str, object], name: str) -> int:
    value = state.get(name)
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_floating_point():
        return int(value)
    found = "none" if value is None else value
    raise DictionaryError(file, f"the key {name}, an integer", found)
