"""Family checks: does a model do what is claimed of its parts?

Everything the project computes rests on a few identities, so they are measured when a model is
loaded, on random tokens, and a model that breaks one is refused with the layer and by how much:

- the stream after a layer is the one before plus attention plus MLP, at every layer;
- attention's output is its projection of z, through the norm after it where there is one;
- what is written to a site goes on into the stream, and nothing else changes;
- a layer's MLP reads attention (sequential) or does not (parallel), the same in all layers;
- no token sees a later one;
- the logits are the unembedding of the final, normalised stream, plus bias and soft-capped as said.

Allowed is rounding: a few units in the last place of the terms that are added up. Cost: three
forwards of 2 × 8 tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import nnsight
import torch
from torch import Tensor

from dagster_project.interp.additivity import ULPS, rounding, sum_gaps
from dagster_project.interp.model import LanguageModel, ModelError
from dagster_project.interp.site_names import KINDS, site_names
from dagster_project.interp.sites import read, write

LOOSE = 2**9  # units in the last place, through norms and products of matrices
N_TOKENS = 8

Found = Mapping[str, Tensor]  # site -> activation [batch, position, its width]


def verified(model: LanguageModel) -> LanguageModel:
    """The model, with what was measured of it. Raises ModelError."""
    ids = _ids(model)
    found = _plain(model, ids)
    _check_shapes(model, found)
    _check_sums(model, found)
    _check_projections(model, found)
    _check_causal(model, found)
    _check_logits(model, found)
    parallel = _parallel(model, ids, found)
    model = replace(model, parallel=parallel, d_values=_check_values(model, found))
    if not parallel:
        _check_mid(model, ids, found)
    return model


def _ids(model: LanguageModel) -> Tensor:
    """Two sequences that differ in their last token alone."""
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(model.n_vocab, (1, N_TOKENS), generator=random).repeat(2, 1)
    ids[1, -1] = (ids[0, -1] + 1) % model.n_vocab
    return ids.to(model.device)


@torch.no_grad()
def _plain(model: LanguageModel, ids: Tensor) -> Found:
    names = site_names(model.n_layers, [k for k in KINDS if k != "mid"])
    try:
        with model.nn.trace(input_ids=ids, use_cache=False):
            found = {site: read(model, site) for site in names}
            found["hidden"] = model.head.input
            found["logits"] = model.nn.output.logits
            found = nnsight.save(_gathered(model, found))
    except Exception as error:  # whatever a wrong name leads to
        first = next(iter(str(error).strip().splitlines()[::-1]), type(error).__name__)
        raise ModelError(f"its sites cannot be read ({first})") from error
    return found


def _check_shapes(model: LanguageModel, found: Found) -> None:
    for site, x in found.items():
        if not isinstance(x, Tensor):
            raise ModelError(f"{site} is not one tensor but {type(x).__name__}")
        expected = [2, N_TOKENS, model.d_model]
        if site not in ("hidden", "logits") and site[0] != "z" and list(x.shape) != expected:
            raise ModelError(f"{site} has shape {list(x.shape)}, expected {expected}")


def _check_values(model: LanguageModel, found: Found) -> int:
    """The width of z, the same in all layers. Raises ModelError."""
    widths = [found[f"z_{layer}"].shape[-1] for layer in range(model.n_layers)]
    if len(set(widths)) > 1:
        raise ModelError(f"attention's values have different widths by layer: {widths}")
    return widths[0]


def _check_sums(model: LanguageModel, found: Found) -> None:
    for layer, gap in enumerate(sum_gaps(found, model.n_layers)):
        if gap > ULPS:
            text = f"the stream before layer {layer} plus attention plus MLP is not the one after"
            raise ModelError(f"{text}: off by {gap:.3g} units in the last place")


@torch.no_grad()
def _check_projections(model: LanguageModel, found: Found) -> None:
    for layer in range(model.n_layers):
        added = model.projected(layer, found[f"z_{layer}"])
        if added.shape != found[f"attn_{layer}"].shape or not _close(added, found[f"attn_{layer}"]):
            raise ModelError(f"what attention of layer {layer} adds is not its projection of z")


def _check_causal(model: LanguageModel, found: Found) -> None:
    last = found[f"resid_{model.n_layers - 1}"][:, :-1]
    if not _close(last[0], last[1]):
        raise ModelError("a token's stream depends on the tokens after it")


def _check_logits(model: LanguageModel, found: Found) -> None:
    logits = found["logits"].float()
    gap = (model.logits(found["hidden"]).float() - logits).abs().max() / logits.abs().max()
    if gap > min(0.1, LOOSE * torch.finfo(found["logits"].dtype).eps):
        text = "its logits are not the unembedding of the final stream"
        raise ModelError(f"{text}: off by {float(gap):.2g} of the largest")
    norm = model.final_norm(found[f"resid_{model.n_layers - 1}"]).to(model.device)
    if not _close(norm, found["hidden"]):
        raise ModelError(f"what {model.modules.norm} makes of the last stream is not unembedded")


@torch.no_grad()
def _parallel(model: LanguageModel, ids: Tensor, found: Found) -> bool:
    """Whether MLPs do without attention: it is changed in every layer, each from its own stream."""
    change = _changes(model, found)
    with model.nn.trace(input_ids=ids, use_cache=False):
        seen = {}
        for layer in range(model.n_layers):
            model.layers[layer].input = _before(found, layer)
            write(model, f"attn_{layer}", found[f"attn_{layer}"] + change[layer])
            for site in (f"mlp_{layer}", f"resid_{layer}"):
                seen[site] = read(model, site)
        seen = nnsight.save(_gathered(model, seen))
    same = set()
    for layer in range(model.n_layers):
        mlp, before = seen[f"mlp_{layer}"], _before(found, layer)
        attn = found[f"attn_{layer}"] + change[layer]
        if rounding(seen[f"resid_{layer}"], [before, attn, mlp]) > ULPS:
            raise ModelError(f"what is written to attn_{layer} does not reach the stream")
        same.add(_close(mlp, found[f"mlp_{layer}"]))
    if len(same) > 1:
        raise ModelError("in some layers the MLP reads attention, in others it does not")
    return same.pop()


@torch.no_grad()
def _check_mid(model: LanguageModel, ids: Tensor, found: Found) -> None:
    """A change of mid_i is one of attention."""
    change = _changes(model, found)
    with model.nn.trace(input_ids=ids, use_cache=False):
        seen = {}
        for layer in range(model.n_layers):
            model.layers[layer].input = _before(found, layer)
            mid = read(model, f"mid_{layer}").clone()
            write(model, f"mid_{layer}", mid + change[layer].to(mid.device))
            seen[f"mid_{layer}"] = mid
            for site in (f"mlp_{layer}", f"resid_{layer}"):
                seen[site] = read(model, site)
        seen = nnsight.save(_gathered(model, seen))
    for layer in range(model.n_layers):
        mid, mlp, before = seen[f"mid_{layer}"], seen[f"mlp_{layer}"], _before(found, layer)
        if rounding(mid, [before, found[f"attn_{layer}"]]) > ULPS:
            raise ModelError(f"{model.modules.mid} of layer {layer} does not read mid_{layer}")
        if rounding(seen[f"resid_{layer}"], [mid, change[layer], mlp]) > ULPS:
            raise ModelError(f"what is written to mid_{layer} does not reach the stream")


def _changes(model: LanguageModel, found: Found) -> list[Tensor]:
    """Something of the size of each token's stream for each layer, so that whatever reads it sees
    that it is there, however large a few numbers of the stream are."""
    random = torch.Generator().manual_seed(1)
    noise = torch.randn(2, N_TOKENS, model.d_model, generator=random).to(found["embed"])
    streams = (_before(found, layer) for layer in range(model.n_layers))
    return [noise * x.float().square().mean(-1, keepdim=True).sqrt().to(x) for x in streams]


def _gathered(model: LanguageModel, found: Found) -> Found:
    """What was read, on one device."""
    return {k: x.to(model.device) if isinstance(x, Tensor) else x for k, x in found.items()}


def _before(found: Found, layer: int) -> Tensor:
    return found[f"resid_{layer - 1}" if layer > 0 else "embed"]


def _close(x: Tensor, y: Tensor) -> bool:
    """Equal but for rounding on the way through a few modules, token by token."""
    eps = min(0.1, LOOSE * torch.finfo(x.dtype).eps)
    x, y = x.float(), y.float()
    return bool(((x - y).abs() <= eps * x.abs().amax(-1, keepdim=True)).all())
