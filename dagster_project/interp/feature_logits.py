"""Feature logits: the tokens that a feature raises and lowers most, by its own direction alone.

A feature that is a above 0 adds a·d to the stream, d its decoder row. With LayerNorm the logits of
the final stream s are W_U (γ ⊙ (s − mean(s)) / σ(s) + β), with RMSNorm the same without mean and β.
The feature's share of them, with σ(s) held at what it is, is a / σ(s) times

    W_U (γ ⊙ (d − mean(d)))        (RMSNorm: W_U (γ ⊙ d)),

which is what is stored: exact for a fixed σ, in logits × σ. Order and sign do not depend on σ,
which differs from token to token. Left out is all that later layers make of the feature, and the
change of σ by the feature itself. A feature of z_i goes through attention's projection first, and
the weight of the norm after it where there is one, again but for that norm's σ. Tokens are those
that the tokenizer knows; rows of the unembedding beyond them are padding. Of equal logits the
smaller token id comes first.

Cost: 2 d_model FLOPs a feature and token of the vocabulary. Memory: LOGITS numbers.
"""

from __future__ import annotations

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import parse_site

LOGITS = 1 << 24  # at a time
LARGE = 2.0**10  # next to which what a norm adds to the variance is nothing
SHOWN = 10  # tokens of each sign
FEATURE_LOGITS = pl.Schema(
    {
        "feature": pl.Int32(),
        "sign": pl.Int8(),
        "rank": pl.UInt16(),
        "token_id": pl.UInt32(),
        "logit": pl.Float32(),
    }
)


@torch.no_grad()
def feature_logits(model: LanguageModel, site: str, dictionary: Dictionary) -> pl.DataFrame:
    """The SHOWN tokens most raised (sign 1) and most lowered (sign −1) by each feature."""
    unembedding = model.unembedding[: len(model.tokenizer)].float()
    k = min(SHOWN, len(unembedding))
    every = torch.arange(dictionary.n_features, device=model.device)
    frames = []
    for block in every.split(max(1, LOGITS // len(unembedding))):
        directions = in_stream(model, site, dictionary.decoder_rows(block).float())
        logits = through_norm(model, directions) @ unembedding.T
        for sign in (1, -1):
            found = (sign * logits).topk(k, dim=-1)
            columns = {
                "feature": block[:, None].expand_as(found.indices),
                "token_id": found.indices,
                "logit": sign * found.values,
            }
            frame = pl.DataFrame({n: x.flatten().cpu().numpy() for n, x in columns.items()})
            frames.append(frame.with_columns(sign=pl.lit(sign)))
    rows = pl.concat(frames).with_columns(strength=pl.col("logit") * pl.col("sign"))
    rows = rows.sort(
        "feature", "sign", "strength", "token_id", descending=[False, False, True, False]
    ).with_columns(rank=pl.int_range(pl.len()).over("feature", "sign"))
    return rows.select(pl.col(name).cast(dtype) for name, dtype in FEATURE_LOGITS.items())


def in_stream(model: LanguageModel, site: str, directions: Tensor) -> Tensor:
    """Directions [n, d] of a site as what they add to the stream [n, d_model]."""
    kind, layer = parse_site(site)
    if kind != "z":
        return directions
    block, modules = model.block(layer), model.modules
    project = block.get_submodule(f"{modules.attention}.{modules.projection}")
    z = directions.to(model.hf.dtype)
    added = (project(z) - project(torch.zeros_like(z[:1]))).to(directions)
    if not modules.attention_norm:
        return added
    norm = block.get_submodule(modules.attention_norm)
    return _through(norm, _gain(model, norm), added)


def through_norm(model: LanguageModel, directions: Tensor) -> Tensor:
    """Directions [n, d_model] of the stream as the unembedding meets them, but for 1/σ."""
    return _through(model.final_norm, _gain(model, model.final_norm), directions)


def _through(norm: torch.nn.Module, gain: Tensor, directions: Tensor) -> Tensor:
    if _centres(norm, gain):
        directions = directions - directions.mean(-1, keepdim=True)
    return directions * gain.to(directions)


def _gain(model: LanguageModel, norm: torch.nn.Module) -> Tensor:
    """γ [d_model], which families store each in their way: what the norm makes of ±1, less β."""
    ends = torch.ones(model.d_model, dtype=model.hf.dtype, device=model.device)
    ends[1::2] = -1
    return (norm(LARGE * ends) - norm(0 * ends)) * ends


def _centres(norm: torch.nn.Module, gain: Tensor) -> bool:
    """Whether the norm takes the mean away, as a LayerNorm does."""
    ones = torch.full_like(gain, LARGE)
    return bool((norm(ones) - norm(0 * ones)).norm() < 0.5 * gain.norm())
