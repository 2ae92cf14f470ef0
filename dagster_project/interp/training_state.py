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

from dagster_project.interp.encoding import kth_largest
from dagster_project.studies.study import TrainingSpec

MEDIAN_ROWS = 8192  # tokens of the first round that give centre and scale
START_ROWS = 1024  # of these, tokens that give the thresholds that a JumpReLU starts with


class Weights(NamedTuple):
    """One site's parameters, for centred activations of mean norm √d."""

    W_enc: Tensor  # [n_features, d_model]
    b_enc: Tensor  # [n_features]
    W_dec: Tensor  # [n_features, d_model], rows of norm 1
    b_dec: Tensor  # [d_model]
    log_threshold: Tensor | None = None  # [n_features], of a JumpReLU

    def named(self) -> dict[str, Tensor]:
        """Those that there are."""
        return {name: weight for name, weight in self._asdict().items() if weight is not None}

    def detached(self) -> Weights:
        return Weights(**{name: weight.detach() for name, weight in self.named().items()})


@dataclass
class SiteState:
    """One site's dictionary in training."""

    weights: Weights
    centre: Tensor  # [d_model] what is subtracted from x first
    scale: float  # (x − centre) · scale has mean norm √d
    silent: Tensor  # [n_features] int64, tokens since a feature was above the threshold
    threshold: Tensor  # [] running mean of the least activation that a batch keeps; 0 without one
    optimizer: torch.optim.Adam


@dataclass
class State:
    """A training between two rounds."""

    sites: dict[str, SiteState]
    step: int = 0
    round: int = 0


def new_state(sites: Sequence[str], buffer: Tensor, spec: TrainingSpec) -> State:
    """Seeded weights, and centre and scale from the first round [site, tokens, d_model]."""
    return State({site: _new_site(buffer[i], spec, i) for i, site in enumerate(sites)})


def _new_site(x: Tensor, spec: TrainingSpec, index: int) -> SiteState:
    x = x[:MEDIAN_ROWS]
    centre, n_features = geometric_median(x), spec.expansion * x.shape[-1]
    scale = _scale(x - centre)
    weights = _initial(n_features, x, spec.seed * 1000 + index)
    if spec.form == "jumprelu":
        weights = _with_thresholds(weights, (x - centre) * scale, spec.k)
    silent = torch.zeros(n_features, dtype=torch.int64, device=x.device)
    threshold = centre.new_zeros(())
    return SiteState(weights, centre, scale, silent, threshold, _adam(weights))


def geometric_median(x: Tensor, iterations: int = 50) -> Tensor:
    """The point [d] with the least sum of distances to rows x [n, d], by Weiszfeld's iteration."""
    guess = x.mean(0)
    for _ in range(iterations):
        weight = 1 / (x - guess).norm(dim=-1).clamp_min(1e-6)
        guess = weight @ x / weight.sum()
    return guess


def save_state(state: State, file: Path, version: str) -> None:
    """Write a checkpoint in place of the last one, or leave that as it is."""
    tensors = {
        f"{site}/{name}": tensor
        for site, here in state.sites.items()
        for name, tensor in _tensors(here).items()
    }
    scale = {site: here.scale for site, here in state.sites.items()}
    header = {"version": version, "step": state.step, "round": state.round, "scale": scale}
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    save_file(tensors, temporary, metadata={"state": json.dumps(header)})
    temporary.replace(file)


def load_state(
    file: Path, version: str, sites: Sequence[str], device: torch.device | str
) -> State | None:
    """The training in a checkpoint; None where there is none of this version and these sites."""
    try:
        with safe_open(file, "pt", device=str(device)) as stored:
            header = json.loads(stored.metadata()["state"])
            # Copied to where memory is aligned as in a training that was not broken: products
            # of matrices may add up in another order where it is not.
            tensors = {name: stored.get_tensor(name).clone() for name in stored.keys()}  # noqa: SIM118  # no dict
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    if header["version"] != version or list(header["scale"]) != list(sites):
        return None
    step, scale = header["step"], header["scale"]
    restored = {
        site: _restored(
            {n.removeprefix(f"{site}/"): t for n, t in tensors.items() if n.startswith(f"{site}/")},
            scale[site],
            step,
        )
        for site in sites
    }
    return State(restored, step, header["round"])


def _tensors(here: SiteState) -> dict[str, Tensor]:
    """All of a site's state that are tensors, by name."""
    found = {"silent": here.silent, "threshold": here.threshold, "centre": here.centre}
    for name, weight in here.weights.named().items():
        found[name] = weight.detach()
        for moment in ("exp_avg", "exp_avg_sq"):
            found[f"{name}/{moment}"] = here.optimizer.state[weight][moment]
    return found


def _restored(tensors: dict[str, Tensor], scale: float, step: int) -> SiteState:
    """A site's state from what `_tensors` gave."""
    names = [name for name in Weights._fields if name in tensors]
    weights = Weights(**{name: tensors[name].requires_grad_() for name in names})
    optimizer = _adam(weights)
    for name, weight in weights.named().items():
        optimizer.state[weight] = {
            "step": torch.tensor(float(step), device=weight.device),
            "exp_avg": tensors[f"{name}/exp_avg"],
            "exp_avg_sq": tensors[f"{name}/exp_avg_sq"],
        }
    return SiteState(
        weights, tensors["centre"], scale, tensors["silent"], tensors["threshold"], optimizer
    )


def _scale(x: Tensor) -> float:
    """√d over the mean norm of x [n, d]; 1 where that is 0."""
    norm = float(x.norm(dim=-1).mean())
    return math.sqrt(x.shape[-1]) / norm if norm else 1.0


def _initial(n_features: int, like: Tensor, seed: int) -> Weights:
    """Random unit decoder rows, the encoder their transpose, no biases."""
    rows = torch.randn(
        n_features, like.shape[-1], generator=torch.Generator().manual_seed(seed)
    ).to(like.device)
    rows = rows / rows.norm(dim=-1, keepdim=True)
    b_enc, b_dec = rows.new_zeros(n_features), rows.new_zeros(like.shape[-1])
    return Weights(*(w.requires_grad_() for w in (rows.clone(), b_enc, rows, b_dec)))


def _with_thresholds(weights: Weights, x: Tensor, k: int) -> Weights:
    """One threshold for all features, such that k pass of a token of x [n, d_model]."""
    with torch.no_grad():
        pre = torch.nn.functional.linear(x[:START_ROWS], weights.W_enc, weights.b_enc)
        least = kth_largest(pre.flatten()[None], k * len(pre))[0, 0].clamp_min(1e-3)
    start = least.log().expand(len(weights.b_enc)).clone()
    return weights._replace(log_threshold=start.requires_grad_())


def _adam(weights: Weights) -> torch.optim.Adam:
    return torch.optim.Adam(weights.named().values(), fused=True)
