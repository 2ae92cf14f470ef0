"""Names of sites, and their order in a forward.

`embed` is the stream that enters layer 0. Of layer i, in forward order: `z_i` the attention's
values, all heads', before its output projection; `attn_i` what attention adds to the stream;
`mid_i` the stream between attention and MLP; `mlp_i` what the MLP adds; `resid_i` the stream after.
Where a layer's attention and MLP are parallel there is no `mid_i`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

KINDS = ("z", "attn", "mid", "mlp", "resid")
"""Of a layer, in forward order."""
USUAL = ("attn", "mlp", "resid")
"""Those that a study has unless it says otherwise."""


class Site(NamedTuple):
    """A parsed site name."""

    kind: str  # embed, z, attn, mid, mlp or resid
    layer: int  # −1 for embed


def site_names(n_layers: int, kinds: Iterable[str] = USUAL) -> list[str]:
    """`embed` and the sites of these kinds, in forward order."""
    wanted = set(kinds)
    layers = [f"{kind}_{i}" for i in range(n_layers) for kind in KINDS if kind in wanted]
    return ["embed", *layers]


def parse_site(name: str, n_layers: int | None = None) -> Site:
    """Kind and layer of a site name. Raises ValueError that names it."""
    if name == "embed":
        return Site("embed", -1)
    kind, _, layer = name.partition("_")
    known = kind in KINDS and layer.isdecimal()
    if not known or (n_layers is not None and int(layer) >= n_layers):
        layers = "" if n_layers is None else f" with i < {n_layers}"
        expected = f"embed, {', '.join(f'{k}_i' for k in KINDS[:-1])} or {KINDS[-1]}_i{layers}"
        raise ValueError(f'site "{name}": expected {expected}')
    return Site(kind, int(layer))


def in_forward_order(sites: Iterable[str]) -> list[str]:
    """The sites, each once, in forward order. Raises ValueError for another name."""
    return sorted(set(sites), key=_place)


def _place(name: str) -> tuple[int, int]:
    kind, layer = parse_site(name)
    return layer, -1 if kind == "embed" else KINDS.index(kind)
