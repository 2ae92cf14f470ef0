"""An independent computation of effects and edges: the dictionary inside the autograd graph.

Plain forward hooks on a float64 copy of a model. Slow, dense and direct, from the definitions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.dictionary import Dictionary, SparseDictionary
from dagster_project.interp.examples import Examples, examples_from
from dagster_project.interp.model import LanguageModel, wrap
from dagster_project.interp.sites import parse_site, site_names

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


def in_float64(model: LanguageModel) -> LanguageModel:
    """A copy that computes in float64 throughout: the original's RMS norms go through float32."""
    hf = copy.deepcopy(model.hf).double()
    for module in list(hf.modules()):
        for name, child in module.named_children():
            if type(child).__name__.endswith("RMSNorm"):
                norm = torch.nn.RMSNorm(model.d_model, child.variance_epsilon, dtype=torch.float64)
                norm.weight.data = child.weight.data
                setattr(module, name, norm)
    return wrap(hf, model.tokenizer)


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


def random_dictionaries(model: LanguageModel, n_features: int = 24) -> dict[str, Dictionary]:
    """All sites, of three kinds in turn."""
    kinds = ("relu", "topk", "jumprelu")
    return {
        site: random_dictionary(kinds[i % 3], model.d_model, n_features, seed=i)
        for i, site in enumerate(site_names(model.n_layers))
    }


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


@contextmanager
def hooks(model: LanguageModel, edits: Mapping[str, Edit]) -> Iterator[None]:
    """Sites replaced by functions of their activation."""
    layers: torch.nn.Module = model.hf
    for name in model.family.layers.split("."):
        layers = getattr(layers, name)
    modules = list(layers.children())

    def before(_: object, args: tuple[Tensor, ...], edit: Edit) -> tuple[Tensor, ...]:
        return (edit(args[0]), *args[1:])

    def after(_: object, __: object, output: object, edit: Edit) -> object:
        if isinstance(output, tuple):
            return (edit(output[0]), *output[1:])
        assert isinstance(output, Tensor)
        return edit(output)

    handles = []
    for site, edit in edits.items():
        kind, layer = parse_site(site)
        if kind == "embed":
            hook = modules[0].register_forward_pre_hook
            handles.append(hook(lambda m, a, e=edit: before(m, a, e)))
            continue
        names = {"attn": model.family.attention, "mlp": model.family.mlp}
        module = getattr(modules[layer], names[kind]) if kind in names else modules[layer]
        handles.append(module.register_forward_hook(lambda m, a, o, e=edit: after(m, a, o, e)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def metric(model: LanguageModel, examples: Examples, edits: Mapping[str, Edit]) -> Tensor:
    """m per example, from the definitions, on logits."""
    with hooks(model, edits):
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

    with hooks(model, {site: keep(site) for site in sites}), torch.no_grad():
        model.hf(input_ids=ids, use_cache=False)
    return found


def patch_states(model: LanguageModel, examples: Examples, sites: list[str]) -> dict[str, Tensor]:
    """Activations of the patch; none without one."""
    return {} if examples.patch is None else states(model, examples.patch.ids, sites)


def decompose(dictionary: Dictionary, x: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
    """f and ε; zeros without x."""
    if x is None:
        return torch.zeros_like(dictionary.encode(like)), torch.zeros_like(like)
    f = dictionary.encode(x)
    return f, x - dictionary.decode(f)


def effects(
    model: LanguageModel,
    dictionary: Dictionary,
    examples: Examples,
    site: str,
    alphas: list[float],
) -> tuple[Tensor, Tensor, Tensor]:
    """Feature effects [B, P, F], error effects [B, P] and ḡ [B, P, d] of one site."""
    x_c = states(model, examples.clean.ids, [site])[site]
    x_p = patch_states(model, examples, [site]).get(site)
    f_c, e_c = decompose(dictionary, x_c, x_c)
    f_p, e_p = decompose(dictionary, x_p, x_c)
    feature_gradient, error_gradient = torch.zeros_like(f_c), torch.zeros_like(e_c)
    for alpha in alphas:
        f = (f_c + alpha * (f_p - f_c)).requires_grad_(True)
        e = (e_c + alpha * (e_p - e_c)).requires_grad_(True)
        value = metric(model, examples, {site: put(dictionary.decode(f) + e)})
        grads = torch.autograd.grad(value.sum(), [f, e])
        feature_gradient += grads[0] / len(alphas)
        error_gradient += grads[1] / len(alphas)
    return (
        feature_gradient * (f_p - f_c),
        (error_gradient * (e_p - e_c)).sum(-1),
        error_gradient,
    )


def edges(
    model: LanguageModel,
    dictionaries: Mapping[str, Dictionary],
    examples: Examples,
    pair: tuple[str, str],
    gradient: Tensor,
    targets: list[tuple[int, int, int]],
) -> Tensor:
    """w [target, P, F + 1] (last: the error) from site u into (example, position, feature) of v."""
    found = Joined(model, dictionaries, examples, pair, _stopped(*pair))
    rows = []
    for b, s, i in targets:
        here = torch.zeros(gradient.shape[:2])
        here[b, s] = 1
        rows.append(found.weights(gradient, i, here)[b])
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
    ) -> None:
        up, down = pair
        x_c = states(model, examples.clean.ids, [up])[up]
        x_p = patch_states(model, examples, [up]).get(up)
        clean = decompose(dictionaries[up], x_c, x_c)
        patched = decompose(dictionaries[up], x_p, x_c)
        self.change = [p - c for c, p in zip(clean, patched, strict=True)]
        f, e = self.leaves = [part.clone().requires_grad_(True) for part in clean]
        reached: list[Tensor] = []

        def keep(x: Tensor) -> Tensor:
            reached.append(x)
            return x

        edits: dict[str, Edit] = dict.fromkeys(stopped, torch.Tensor.detach)
        edits[up] = put(dictionaries[up].decode(f) + e)
        edits[down] = keep
        metric(model, examples, edits)
        self.down = dictionaries[down]
        self.found, self.error = decompose(self.down, reached[0], reached[0])

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


def _stopped(up: str, down: str) -> list[str]:
    """Sites that hold the gradient back, by the table of edges."""
    kind, layer = parse_site(down)
    if kind == "resid":
        return {"attn": [f"mlp_{layer}"], "mlp": []}.get(
            parse_site(up).kind, [f"attn_{layer}", f"mlp_{layer}"]
        )
    return [f"attn_{layer}"] if kind == "mlp" and not up.startswith("attn") else []
