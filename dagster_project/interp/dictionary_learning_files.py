"""Dictionaries of dictionary_learning: a folder with `ae.pt` and `config.json`.

The class is what config.json says (`trainer.dict_class`, or `dict_class` at the top; where it
names only the trainer, the class that this trainer makes), never what the keys look like: classes
with the same keys differ in meaning. `ae.pt` is a state dict, or a training backup that holds one
under "ae"; it is read with weights_only. With W the encoder and D the decoder:
- AutoEncoder: f = ReLU(W (x − bias) + b), x̂ = D f + bias, as stored: the package's own loader also
  scales features to decoder rows of norm 1, unless it is told not to;
- AutoEncoderNew: f = ReLU(W x + b), x̂ = D f + decoder.bias;
- GatedAutoEncoder: f = 1[π > 0] · ReLU(e^r_mag W (x − b_dec) + mag_bias), π = W (x − b_dec) +
  gate_bias, its b_dec being `decoder_bias`;
- AutoEncoderTopK: the k largest of ReLU(W (x − b_dec) + b). Its `threshold` belongs to another way
  of encoding, which it does not use by default, and is not read;
- BatchTopKSAE and MatryoshkaBatchTopKSAE encode outside training as a JumpReLU at `threshold`;
  a threshold below 0 has never been set, and is refused;
- JumpReluAutoEncoder: f = ReLU(p) · 1[p > threshold], p = W x + b.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
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
from dagster_project.interp.dictionary_folding import folded, folded_gate
from dagster_project.interp.file_tree import Folder

WEIGHTS, CONFIG = "ae.pt", "config.json"
_NAME = re.compile(r".+_(?P<n_features>[0-9]+)")  # a folder <id>_<F>
_TRAINERS = {
    "StandardTrainer": "AutoEncoder",
    "StandardTrainerAprilUpdate": "AutoEncoder",
    "PAnnealTrainer": "AutoEncoder",
    "StandardTrainerNew": "AutoEncoderNew",
    "GatedSAETrainer": "GatedAutoEncoder",
    "GatedAnnealTrainer": "GatedAutoEncoder",
    "TopKTrainer": "AutoEncoderTopK",
    "BatchTopKTrainer": "BatchTopKSAE",
    "MatryoshkaBatchTopKTrainer": "MatryoshkaBatchTopKSAE",
    "JumpReluTrainer": "JumpReluAutoEncoder",
}


class _Class(NamedTuple):
    """What the state dict of a class holds."""

    sides: dict[str, Sides]  # of its tensors
    scalars: frozenset[str] = frozenset()  # keys of numbers that must be there
    unread: frozenset[str] = frozenset()  # keys that may be there


_LINEAR: dict[str, Sides] = {
    "encoder.weight": ("F", "d"),
    "encoder.bias": ("F",),
    "decoder.weight": ("d", "F"),
}
_GATED: dict[str, Sides] = {
    "encoder.weight": ("F", "d"),
    "decoder.weight": ("d", "F"),
    "decoder_bias": ("d",),
    "r_mag": ("F",),
    "gate_bias": ("F",),
    "mag_bias": ("F",),
}
_MATRICES: dict[str, Sides] = {
    "W_enc": ("d", "F"),
    "b_enc": ("F",),
    "W_dec": ("F", "d"),
    "b_dec": ("d",),
}
_CLASSES = {
    "AutoEncoder": _Class({**_LINEAR, "bias": ("d",)}),
    "AutoEncoderNew": _Class({**_LINEAR, "decoder.bias": ("d",)}),
    "GatedAutoEncoder": _Class(_GATED),
    "AutoEncoderTopK": _Class(
        {**_LINEAR, "b_dec": ("d",)}, frozenset({"k"}), frozenset({"threshold"})
    ),
    "BatchTopKSAE": _Class({**_LINEAR, "b_dec": ("d",)}, frozenset({"k", "threshold"})),
    "MatryoshkaBatchTopKSAE": _Class(
        _MATRICES, frozenset({"k", "threshold"}), frozenset({"group_sizes"})
    ),
    "JumpReluAutoEncoder": _Class({**_MATRICES, "threshold": ("F",)}),
}


def load_dictionary_learning(folder: Folder, width: int | None) -> SparseDictionary:
    """The dictionary in a folder. Raises DictionaryError."""
    file = folder.file(WEIGHTS)
    config = parse_json(folder.file(CONFIG), folder.read(CONFIG))
    name = _class_name(folder.file(CONFIG), config)
    known, state = _CLASSES[name], _state_dict(file, folder.read(WEIGHTS))
    if missing := sorted(known.scalars - state.keys()):
        raise DictionaryError(file, f"the keys {sorted(known.scalars)}", f"missing {missing}")
    read = {n: t for n, t in state.items() if n not in known.scalars | known.unread}
    n_features = check_tensors(file, read, known.sides, width)
    _check_folder(folder, n_features)
    k = _k(folder, state["k"], config, n_features) if "k" in known.scalars else 0
    if name == "MatryoshkaBatchTopKSAE":
        _check_groups(file, state.get("group_sizes"), n_features)
    tensors = {n: t for n, t in state.items() if isinstance(t, Tensor)}
    return checked(file, _made(file, name, tensors, k))


def _made(file: Path, name: str, t: Mapping[str, Tensor], k: int) -> SparseDictionary:
    if name == "GatedAutoEncoder":
        gate = (t["r_mag"], t["gate_bias"], t["mag_bias"])
        W_enc, W_dec, b_dec = t["encoder.weight"], t["decoder.weight"].T, t["decoder_bias"]
        return folded_gate(W_enc, *gate, W_dec, b_dec, subtracted=True)
    if name == "JumpReluAutoEncoder":
        weights = (t["W_enc"].T, t["b_enc"], t["W_dec"], t["b_dec"])
        return folded(*weights, subtracted=False, activation="jumprelu", threshold=t["threshold"])
    if name == "MatryoshkaBatchTopKSAE":
        weights = (t["W_enc"].T, t["b_enc"], t["W_dec"], t["b_dec"])
    else:
        bias = {"AutoEncoder": "bias", "AutoEncoderNew": "decoder.bias"}.get(name, "b_dec")
        weights = (t["encoder.weight"], t["encoder.bias"], t["decoder.weight"].T, t[bias])
    if "BatchTopK" in name:
        threshold = _threshold(file, t["threshold"])
        return folded(*weights, subtracted=True, activation="jumprelu", threshold=threshold)
    if name == "AutoEncoderTopK":
        return folded(*weights, subtracted=True, activation="topk", k=k)
    return folded(*weights, subtracted=name == "AutoEncoder")


def save_dictionary_learning(dictionary: SparseDictionary, folder: Path) -> Path:
    """Write `<folder>/converted_<F>/{ae.pt, config.json}`, and say where. ReLU becomes an
    AutoEncoderNew and JumpReLU a JumpReluAutoEncoder, to the bit; TopK an AutoEncoderTopK, whose
    bias is that of x − b_dec, rounded to float32."""
    place = folder / f"converted_{dictionary.n_features}"
    place.mkdir(parents=True, exist_ok=True)
    d = dictionary
    trainer: dict[str, object] = {"activation_dim": d.d_model, "dict_size": d.n_features}
    state: dict[str, Tensor]
    if d.activation == "jumprelu":
        assert d.threshold is not None
        threshold = torch.as_tensor(d.threshold).expand(d.n_features)
        state = {"W_enc": d.W_enc.T, "b_enc": d.b_enc, "W_dec": d.W_dec, "b_dec": d.b_dec}
        state["threshold"], trainer["dict_class"] = threshold, "JumpReluAutoEncoder"
    else:
        state = {"encoder.weight": d.W_enc, "decoder.weight": d.W_dec.T}
        if d.activation == "topk":
            bias = (d.b_enc.double() + d.W_enc.double() @ d.b_dec.double()).to(d.b_enc)
            state |= {"encoder.bias": bias, "b_dec": d.b_dec}
            state |= {"k": torch.tensor(d.k, dtype=torch.int), "threshold": torch.tensor(-1.0)}
            trainer |= {"dict_class": "AutoEncoderTopK", "k": d.k}
        else:
            state |= {"encoder.bias": d.b_enc, "decoder.bias": d.b_dec}
            trainer["dict_class"] = "AutoEncoderNew"
    torch.save({n: t.detach().cpu().contiguous() for n, t in state.items()}, place / WEIGHTS)
    write_json(place / CONFIG, {"trainer": trainer})
    return place


def _check_folder(folder: Folder, n_features: int) -> None:
    """A folder `<id>_<F>` below a site's own says how many features there are."""
    *above, name = folder.name.split("/")
    named = _NAME.fullmatch(name)
    of_site = bool(above) and re.fullmatch(r"embed|(attn|mlp|resid)_out_layer[0-9]+", above[-1])
    if of_site and named and int(named["n_features"]) != n_features:
        expected = f"{named['n_features']} features, as its folder says"
        raise DictionaryError(folder.file(WEIGHTS), expected, n_features)


def _class_name(file: Path, config: Mapping[str, object]) -> str:
    """The dictionary's class, by its config.json. Raises DictionaryError for an unknown one."""
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


def _state_dict(file: Path, content: bytes) -> dict[str, object]:
    """What a state dict holds, or that under "ae" in a training backup. Raises DictionaryError."""
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a file that is not torch's, or holds more, fails in many ways
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise DictionaryError(file, "a torch file of tensors alone", first) from error
    if isinstance(found, Mapping) and isinstance(found.get("ae"), Mapping):
        found = found["ae"]
    if not isinstance(found, Mapping):
        raise DictionaryError(file, "a state dict", type(found).__name__)
    return dict(found)


def _k(folder: Folder, value: object, config: Mapping[str, object], n_features: int) -> int:
    """k of the weights, which config.json's must equal where it gives one."""
    file = folder.file(WEIGHTS)
    whole = isinstance(value, Tensor) and value.numel() == 1 and not value.is_floating_point()
    k = check_k(file, int(value) if whole else value, n_features)  # type: ignore[call-overload]
    trainer = config.get("trainer")
    if isinstance(trainer, dict) and trainer.get("k", k) != k:
        raise DictionaryError(folder.file(CONFIG), f"k {k}, as in {WEIGHTS}", trainer["k"])
    return k


def _threshold(file: Path, value: Tensor) -> Tensor:
    if value.numel() != 1 or not value.is_floating_point() or not value.isfinite().all():
        raise DictionaryError(file, "a threshold that is one number", value.tolist())
    if value < 0:
        expected = "a threshold from 0 on (a negative one has never been set by its training)"
        raise DictionaryError(file, expected, value.item())
    return value.reshape(1)


def _check_groups(file: Path, value: object, n_features: int) -> None:
    """Groups matter to training alone: all of them take part in encoding."""
    sizes = value.tolist() if isinstance(value, Tensor) and value.ndim == 1 else value
    if not isinstance(sizes, list) or sum(sizes) != n_features:
        raise DictionaryError(file, f"group_sizes that add up to {n_features}", sizes)
