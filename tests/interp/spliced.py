"""An independent computation of effects and edges: the dictionary inside the autograd graph.

Plain forward hooks on a float64 copy of a model. Slow, dense and direct, from the definitions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary, SparseDictionary
from dagster_project.interp.examples import Examples, examples_from
from dagster_project.interp.loading import wrap
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.site_names import USUAL, in_forward_order, parse_site, site_names
from tests.interp.hooked import edited

torch.set_num_threads(1)  # the tensors are tiny

Edit = Callable[[Tensor], Tensor]
CLEAN = [[5, 17, 30, 41, 8], [9, 60, 22, 35, 7]]
PATCH = [[5, 19, 30, 41, 8], [9, 60, 71, 35, 7]]


def make(
    clean: list[list[int]], patch: list[list[int]] | None, metric: str = "log_prob"
) -> Examples:
    """Pairs, or examples without a patch."""
    n = len(clean)
    frame = pl.DataFrame(
        {
            "clean_ids": clean,
            "patch_ids": patch or [None] * n,
            "clean_answer_id": [11, 12, 13][:n],
            "patch_answer_id": [21, 22, 23][:n] if patch else [None] * n,
        },
        schema_overrides={"patch_ids": pl.List(pl.Int64)},
    )
    return examples_from(frame, metric="logit" if metric == "logit" else "log_prob")


class Case(NamedTuple):
    """Examples, and the token that does not count at position 0."""

    examples: Examples
    bos_id: int | None = None


CASES = ("pair", "log_prob", "logit")


def case_of(name: str) -> Case:
    """Pairs of unequal lengths whose first changed tokens stand at 2, 1 and 4; prompts of unequal
    lengths, two of them with a BOS that is skipped; prompts of equal lengths."""
    if name == "pair":
        clean = [[5, 17, 30, 41, 8, 33], [9, 60, 22], [7, 3, 50, 6, 44]]
        patch = [[5, 17, 31, 41, 8, 33], [9, 61, 22], [7, 3, 50, 6, 45]]
        return Case(make(clean, patch))
    if name == "log_prob":
        return Case(make([[1, 17, 30, 41, 8], [1, 60, 22], [9, 4, 50, 6]], None), bos_id=1)
    return Case(make(CLEAN, None, "logit"))


def in_float64(model: LanguageModel) -> LanguageModel:
    """A copy that computes in float64 throughout: the original's RMS norms go through float32."""
    hf = copy.deepcopy(model.hf).double()
    for module in list(hf.modules()):
        for name, child in module.named_children():
            if type(child).__name__.endswith("RMSNorm"):
                eps = getattr(child, "variance_epsilon", None) or child.eps
                norm = torch.nn.RMSNorm(child.weight.shape, eps, dtype=torch.float64)
                one = 1 if "Gemma" in type(child).__name__ else 0  # which stores γ − 1
                norm.weight.data = one + child.weight.data
                setattr(module, name, norm)
    return wrap(hf, model.tokenizer)


def converted(dictionary: Dictionary, dtype: torch.dtype = torch.float64) -> SparseDictionary:
    """The same dictionary in another precision."""
    assert isinstance(dictionary, SparseDictionary)
    threshold = dictionary.threshold
    return replace(
        dictionary,
        W_enc=dictionary.W_enc.to(dtype),
        b_enc=dictionary.b_enc.to(dtype),
        W_dec=dictionary.W_dec.to(dtype),
        b_dec=dictionary.b_dec.to(dtype),
        threshold=threshold.to(dtype) if isinstance(threshold, Tensor) else threshold,
    )


def random_dictionary(kind: str, d_model: int, n_features: int, seed: int) -> SparseDictionary:
    """A float64 dictionary with every part at work."""
    made = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=made, dtype=torch.float64)

    encoder, decoder = normal(n_features, d_model) / 2, normal(n_features, d_model) / 4
    biases = 0.3 * normal(n_features), 0.3 * normal(d_model)
    if kind == "topk":
        return SparseDictionary(encoder, biases[0], decoder, biases[1], "topk", k=5)
    if kind == "jumprelu":
        threshold = 0.2 + 0.1 * normal(n_features).abs()
        return SparseDictionary(encoder, biases[0], decoder, biases[1], "jumprelu", 0, threshold)
    return SparseDictionary(encoder, biases[0], decoder, biases[1])


SHAPES = (
    ("relu", 24),  # embed
    ("jumprelu", 28),
    ("relu", 20),
    ("topk", 176),  # resid_0; of 176 features at most 10 are active in a clean and patched token
    ("topk", 176),
    ("relu", 32),
    ("jumprelu", 40),
)
"""Kind and width of the dictionaries of sites in turn: products are dense at some, sparse at
others."""
DEAD = 1
"""The feature of each random dictionary that is never active."""


def random_dictionaries(
    model: LanguageModel, seed: int = 0, kinds: Sequence[str] = USUAL
) -> dict[str, Dictionary]:
    """All sites of some kinds: three kinds, unequal widths, a dead feature in each."""
    found: dict[str, Dictionary] = {}
    for i, site in enumerate(site_names(model.n_layers, kinds)):
        kind, width = SHAPES[i % len(SHAPES)]
        dictionary = random_dictionary(kind, model.width(site), width, seed=10 * seed + i)
        dictionary.b_enc[DEAD] = -1e3
        found[site] = dictionary
    return found


def permuted(dictionary: Dictionary, order: Tensor) -> SparseDictionary:
    """The same dictionary with feature i where order[i] was."""
    assert isinstance(dictionary, SparseDictionary)
    threshold = dictionary.threshold
    return SparseDictionary(
        dictionary.W_enc[order],
        dictionary.b_enc[order],
        dictionary.W_dec[order],
        dictionary.b_dec,
        dictionary.activation,
        dictionary.k,
        threshold[order] if isinstance(threshold, Tensor) else threshold,
    )


def put(value: Tensor) -> Edit:
    """Whatever the activation is, this value in its place."""
    return lambda _: value


def metric(model: LanguageModel, examples: Examples, edits: Mapping[str, Edit]) -> Tensor:
    """m per example, from the definitions, on logits."""
    with edited(model.hf, model.modules, edits):
        logits = model.hf(input_ids=examples.clean.ids, use_cache=False).logits
    rows = torch.arange(len(examples))
    last = logits[rows, examples.clean.lengths - 1]
    if examples.patch_answer is not None:
        return last[rows, examples.patch_answer] - last[rows, examples.answer]
    if examples.metric == "logit":
        return -last[rows, examples.answer]
    return -last.log_softmax(-1)[rows, examples.answer]


def states(model: LanguageModel, ids: Tensor, sites: list[str]) -> dict[str, Tensor]:
    """Activations by hooks."""
    found: dict[str, Tensor] = {}

    def keep(site: str) -> Edit:
        def edit(x: Tensor) -> Tensor:
            found[site] = x.detach().clone()
            return x

        return edit

    with edited(model.hf, model.modules, {s: keep(s) for s in sites}), torch.no_grad():
        model.hf(input_ids=ids, use_cache=False)
    return found


def patch_states(model: LanguageModel, examples: Examples, sites: list[str]) -> dict[str, Tensor]:
    """Activations of the patch; none without one."""
    return {} if examples.patch is None else states(model, examples.patch.ids, sites)


def counted(examples: Examples, bos_id: int | None) -> Tensor:
    """[example, position] bool: neither padding nor a BOS."""
    pos = torch.arange(examples.clean.ids.shape[1], device=examples.clean.ids.device)
    is_bos = (pos == 0) & (examples.clean.ids == (-1 if bos_id is None else bos_id))
    return (pos < examples.clean.lengths[:, None]) & ~is_bos


def decompose(dictionary: Dictionary, x: Tensor) -> tuple[Tensor, Tensor]:
    """f and ε."""
    f = dictionary.encode(x)
    return f, x - dictionary.decode(f)


class Ends(NamedTuple):
    """A site's clean state, and how far the patch moves it at the tokens that count."""

    f: Tensor  # [example, position, feature]
    e: Tensor  # [example, position, d_model]
    df: Tensor
    de: Tensor


def ends(
    model: LanguageModel, dictionary: Dictionary, examples: Examples, site: str, bos_id: int | None
) -> Ends:
    """Without a patch the way leads to no feature and no error."""
    f, e = decompose(dictionary, states(model, examples.clean.ids, [site])[site])
    patch = patch_states(model, examples, [site]).get(site)
    f_p, e_p = (0 * f, 0 * e) if patch is None else decompose(dictionary, patch)
    here = counted(examples, bos_id)[..., None]
    return Ends(f, e, (f_p - f) * here, (e_p - e) * here)


def effects(
    model: LanguageModel,
    dictionary: Dictionary,
    examples: Examples,
    site: str,
    alphas: Sequence[float],
    bos_id: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Effects [B, P, F + 1] (last: the error) and ḡ [B, P, d] of one site."""
    at = ends(model, dictionary, examples, site, bos_id)
    feature_gradient, error_gradient = torch.zeros_like(at.f), torch.zeros_like(at.e)
    for alpha in alphas:
        f = (at.f + alpha * at.df).requires_grad_(True)
        e = (at.e + alpha * at.de).requires_grad_(True)
        value = metric(model, examples, {site: put(dictionary.decode(f) + e)})
        grads = torch.autograd.grad(value.sum(), [f, e])
        feature_gradient += grads[0] / len(alphas)
        error_gradient += grads[1] / len(alphas)
    error = (error_gradient * at.de).sum(-1, keepdim=True)
    return torch.cat([feature_gradient * at.df, error], -1), error_gradient


def edges(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    examples: Examples,
    pair: tuple[str, str],
    gradient: Tensor,
    nodes: Sequence[tuple[int | None, int]],
    bos_id: int | None = None,
) -> Tensor:
    """w [node, example, P, F + 1] (last: the error) from site u into nodes (position, feature) of
    v; without a position, summed over those of v that count. Examples do not touch each other, so
    that one backward serves all."""
    found = Joined(model, dictionaries, examples, pair, _stopped(*pair, dictionaries), bos_id)
    here, rows = counted(examples, bos_id), []
    for pos, feature in nodes:
        chosen = here if pos is None else here & (torch.arange(here.shape[1]) == pos)
        rows.append(found.weights(gradient, feature, chosen))
    return torch.stack(rows)


class Joined:
    """Two sites of one graph: the upper's f and ε as leaves, the lower's in their terms."""

    def __init__(
        self,
        model: LanguageModel,
        dictionaries: Mapping[str, Dictionary],
        examples: Examples,
        pair: tuple[str, str],
        stopped: Sequence[str] = (),  # sites that hold the gradient back; none: all paths count
        bos_id: int | None = None,
    ) -> None:
        up, down = pair
        at = ends(model, dictionaries[up], examples, up, bos_id)
        self.change = [at.df, at.de]
        f, e = self.leaves = [part.clone().requires_grad_(True) for part in (at.f, at.e)]
        reached: list[Tensor] = []

        def keep(x: Tensor) -> Tensor:
            reached.append(x)
            return x

        edits: dict[str, Edit] = dict.fromkeys(stopped, torch.Tensor.detach)
        edits[up] = put(dictionaries[up].decode(f) + e)
        edits[down] = keep
        metric(model, examples, edits)
        self.down = dictionaries[down]
        self.found, self.error = decompose(self.down, reached[0])

    def weights(self, gradient: Tensor, feature: int, where: Tensor) -> Tensor:
        """[B, P, F + 1] into a feature, or the error, at the places [B, P]."""
        values = (gradient * self.error).sum(-1)
        if feature >= 0:
            decoder = self.down.decoder_rows(torch.tensor([feature]))[0]
            values = (gradient @ decoder) * self.found[..., feature]
        f, e = self.leaves
        value = (values * where).sum() + 0 * (f.sum() + e.sum())  # 0 where u does not reach v
        grads = torch.autograd.grad(value, self.leaves, retain_graph=True)
        features, error = (g * d for g, d in zip(grads, self.change, strict=True))
        return torch.cat([features, error.sum(-1, keepdim=True)], -1)


def _stopped(up: str, down: str, sites: Iterable[str]) -> list[str]:
    """What lies between two sites holds the gradient back: the others with a dictionary, and what
    attention and MLPs add, with one or not. From z_i it goes on through attn_i, unless that has
    one."""
    n_layers = parse_site(down).layer + 1
    every = in_forward_order([*sites, *site_names(n_layers, ("attn", "mlp"))])
    between = every[every.index(up) + 1 : every.index(down)]
    through = up.replace("z", "attn") if up.startswith("z") else ""
    return [site for site in between if site in sites or site != through]
