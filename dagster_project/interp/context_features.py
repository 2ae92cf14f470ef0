"""Context features: what every site's dictionary holds of a context, and its effect on the answer.

One plain forward and backward of the model serves all sites, with m = log p, logit, or logit −
mean logit of the answer at the context's last token. Because decode is affine, ∂m/∂f = G W_decᵀ
with G = ∂m/∂x: a site is then encoded, and G projected on the active features alone. A node's
effect is f · ∂m/∂f; the error node (feature −1) has activation ‖ε‖ and effect Σ_d ε_d G_d. `sum`
adds activations and products over positions (a sum of products), their pos null; `last` keeps the
last positions. `also_last` keeps, besides the sums, the rows of position −1: whoever wants sums
alone reads pos null. An effect that is the product of the row's activation and gradient is not
stored: `EFFECT` reads either.

Cost: a forward and a backward of the model, and an encode of every site. Memory: one batch's
activations and gradients of all sites, AT_ONCE numbers, and what `active_features` holds of one.
Padding and, where asked, BOS never enter. Nodes whose activation is zero have no row: an identity
dictionary has no error rows, and a context that is BOS alone has none at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.contexts import windows
from dagster_project.interp.corpus import ignore
from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.encoding import active_features
from dagster_project.interp.metrics import Metric
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sequences import buckets
from dagster_project.interp.sites import Batch, batch_of, gradients
from dagster_project.studies.study import ContextFeaturesSpec

AT_ONCE = 1 << 26
"""Numbers of a batch's activations and gradients at all sites (256 MiB in float32)."""
EFFECT = pl.coalesce("effect", pl.col("activation") * pl.col("gradient"))
"""A row's effect, stored or the product of what is."""
DTYPES = pl.Schema(
    {
        "context_id": pl.Int64(),
        "pos": pl.Int16(),
        "feature": pl.Int32(),
        "activation": pl.Float32(),
        "gradient": pl.Float32(),
        "effect": pl.Float32(),
    }
)


class Window(NamedTuple):
    """A context as the model sees it."""

    context_id: int
    ids: list[int]  # the tokens before the answer; the last one predicts it
    answer_id: int


class Tokens(NamedTuple):
    """The tokens of a batch that enter, flattened; sorted by context, then position."""

    keep: Tensor  # [batch, position] bool
    context_id: Tensor  # [token]
    pos: Tensor  # [token] counted back from the answer: −1 predicts it


class Nodes(NamedTuple):
    """Nodes of one site that are not zero."""

    token: Tensor  # [node] row of the tokens
    feature: Tensor  # [node] −1: the error node
    activation: Tensor  # [node] ‖ε‖ for the error node
    gradient: Tensor  # [node] NaN for the error node
    effect: Tensor  # [node]

    def where(self, kept: Tensor) -> Nodes:
        """Those of kept [node] bool."""
        return Nodes(*(x[kept] for x in self))


def windows_of(contexts: pl.DataFrame, tokens: pl.LazyFrame, n_ctx: int) -> list[Window]:
    """The windows of contexts (context_id, doc_id, pos, answer_id), by context_id.

    tokens: doc_id, pos, token_id of their documents. Raises ValueError for a context that is not
    within its document.
    """
    ordered = contexts.sort("context_id")
    columns = (ordered["context_id"], windows(ordered, tokens, n_ctx), ordered["answer_id"])
    return [Window(*row) for row in zip(*(c.to_list() for c in columns), strict=True)]


def context_features(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    contexts: Sequence[Window],
    spec: ContextFeaturesSpec,
    batch_tokens: int,
    advance: Callable[[int], None] = ignore,
) -> Iterator[pl.DataFrame]:
    """Rows of the context_features table, a frame for each batch and site.

    dictionaries: by site, in forward order. advance: told of contexts as they are done. Columns:
    context_id, pos (null for sums), site, feature, activation, gradient (null for sums and error
    nodes), effect (in m's unit; null where it is their product).
    """
    at_once = min(batch_tokens, AT_ONCE // (2 * len(dictionaries) * model.d_model))
    for bucket in buckets([len(window.ids) for window in contexts], at_once):
        group = [contexts[i] for i in bucket]
        batch = batch_of([w.ids for w in group], model.device)
        answer = torch.tensor([w.answer_id for w in group], device=model.device)
        found = gradients(model, batch, Metric(spec.metric, answer), list(dictionaries))
        tokens = kept_tokens(batch, [w.context_id for w in group], spec, bos_id(model, spec))
        for site, dictionary in dictionaries.items():
            x = found.activation.pop(site)[tokens.keep].to(dictionary.bias.dtype)
            G = found.gradient.pop(site)[tokens.keep].to(dictionary.bias.dtype)
            frame = _site_frame(dictionary, x, G, tokens, spec)
            if len(frame):
                yield frame.insert_column(2, pl.lit(site).alias("site"))
        advance(len(group))


def bos_id(model: LanguageModel, spec: ContextFeaturesSpec) -> int | None:
    """The token to leave out where it is a window's first; None: none is left out."""
    return model.tokenizer.bos_token_id if spec.skip_bos else None


def kept_tokens(
    batch: Batch, context_ids: Sequence[int], spec: ContextFeaturesSpec, bos: int | None
) -> Tokens:
    """The real tokens of a batch, without a leading BOS, and with `last` the last last_k alone."""
    pos = torch.arange(batch.ids.shape[1], device=batch.ids.device) - batch.lengths[:, None]
    keep = batch.real.clone()
    if bos is not None:
        keep[:, 0] &= batch.ids[:, 0] != bos
    if spec.aggregation == "last":
        keep &= pos >= -spec.last_k
    ids = torch.tensor(context_ids, device=keep.device)[:, None].expand_as(keep)
    return Tokens(keep, ids[keep], pos[keep])


def nodes(dictionary: Dictionary, x: Tensor, G: Tensor) -> Nodes:
    """Active features and errors of tokens x [token, d_model] with gradients G [token, d_model]."""
    found = active_features(dictionary, x)
    token, feature, activation, _ = found
    gradient = dictionary.along_decoder(found, G)
    error = x - dictionary.bias - dictionary.written(found)
    norm = error.norm(dim=-1)
    wrong = norm.nonzero()[:, 0]
    return Nodes(
        token=torch.cat([wrong, token]),
        feature=torch.cat([torch.full_like(wrong, -1), feature]),
        activation=torch.cat([norm[wrong], activation]),
        gradient=torch.cat([torch.full_like(norm[wrong], torch.nan), gradient]),
        effect=torch.cat([(error * G).sum(-1)[wrong], activation * gradient]),
    )


def _site_frame(
    dictionary: Dictionary, x: Tensor, G: Tensor, tokens: Tokens, spec: ContextFeaturesSpec
) -> pl.DataFrame:
    """Rows of one site."""
    found = nodes(dictionary, x, G)
    frames = []
    if spec.aggregation == "sum":
        frames.append(_summed(found, tokens.context_id, dictionary.n_features))
    if spec.aggregation == "last" or spec.also_last:
        kept = found if spec.aggregation == "last" else found.where(tokens.pos[found.token] == -1)
        frames.append(_by_position(kept, tokens.context_id, tokens.pos))
    return pl.concat(frames)


def _by_position(found: Nodes, context_id: Tensor, pos: Tensor) -> pl.DataFrame:
    """Nodes as rows, given context and position of each token; what EFFECT multiplies is null."""
    frame = _frame(
        context_id=context_id[found.token],
        pos=pos[found.token],
        feature=found.feature,
        activation=found.activation,
        gradient=found.gradient,
        effect=found.effect,
    )
    return frame.with_columns(
        gradient=pl.when(pl.col("feature") >= 0).then("gradient"),
        effect=pl.when(pl.col("feature") < 0).then("effect"),
    )


def _summed(found: Nodes, context_id: Tensor, n_features: int) -> pl.DataFrame:
    """Activations and effects added over each context's positions; gradients do not add.

    In a row for each context of each feature, and the error node before them: its order of adding
    is that of the nodes, on a GPU too.
    """
    contexts, row = context_id.unique_consecutive(return_inverse=True)
    width = n_features + 1
    place = row[found.token] * width + found.feature + 1
    present = torch.zeros(len(contexts) * width, dtype=torch.bool, device=place.device)
    sums = found.activation.new_zeros(2, len(present))
    present[place] = True
    for total, values in zip(sums, (found.activation, found.effect), strict=True):
        _add_in_order(total, place, values)
    kept = present.nonzero()[:, 0]
    frame = _frame(
        context_id=contexts[kept // width],
        feature=kept % width - 1,
        activation=sums[0, kept],
        effect=sums[1, kept],
    )
    none = {name: pl.lit(None, DTYPES[name]) for name in ("pos", "gradient")}
    return frame.with_columns(**none).select(DTYPES.names())


def _add_in_order(total: Tensor, place: Tensor, values: Tensor) -> None:
    """Add values to total at their places, one after the other: of the two ways that torch has,
    on each device only one has an order."""
    if total.device.type == "cpu":
        total.index_add_(0, place, values)
    else:
        total.index_put_((place,), values, accumulate=True)


def _frame(**columns: Tensor) -> pl.DataFrame:
    """Columns as a frame with the dtypes of DTYPES; numpy knows no bfloat16."""
    series = {
        name: (x.float() if x.is_floating_point() else x).cpu().numpy()
        for name, x in columns.items()
    }
    return pl.DataFrame(series).cast({name: DTYPES[name] for name in series})
