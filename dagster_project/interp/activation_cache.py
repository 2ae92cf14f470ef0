"""Activations kept on disk: rounds that were made once and are read again.

A sweep trains many dictionaries on the same rounds; with a cache the model runs once for all of
them. Rounds are files of float32, the first ones, as many as a bound in bytes allows; those beyond
come from the source each time, so that a training is the same to the bit with a cache, without one,
and with one that is too small. Files are written beside themselves and renamed, so that trainings
side by side may fill the same folder. Cost: 4 · d_model bytes a token and site, and one read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dagster_project.interp.dictionary_training import Rounds


def cached(source: Rounds, folder: Path, most_bytes: int, device: torch.device | str) -> Rounds:
    """The source's rounds, the first ones kept in a folder of at most most_bytes."""

    def rounds(start: int) -> Iterator[Tensor]:
        for number in count(start):
            if not (file := _file(folder, number)).is_file():
                break
            # Copied to where memory is aligned as it always is: sums may come in another order.
            yield load_file(file, str(device))["x"].clone()
        for later, x in enumerate(source(number), number):
            if (later + 1) * x.nbytes <= most_bytes:
                _write(x, _file(folder, later))
            yield x

    return rounds


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.safetensors"


def _write(x: Tensor, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    save_file({"x": x}, temporary)
    temporary.replace(file)
