"""Sites: where the stream and its contributions are read, replaced and differentiated.

What a site is says `site_names`; where its module is, the model's family. Batches are
right-padded: under a causal mask padding never reaches a real token, so no attention mask is
needed. Every function here is one trace: a forward, and at most one backward. Of a model spread
over devices, layers take and give activations where they are computed; what is given out here is
on the model's own device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import nnsight
import torch
from torch import Tensor

from dagster_project.interp.metrics import Metric
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import parse_site

if TYPE_CHECKING:
    from transformers import Cache

Edit = Callable[[str, Tensor], Tensor]  # (site, activation) -> activation, both [B, P, d]


class Batch(NamedTuple):
    """Right-padded token sequences."""

    ids: Tensor  # [batch, position] int64
    lengths: Tensor  # [batch] real tokens

    @property
    def real(self) -> Tensor:
        """[batch, position] bool: not padding."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]


def batch_of(sequences: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> Batch:
    """Token sequences, right-padded with 0 into one batch."""
    lengths = torch.tensor([len(s) for s in sequences], device=device)
    ids = torch.zeros(len(sequences), int(lengths.max()), dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.as_tensor(list(sequence))
    return Batch(ids.to(device), lengths)


def read(model: LanguageModel, site: str) -> Tensor:
    """Inside a trace: the site's activation [batch, position, its width], where it is computed."""
    (kind, layer), modules = parse_site(site), model.modules
    if kind == "embed":
        return model.layers[0].input
    if kind == "z":
        return getattr(model.part(layer, modules.attention), modules.projection).input
    if kind == "attn":
        if modules.attention_norm:
            return model.part(layer, modules.attention_norm).output
        return model.part(layer, modules.attention).output[0]
    if kind == "mid":
        return model.part(layer, modules.mid).input
    if kind == "mlp":
        return model.part(layer, modules.mlp_norm or modules.mlp).output
    return model.layers[layer].output


def write(model: LanguageModel, site: str, value: Tensor) -> None:
    """Inside a trace: replace the site's activation."""
    (kind, layer), modules = parse_site(site), model.modules
    value = value.to(model.device_of(max(layer, 0)))
    if kind == "embed":
        model.layers[0].input = value
    elif kind == "z":
        getattr(model.part(layer, modules.attention), modules.projection).input = value
    elif kind == "attn" and modules.attention_norm:
        model.part(layer, modules.attention_norm).output = value
    elif kind == "attn":
        attention = model.part(layer, modules.attention)
        attention.output = (value, *attention.output[1:])
    elif kind == "mid":  # in place: what reads it next and what goes around that are one tensor
        model.part(layer, modules.mid).input[:] = value
    elif kind == "mlp":
        model.part(layer, modules.mlp_norm or modules.mlp).output = value
    else:
        model.layers[layer].output = value


def skip_attention(model: LanguageModel, layer: int, value: Tensor) -> None:
    """Inside a trace: attention adds this value, and is not computed."""
    value = value.to(model.device_of(layer))
    model.part(layer, model.modules.attention).skip((value, None))
    if model.modules.attention_norm:
        model.part(layer, model.modules.attention_norm).skip(value)


def skip_mlp(model: LanguageModel, layer: int, value: Tensor) -> None:
    """Inside a trace: the MLP adds this value, and is not computed."""
    value = value.to(model.device_of(layer))
    model.part(layer, model.modules.mlp).skip(value)
    if model.modules.mlp_norm:
        model.part(layer, model.modules.mlp_norm).skip(value)


def activations(model: LanguageModel, ids: Tensor, sites: Sequence[str]) -> dict[str, Tensor]:
    """Activations [batch, position, d_model] of sites (in forward order) for ids [B, P]."""
    with torch.no_grad(), model.nn.trace(input_ids=ids, use_cache=False) as tracer:
        found = nnsight.save({site: read(model, site).to(model.device) for site in sites})
        tracer.stop()
    return found


def edited_activation(
    model: LanguageModel, ids: Tensor, site: str, edit: Edit, sites: Sequence[str]
) -> Tensor:
    """The site's activation [batch, position, d_model] when each of `sites` (in forward order, none
    after it) is replaced on the already edited stream; what comes after it is not computed."""
    with torch.no_grad(), model.nn.trace(input_ids=ids, use_cache=False) as tracer:
        for edited in sites:
            write(model, edited, edit(edited, read(model, edited).to(model.device)))
        found = nnsight.save(read(model, site).to(model.device))
        tracer.stop()
    return found


def final_hidden(
    model: LanguageModel, ids: Tensor, edit: Edit | None = None, sites: Sequence[str] = ()
) -> Tensor:
    """The normalised stream [batch, position, d_model] that the unembedding reads.

    With `edit`, each of `sites` (in forward order) is replaced on the already edited stream.
    """
    with torch.no_grad(), model.nn.trace(input_ids=ids, use_cache=False):
        for site in sites:
            assert edit is not None
            write(model, site, edit(site, read(model, site).to(model.device)))
        hidden = nnsight.save(model.head.input.to(model.device))
        model.head.skip(hidden[..., :1])
    return hidden


def last_hidden(
    model: LanguageModel, batch: Batch, edit: Edit | None = None, sites: Sequence[str] = ()
) -> Tensor:
    """As `final_hidden`, at each prompt's last real token alone: [batch, d_model].

    The last layer's MLP and what follows see no other token, since nothing is read there: its
    `mlp` and `resid` are edited as [batch, 1, d_model].
    """
    last = model.n_layers - 1
    mlp, resid = f"mlp_{last}", f"resid_{last}"

    def edited(site: str, x: Tensor) -> Tensor:
        return edit(site, x.to(model.device)) if edit and site in sites else x

    with torch.no_grad(), model.nn.trace(input_ids=batch.ids, use_cache=False):
        for site in sites:
            if site not in (mlp, resid):
                write(model, site, edited(site, read(model, site)))
        _mlp_at_last(model, batch.lengths)
        write(model, mlp, edited(mlp, read(model, mlp)))
        stream = edited(resid, at_last(read(model, resid), batch.lengths)[:, None])
        write(model, resid, stream.expand(-1, batch.ids.shape[1], -1))  # GPT-2 wants this shape
        hidden = nnsight.save(model.head.input[:, 0].to(model.device))
        model.head.skip(stream[..., :1])
    return hidden


def _mlp_at_last(model: LanguageModel, lengths: Tensor) -> None:
    """Inside a trace: the last layer's MLP sees each sequence's last real token alone. What it adds
    there is added at all positions, which makes sense at that one only."""
    mlp = model.part(model.n_layers - 1, model.modules.mlp)
    mlp.input = at_last(mlp.input, lengths)[:, None]


class Gradients(NamedTuple):
    """One plain forward and backward."""

    value: Tensor  # [batch] the metric, or what is read
    activation: dict[str, Tensor]  # site -> [batch, position, d_model]
    gradient: dict[str, Tensor]  # site -> ∂(sum of metric)/∂activation, the same shape


def gradients(
    model: LanguageModel, batch: Batch, metric: Metric, sites: Sequence[str]
) -> Gradients:
    """Activations and metric gradients of all sites, the model alone in the graph."""
    with model.nn.trace(input_ids=batch.ids, use_cache=False):
        stream = model.layers[0].input
        stream.requires_grad_(True)
        found = {site: stream if site == "embed" else read(model, site) for site in sites}
        hidden = model.head.input
        value = nnsight.save(metric(model, at_last(hidden, batch.lengths)))
        model.head.skip(hidden[..., :1])
        found = nnsight.save(found)
    return _differentiated(model, value, found)


def reading_gradients(
    model: LanguageModel, ids: Tensor, reading: Callable[[Tensor], Tensor], sites: Sequence[str]
) -> Gradients:
    """As `gradients`, of a number read from the last of `sites`, which are in forward order.

    reading: its activation [batch, position, d_model] -> [batch]; what comes after it is not
    computed.
    """
    with model.nn.trace(input_ids=ids, use_cache=False) as tracer:
        stream = model.layers[0].input
        stream.requires_grad_(True)
        found = nnsight.save({s: stream if s == "embed" else read(model, s) for s in sites})
        tracer.stop()
    return _differentiated(model, reading(found[sites[-1]].to(model.device)), found)


def _differentiated(
    model: LanguageModel, value: Tensor, activation: Mapping[str, Tensor]
) -> Gradients:
    grads = torch.autograd.grad(value.sum(), list(activation.values()))
    detached = {site: x.detach().to(model.device) for site, x in activation.items()}
    gradient = {s: g.to(model.device) for s, g in zip(activation, grads, strict=True)}
    return Gradients(value.detach(), detached, gradient)


def metric_from(
    model: LanguageModel,
    batch: Batch,
    metric: Metric,
    site: str,
    value: Tensor,
    clean: Mapping[str, Tensor],
    past: Cache | None = None,
) -> Tensor:
    """The metric [batch] when `site` holds `value`; layers below are not recomputed.

    value: [batch, position, its width], may require a gradient. clean: the clean activations of
    the same batch at the sites just below: `resid_{i-1}` or `embed`, and `attn_i` for `mlp_i`.
    past: keys and values of tokens before the batch's, which is added to.
    """
    with model.nn.trace(input_ids=batch.ids, past_key_values=past, use_cache=False):
        _start_at(model, site, value, clean)
        if parse_site(site).layer < model.n_layers - 1:
            _mlp_at_last(model, batch.lengths)
        hidden = model.head.input
        result = nnsight.save(metric(model, at_last(hidden, batch.lengths)))
        model.head.skip(hidden[..., :1])
    return result


def hidden_from(
    model: LanguageModel, ids: Tensor, site: str, value: Tensor, clean: Mapping[str, Tensor]
) -> Tensor:
    """As `final_hidden`, when `site` holds `value`; layers below are not recomputed.

    value and clean: as in `metric_from`.
    """
    with torch.no_grad(), model.nn.trace(input_ids=ids, use_cache=False):
        _start_at(model, site, value, clean)
        hidden = nnsight.save(model.head.input.to(model.device))
        model.head.skip(hidden[..., :1])
    return hidden


def _start_at(model: LanguageModel, site: str, value: Tensor, clean: Mapping[str, Tensor]) -> None:
    """Inside a trace: put `value` at the site, and clean activations in place of what is below.

    At `z_i` attention is computed once more up to it, which costs less than a way around would.
    """
    kind, layer = parse_site(site)
    if layer < 1 and kind != "resid":
        model.layers[0].input = value if kind == "embed" else clean["embed"]
    for i in range(layer + 1 if kind == "resid" else layer):  # layers replaced as a whole
        model.layers[i].skip(value if i == layer else clean[f"resid_{i}"])
    if kind == "z":
        write(model, site, value.contiguous())  # as GPT-2's projection wants it
    elif kind == "attn":
        skip_attention(model, layer, value)
    elif kind == "mid":
        below = clean[f"resid_{layer - 1}" if layer > 0 else "embed"]
        skip_attention(model, layer, value - below)
    elif kind == "mlp":
        skip_attention(model, layer, clean[f"attn_{layer}"])
        skip_mlp(model, layer, value)


def at_last(hidden: Tensor, lengths: Tensor) -> Tensor:
    """[batch, d_model] at the last real token of hidden [batch, position, d_model], on the device
    of lengths [batch]."""
    rows = torch.arange(len(lengths), device=hidden.device)
    return hidden[rows, (lengths - 1).to(hidden.device)].to(lengths.device)
