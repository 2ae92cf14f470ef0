"""Every form of dictionary as another library writes it, and what it means, by definition.

Weights are drawn here and written as each library would; `encode` and `decode` are the library's
own formulas, in float64, with nothing folded.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

D_MODEL, N_FEATURES, K = 16, 40, 5

Tensors = dict[str, Tensor]


class Form(NamedTuple):
    """A form's files, and the dictionary that they hold."""

    files: dict[str, bytes]
    encode: Callable[[Tensor], Tensor]  # x [token, d], float64
    decode: Callable[[Tensor], Tensor]


def draw(seed: int = 0) -> Tensors:
    """Random weights; about half the features of a random token are active, and half the gates."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int, size: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=random) * size

    return {
        "W": normal(N_FEATURES, D_MODEL, size=D_MODEL**-0.5),
        "D": normal(N_FEATURES, D_MODEL),
        "b": normal(N_FEATURES, size=0.3),
        "b2": normal(N_FEATURES, size=0.3),
        "r": normal(N_FEATURES, size=0.5),
        "c": normal(D_MODEL, size=0.5),
        "t": normal(N_FEATURES, size=0.4) + 0.3,  # some thresholds are below 0
    }


def relu(p: Tensor) -> Tensor:
    return p.clamp(min=0)


def top(f: Tensor, k: int = K) -> Tensor:
    return f * (f >= f.sort(-1).values[:, -k, None])


def dictionary_learning(name: str) -> Form:
    w = draw()
    W, D, b, b2, r, c, t = (w[key].double() for key in ("W", "D", "b", "b2", "r", "c", "t"))
    linear = {"encoder.weight": w["W"], "encoder.bias": w["b"], "decoder.weight": w["D"].T}
    matrices = {"W_enc": w["W"].T, "b_enc": w["b"], "W_dec": w["D"], "b_dec": w["c"]}
    numbers = {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(0.25)}
    after, before = (lambda x: relu((x - c) @ W.T + b)), (lambda x: x @ W.T + b)
    states: dict[str, tuple[Tensors, Callable[[Tensor], Tensor]]] = {
        "AutoEncoder": ({**linear, "bias": w["c"]}, after),
        "AutoEncoderNew": ({**linear, "decoder.bias": w["c"]}, lambda x: relu(before(x))),
        "GatedAutoEncoder": (
            {
                "encoder.weight": w["W"],
                "decoder.weight": w["D"].T,
                "decoder_bias": w["c"],
                "r_mag": w["r"],
                "gate_bias": w["b"],
                "mag_bias": w["b2"],
            },
            lambda x: (((x - c) @ W.T + b) > 0) * relu(r.exp() * ((x - c) @ W.T) + b2),
        ),
        "AutoEncoderTopK": ({**linear, "b_dec": w["c"], **numbers}, lambda x: top(after(x))),
        "BatchTopKSAE": (
            {**linear, "b_dec": w["c"], **numbers},
            lambda x: after(x) * (after(x) > 0.25),
        ),
        "MatryoshkaBatchTopKSAE": (
            {**matrices, **numbers, "group_sizes": torch.tensor([10, 30])},
            lambda x: after(x) * (after(x) > 0.25),
        ),
        "JumpReluAutoEncoder": (
            {**matrices, "threshold": w["t"]},
            lambda x: relu(before(x) * (before(x) > t)),
        ),
    }
    state, encode = states[name]
    trainer: dict[str, object] = {"dict_class": name, **({"k": K} if "k" in state else {})}
    config = {"trainer": trainer, "buffer": {"ctx_len": 128}}
    return Form(ae_files(state, config), encode, lambda f: f @ D + c)


def ae_files(state: object, config: object) -> dict[str, bytes]:
    written = io.BytesIO()
    torch.save(state, written)
    return {"ae.pt": written.getvalue(), "config.json": json.dumps(config).encode()}


def saelens(architecture: str, /, **said: Any) -> Form:
    """said: keys of cfg.json."""
    w = draw(1)
    W, D, b, b2, r, c, t = (w[key].double() for key in ("W", "D", "b", "b2", "r", "c", "t"))
    taken = c if said.get("apply_b_dec_to_input", True) else torch.zeros(())
    norm = D.norm(dim=-1) if said.get("rescale_acts_by_decoder_norm") else torch.ones(())
    state = {"W_enc": w["W"].T, "W_dec": w["D"], "b_dec": w["c"], "b_enc": w["b"]}

    def pre(x: Tensor) -> Tensor:
        if said.get("model_from_pretrained_kwargs", {}).get("center_writing_weights"):
            x = x - x.mean(-1, keepdim=True)
        return (x - taken) @ W.T

    encode: dict[str, Callable[[Tensor], Tensor]] = {
        "standard": lambda x: relu(pre(x) + b),
        "topk": lambda x: top(relu((pre(x) + b) * norm)),
        "jumprelu": lambda x: relu(pre(x) + b) * ((pre(x) + b) > t),
        "gated": lambda x: (pre(x) + b > 0) * relu(pre(x) * r.exp() + b2),
    }
    if architecture == "jumprelu":
        state["threshold"] = w["t"]
    if architecture == "gated":
        state |= {"b_gate": state.pop("b_enc"), "b_mag": w["b2"], "r_mag": w["r"]}
    if architecture == "topk":
        said = {"k": K, **said}
    config = {**saelens_config(architecture), **said}
    return Form(saelens_files(state, config), encode[architecture], lambda f: (f / norm) @ D + c)


def saelens_config(architecture: str) -> dict[str, Any]:
    """cfg.json of the current version."""
    return {
        "d_in": D_MODEL,
        "d_sae": N_FEATURES,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.54.12", "hook_name": "blocks.1.hook_mlp_out"},
        "architecture": architecture,
    }


def saelens_files(state: Tensors, config: object) -> dict[str, bytes]:
    content = save({name: tensor.contiguous() for name, tensor in state.items()})
    return {"sae_weights.safetensors": content, "cfg.json": json.dumps(config).encode()}


def gemma_scope(*, embedding: bool = False) -> Form:
    w = draw(2)
    W, D, b, c, t = (w[key].double() for key in ("W", "D", "b", "c", "t"))
    t, w["t"] = t.abs(), w["t"].abs()
    root = D_MODEL**0.5 if embedding else 1.0  # what the model multiplies its embedding by
    written = io.BytesIO()
    np.savez(
        written,
        W_enc=w["W"].T.numpy(),
        W_dec=w["D"].numpy(),
        b_enc=w["b"].numpy(),
        b_dec=w["c"].numpy(),
        threshold=w["t"].numpy(),
    )
    return Form(
        {"params.npz": written.getvalue()},
        lambda x: relu(x / root @ W.T + b) * ((x / root @ W.T + b) > t),
        lambda f: (f @ D + c) * root,
    )


def sparsify(**said: Any) -> Form:
    """said: keys of cfg.json."""
    w = draw(3)
    W, D, b, c = (w[key].double() for key in ("W", "D", "b", "c"))
    state = {"encoder.weight": w["W"], "encoder.bias": w["b"], "W_dec": w["D"], "b_dec": w["c"]}
    config = {
        "expansion_factor": 32,
        "normalize_decoder": True,
        "num_latents": N_FEATURES,
        "k": K,
        "signed": False,
        "d_in": D_MODEL,
    }
    return Form(
        {
            "sae.safetensors": save({n: t.contiguous() for n, t in state.items()}),
            "cfg.json": json.dumps(config | said).encode(),
        },
        lambda x: top(relu((x - c) @ W.T + b)),
        lambda f: f @ D + c,
    )


def put(form: Form, folder: Path) -> Path:
    """Write a form's files into a folder."""
    folder.mkdir(parents=True)
    for name, content in form.files.items():
        (folder / name).write_bytes(content)
    return folder
