"""What other libraries call our sites.

Of SAELens (TransformerLens's hooks) a site can have two names: the stream after a layer is the one
before the next. dictionary_learning's folders are those of Marks et al. 2024. sparsify names a site
by the module of the Hugging Face model whose output it is.
"""

from __future__ import annotations

from dagster_project.interp.site_names import parse_site

_FOLDERS = {"attn": "attn_out_layer", "mlp": "mlp_out_layer", "resid": "resid_out_layer"}
_MODULES = {
    "attn": ("layers.{}.attention", "layers.{}.self_attn", "h.{}.attn"),
    "mlp": ("layers.{}.mlp", "h.{}.mlp"),
    "resid": ("layers.{}", "h.{}"),
}
_HOOKS = {
    "attn": "hook_attn_out",
    "mlp": "hook_mlp_out",
    "mid": "hook_resid_mid",
    "z": "attn.hook_z",
    "resid": "hook_resid_post",
}


def hooks(site: str) -> tuple[str, ...]:
    """TransformerLens's names of a site, the one that is written first."""
    kind, layer = parse_site(site)
    if kind == "embed":
        return ("blocks.0.hook_resid_pre",)
    own = f"blocks.{layer}.{_HOOKS[kind]}"
    if kind == "z":
        return (own, f"blocks.{layer}.hook_z")
    return (own, f"blocks.{layer + 1}.hook_resid_pre") if kind == "resid" else (own,)


def folder_name(site: str) -> str | None:
    """dictionary_learning's folder of a site, where it has one: attn_3 -> attn_out_layer3."""
    kind, layer = parse_site(site)
    if kind == "embed":
        return site
    return f"{_FOLDERS[kind]}{layer}" if kind in _FOLDERS else None


def module_names(site: str) -> tuple[str, ...]:
    """sparsify's folders of a site, by the families' names of its module."""
    kind, layer = parse_site(site)
    if kind == "embed":
        return ("embed_in", "embed_tokens")
    return tuple(name.format(layer) for name in _MODULES.get(kind, ()))
