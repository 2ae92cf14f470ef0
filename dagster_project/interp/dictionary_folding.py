"""Foreign forms of dictionaries as f = act(x W_encᵀ + b_enc), x̂ = f W_dec + b_dec, exactly.

What a form does besides is folded into the weights, in float64, so that encoding, decoding and
derivatives are those of three activations:
- a bias subtracted before encoding: b_enc − W_enc bias;
- a gate (Rajamanoharan et al. 2024, "Improving Dictionary Learning with Gated Sparse Autoencoders",
  section 3.2): its pre-activation is W x + b_gate and the magnitude's is e^r W x + b_mag, so that
  the gate is open where the magnitude's is above b_mag − e^r b_gate: a JumpReLU, whose derivative
  where active, e^r W, is that of the gated form;
- a threshold at 0 or below, of a JumpReLU whose values pass a ReLU: at 0;
- activations that are multiplied by a number first, or of which the mean is taken;
- activations of features that are multiplied by the norm of their decoder rows.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from dagster_project.interp.dictionary import Activation, SparseDictionary


def folded(
    W_enc: Tensor,
    b_enc: Tensor,
    W_dec: Tensor,
    b_dec: Tensor,
    *,
    subtracted: bool,
    activation: Activation = "relu",
    k: int = 0,
    threshold: Tensor | None = None,
) -> SparseDictionary:
    """A dictionary in float32; W_enc and W_dec [n_features, d].

    subtracted: whether b_dec is taken from x before encoding. threshold: [n_features] or one
    number, of a JumpReLU that knows no negative values.
    """
    if subtracted:
        b_enc = b_enc.double() - W_enc.double() @ b_dec.double()
    return SparseDictionary(
        W_enc=W_enc.float().contiguous(),
        b_enc=b_enc.float(),
        W_dec=W_dec.float().contiguous(),
        b_dec=b_dec.float(),
        activation=activation,
        k=k,
        threshold=None if threshold is None else number_if_one(threshold.clamp(min=0).float()),
    )


def folded_gate(
    W_enc: Tensor,
    r_mag: Tensor,
    b_gate: Tensor,
    b_mag: Tensor,
    W_dec: Tensor,
    b_dec: Tensor,
    *,
    subtracted: bool,
) -> SparseDictionary:
    """f = 1[W_enc x + b_gate > 0] · ReLU(e^r_mag W_enc x + b_mag) as a JumpReLU."""
    scale = r_mag.double().exp()
    return folded(
        scale[:, None] * W_enc.double(),
        b_mag.double(),
        W_dec,
        b_dec,
        subtracted=subtracted,
        activation="jumprelu",
        threshold=b_mag.double() - scale * b_gate.double(),
    )


def number_if_one(threshold: Tensor) -> Tensor | float:
    """What all features have in common, where they do."""
    first = threshold.reshape(-1)[0]
    return threshold if (threshold != first).any() else float(first)


def of_scaled(dictionary: SparseDictionary, scale: float) -> SparseDictionary:
    """The dictionary at x, of one that was trained on scale · x."""
    return replace(
        dictionary,
        W_enc=(dictionary.W_enc.double() * scale).float(),
        W_dec=(dictionary.W_dec.double() / scale).float(),
        b_dec=(dictionary.b_dec.double() / scale).float(),
    )


def of_centred(dictionary: SparseDictionary) -> SparseDictionary:
    """The dictionary at x, of one that was trained on x − mean(x) over its numbers. What it decodes
    to stays the centred x: the mean becomes part of the error."""
    W_enc = dictionary.W_enc.double()
    return replace(dictionary, W_enc=(W_enc - W_enc.mean(-1, keepdim=True)).float())


def of_unit_rows(W_enc: Tensor, b_enc: Tensor, W_dec: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """W_enc, b_enc, W_dec whose features are ‖W_dec row‖ times as large, and decode to the same."""
    norm = W_dec.double().norm(dim=-1)
    return W_enc.double() * norm[:, None], b_enc.double() * norm, W_dec.double() / norm[:, None]
