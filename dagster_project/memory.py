"""Memory: what a study holds on its device, reckoned before it runs, and what a step has taken.

Held at once are the model, the dictionaries of all sites in float32 (four times as much while they
are trained: gradients and Adam's two moments) and a batch. Sizes come from the model's
configuration and from the sizes of the dictionaries' files; nothing is loaded, and from the hub a
configuration and a list of files alone. Trainings of a sweep are not reckoned. What does not fit is
refused, with what would.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dagster_project import resources
from dagster_project.studies.rules import TRAIN
from dagster_project.studies.study import Study

SMALLEST = 64  # tokens of a batch that must fit
TRAINED = 4  # times a dictionary's weights that its training holds
GIB = 2**30
_PROCESS = Path("/proc/self")


class TooLargeError(RuntimeError):
    """A study that does not fit its device; says by how much, and what would fit."""


@dataclass(frozen=True)
class Needs:
    """Bytes that a study holds on its device."""

    device: str
    dtype: str
    model: int
    dictionaries: Mapping[str, int]  # site -> bytes
    batch: int  # of SMALLEST tokens
    copies: int = 1  # processes that hold all of it

    @property
    def total(self) -> int:
        return self.copies * (self.model + sum(self.dictionaries.values()) + self.batch)

    def fitting(self, free: int) -> Needs | None:
        """With as many of the first sites' dictionaries as fit; None: not even the rest does."""
        room, kept = free // self.copies - self.model - self.batch, dict[str, int]()
        if room < 0:
            return None
        for site, size in self.dictionaries.items():
            if (room := room - size) < 0:
                break
            kept[site] = size
        if self.dictionaries and not kept:
            return None
        return replace(self, dictionaries=kept)

    def __str__(self) -> str:
        parts = [f"model in {self.dtype} {_gib(self.model)}"] if self.model else []
        if self.dictionaries:
            size = _gib(sum(self.dictionaries.values()))
            parts.append(f"dictionaries of {len(self.dictionaries)} sites {size}")
        parts.append(f"{SMALLEST} tokens {_gib(self.batch)}")
        times = f"{self.copies} processes, each " if self.copies > 1 else ""
        return f"{_gib(self.total)} on {self.device}: {times}{', '.join(parts)}"


def needs(study: Study, *, model: bool, dictionaries: bool, training: bool) -> Needs:
    """What is reckoned of a study: its model, its dictionaries as loaded or as trained, or both.
    Raises ModelError, DictionaryError, StudyError."""
    import torch

    from dagster_project.assets.dictionaries import sizes
    from dagster_project.interp.budget import estimate, weights
    from dagster_project.interp.tokenizer import configuration

    config = configuration(resources.present_source(study), study.model.revision)
    dtype = getattr(torch, study.model.dtype)
    sites = sizes(study, config) if dictionaries else {}
    for site in sites if training else ():
        if study.dictionaries.part(site).source == TRAIN:
            sites[site] *= TRAINED
    return Needs(
        device=resources.device(study),
        dtype=study.model.dtype,
        model=weights(config, dtype) if model else 0,
        dictionaries=sites,
        batch=estimate(config, dtype, len(sites), SMALLEST),
    )


def check(found: Needs, study: Study) -> None:
    """Raises TooLargeError where more is needed than is free."""
    import torch

    from dagster_project.interp.budget import free_memory

    free = free_memory(torch.device(found.device))
    if found.total <= free:
        return

    options, itemsize = [found], getattr(torch, found.dtype).itemsize
    if found.model and itemsize > 2:
        options.append(replace(found, dtype="bfloat16", model=found.model * 2 // itemsize))
    texts = [_setting(fitting, found) for o in options if (fitting := o.fitting(free))]
    fits = " or ".join(texts) or "nothing on this device; several, or its disk, hold more"
    raise TooLargeError(
        f"{study.name}: not enough memory: {found}; {_gib(free)} are free. What would fit: {fits} "
        f'(elsewhere: compute.device; spread over devices: compute.device = "spread")'
    )


def _setting(fitting: Needs, found: Needs) -> str:
    """What to write into the study."""
    settings = [f'model.dtype = "{fitting.dtype}"'] if fitting.dtype != found.dtype else []
    if len(fitting.dictionaries) < len(found.dictionaries):
        sites = list(fitting.dictionaries)
        named = ", ".join(f'"{site}"' for site in sites)
        settings.append(f"dictionaries.sites = [{named}]")
    return " with ".join(settings)


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"


def forget_peak() -> None:
    """Measure the peak from here on, where the system can."""
    with suppress(OSError):  # elsewhere than on Linux the peak is the process's
        (_PROCESS / "clear_refs").write_text("5")
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def peak() -> dict[str, int]:
    """Most memory since `forget_peak`, in MiB, of this process and of its current GPU."""
    try:
        status = (_PROCESS / "status").read_text()
        host = int(status.split("VmHWM:")[1].split()[0]) >> 10
    except (OSError, IndexError):
        unit = 1 if sys.platform == "darwin" else 1024
        host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit >> 20
    found = {"peak memory, MiB": host}
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        found["peak GPU memory, MiB"] = torch.cuda.max_memory_allocated() >> 20
    return found
