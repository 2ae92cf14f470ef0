"""State of a dictionary training: weights, Adam's moments, silence counts and position.

A checkpoint is one safetensors file; its header holds what are not tensors (step, round, version,
scales) as JSON. It is written beside itself and renamed, so that there is always a whole one.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dagster_project.studies.study import TrainingSpec

MEDIAN_ROWS = 8192  # tokens of the first round that give centre and scale


class Weights(NamedTuple):
    """One site's parameters, for centred activations of mean norm √d."""

    W_enc: Tensor  # [n_features, d_model]
    b_enc: Tensor  # [n_features]
    W_dec: Tensor  # [n_features, d_model], rows of norm 1
    b_dec: Tensor  # [d_model]

    def detached(self) -> Weights:
        return Weights(*(w.detach() for w in self))


@dataclass
class State:
    """A training between two rounds."""

    weights: dict[str, Weights]  # by site; they learn on (x − centre) · scale
    centre: dict[str, Tensor]  # by site: [d_model] what is subtracted from x first
    scale: dict[str, float]  # by site: (x − centre) · scale has mean norm √d
    silent: dict[str, Tensor]  # by site: [n_features] int64, tokens since a feature fired
    optimizer: torch.optim.Adam
    step: int = 0
    round: int = 0


def new_state(sites: Sequence[str], buffer: Tensor, spec: TrainingSpec) -> State:
    """Seeded weights, scales and medians from the first round [site, tokens, d_model]."""
    rows = dict(zip(sites, buffer[:, :MEDIAN_ROWS], strict=True))
    centre = {site: geometric_median(x) for site, x in rows.items()}
    scale = {site: _scale(x - centre[site]) for site, x in rows.items()}
    weights = {site: _initial(buffer, spec, i) for i, site in enumerate(sites)}
    n_features = spec.expansion * buffer.shape[-1]
    silent = {
        site: torch.zeros(n_features, dtype=torch.int64, device=buffer.device) for site in sites
    }
    return State(weights, centre, scale, silent, _adam(weights, spec.learning_rate))


def geometric_median(x: Tensor, iterations: int = 50) -> Tensor:
    """The point [d] with the least sum of distances to rows x [n, d], by Weiszfeld's iteration."""
    guess = x.mean(0)
    for _ in range(iterations):
        weight = 1 / (x - guess).norm(dim=-1).clamp_min(1e-6)
        guess = weight @ x / weight.sum()
    return guess


def save_state(state: State, file: Path, version: str) -> None:
    """Write a checkpoint in place of the last one, or leave that as it is."""
    tensors = {}
    for site, weights in state.weights.items():
        tensors[f"{site}/silent"] = state.silent[site]
        tensors[f"{site}/centre"] = state.centre[site]
        for name, weight in weights._asdict().items():
            moments = state.optimizer.state[weight]
            tensors[f"{site}/{name}"] = weight.detach()
            tensors[f"{site}/{name}/mean"] = moments["exp_avg"]
            tensors[f"{site}/{name}/square"] = moments["exp_avg_sq"]
    header = {"version": version, "step": state.step, "round": state.round, "scale": state.scale}
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    save_file(tensors, temporary, metadata={"state": json.dumps(header)})
    temporary.replace(file)


def load_state(
    file: Path, version: str, sites: Sequence[str], spec: TrainingSpec, device: torch.device | str
) -> State | None:
    """The training in a checkpoint; None where there is none of this version and these sites."""
    try:
        with safe_open(file, "pt", device=str(device)) as stored:
            header = json.loads(stored.metadata()["state"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  # no dict
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    if header["version"] != version or list(header["scale"]) != list(sites):
        return None
    weights = {
        site: Weights(*(tensors[f"{site}/{n}"].requires_grad_() for n in Weights._fields))
        for site in sites
    }
    optimizer = _adam(weights, spec.learning_rate)
    for site in sites:
        for name, weight in weights[site]._asdict().items():
            optimizer.state[weight] = {
                "step": torch.tensor(float(header["step"]), device=device),
                "exp_avg": tensors[f"{site}/{name}/mean"],
                "exp_avg_sq": tensors[f"{site}/{name}/square"],
            }
    silent = {site: tensors[f"{site}/silent"] for site in sites}
    centre = {site: tensors[f"{site}/centre"] for site in sites}
    position = (header["step"], header["round"])
    return State(weights, centre, header["scale"], silent, optimizer, *position)


def _scale(x: Tensor) -> float:
    """√d over the mean norm of x [n, d]; 1 where that is 0."""
    norm = float(x.norm(dim=-1).mean())
    return math.sqrt(x.shape[-1]) / norm if norm else 1.0


def _initial(buffer: Tensor, spec: TrainingSpec, index: int) -> Weights:
    """Random unit decoder rows, the encoder their transpose, no biases."""
    d_model = buffer.shape[-1]
    generator = torch.Generator().manual_seed(spec.seed * 1000 + index)
    rows = torch.randn(spec.expansion * d_model, d_model, generator=generator)
    rows = (rows / rows.norm(dim=-1, keepdim=True)).to(buffer.device)
    b_enc, b_dec = rows.new_zeros(len(rows)), rows.new_zeros(d_model)
    return Weights(*(w.requires_grad_() for w in (rows.clone(), b_enc, rows, b_dec)))


def _adam(weights: dict[str, Weights], learning_rate: float) -> torch.optim.Adam:
    parameters = [w for site in weights.values() for w in site]
    return torch.optim.Adam(parameters, lr=learning_rate, fused=True)
