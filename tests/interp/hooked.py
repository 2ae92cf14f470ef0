"""Sites edited by plain torch hooks, without nnsight: what the oracles of these tests stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from dagster_project.interp.families import Modules
from dagster_project.interp.site_names import in_forward_order, parse_site

Edit = Callable[[Tensor], Tensor]  # of an activation [batch, position, its width]


@contextmanager
def edited(hf: nn.Module, modules: Modules, edits: Mapping[str, Edit]) -> Iterator[None]:
    """Each site replaced by a function of its activation, in forward order."""
    layers = hf.get_submodule(modules.layers)
    assert isinstance(layers, nn.ModuleList)
    with ExitStack() as stack:
        for site in in_forward_order(edits):
            for handle in _hooks(layers, modules, site, edits[site]):
                stack.callback(handle.remove)
        yield


def _hooks(layers: nn.ModuleList, modules: Modules, site: str, edit: Edit) -> list[Any]:
    kind, number = parse_site(site)
    block = layers[max(number, 0)]
    attention = block.get_submodule(modules.attention)
    attends = block.get_submodule(modules.attention_norm or modules.attention)
    if kind == "embed":
        return [_before(block, edit)]
    if kind == "z":
        return [_before(attention.get_submodule(modules.projection), edit)]
    if kind == "attn":
        return [_after(attends, edit)]
    if kind == "mid":
        entering: list[Tensor] = []

        def note(x: Tensor) -> Tensor:
            entering[:] = [x]
            return x

        return [
            _before(block, note),
            _after(attends, lambda a: edit(entering[0] + a) - entering[0]),
        ]
    if kind == "mlp":
        return [_after(block.get_submodule(modules.mlp_norm or modules.mlp), edit)]
    return [_after(block, edit)]


def _before(module: nn.Module, edit: Edit) -> Any:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (edit(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": edit(kwargs["hidden_states"])}

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def _after(module: nn.Module, edit: Edit) -> Any:
    def hook(_: nn.Module, __: object, output: Any) -> Any:
        return (edit(output[0]), *output[1:]) if isinstance(output, tuple) else edit(output)

    return module.register_forward_hook(hook)
