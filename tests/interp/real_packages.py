"""Run by an interpreter that has sae-lens and dictionary-learning: `real_packages.py FOLDER DO`.

`write` makes a dictionary of each class with the packages themselves, in FOLDER/theirs; `read`
reads with them what lies in FOLDER/ours. FOLDER/write.pt and read.pt are what they make of
FOLDER/x.pt.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

D_MODEL, N_FEATURES, K = 16, 40, 5
SAELENS = ("standard", "topk", "rescaled", "jumprelu", "gated")
CLASSES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
    "JumpReluAutoEncoder",
)


def main(folder: Path, do: str) -> None:
    x = torch.load(folder / "x.pt")
    torch.save((written if do == "write" else read)(folder, x), folder / f"{do}.pt")


def written(folder: Path, x: torch.Tensor) -> dict[str, Any]:
    import sae_lens

    torch.manual_seed(0)
    said: dict[str, Any] = {n: version(n) for n in ("sae-lens", "dictionary-learning")}
    for name in SAELENS:
        sae = spread(saelens_of(sae_lens, name))
        sae.save_model(folder / "theirs" / name / "blocks.1.hook_mlp_out")
        said[name] = outcome(sae, x)
    for name in CLASSES:
        found = spread(dictionary_of(name))
        place = folder / "theirs" / name / "mlp_out_layer1" / f"0_{N_FEATURES}"
        place.mkdir(parents=True)
        torch.save(found.state_dict(), place / "ae.pt")
        config = {"trainer": {"dict_class": name, "k": K}}
        (place / "config.json").write_text(json.dumps(config))
        said[name] = outcome(found, x)
    return said


def read(folder: Path, x: torch.Tensor) -> dict[str, Any]:
    import sae_lens
    from dictionary_learning.utils import load_dictionary

    said: dict[str, Any] = {}
    for place in sorted(folder.glob("ours/*/saelens/*")):
        sae = sae_lens.SAE.load_from_disk(place)
        said[f"{place.parts[-3]}/saelens"] = outcome(sae, x)
    for place in sorted(folder.glob("ours/*/dictionary_learning/*/*")):
        found, _ = load_dictionary(str(place), "cpu")
        said[f"{place.parts[-4]}/dictionary_learning"] = outcome(found, x)
    return said


def saelens_of(sae_lens: Any, name: str) -> Any:
    classes = {
        "standard": (sae_lens.StandardSAE, sae_lens.StandardSAEConfig),
        "topk": (sae_lens.TopKSAE, sae_lens.TopKSAEConfig),
        "rescaled": (sae_lens.TopKSAE, sae_lens.TopKSAEConfig),
        "jumprelu": (sae_lens.JumpReLUSAE, sae_lens.JumpReLUSAEConfig),
        "gated": (sae_lens.GatedSAE, sae_lens.GatedSAEConfig),
    }
    made, config = classes[name]
    more: dict[str, Any] = {"k": K} if made is sae_lens.TopKSAE else {}
    if name == "rescaled":
        more["rescale_acts_by_decoder_norm"] = True
    return made(config(d_in=D_MODEL, d_sae=N_FEATURES, **more))


def dictionary_of(name: str) -> Any:
    from dictionary_learning import dictionary
    from dictionary_learning.trainers import batch_top_k, matryoshka_batch_top_k, top_k

    if name == "AutoEncoderTopK":
        return top_k.AutoEncoderTopK(D_MODEL, N_FEATURES, K)
    if name == "BatchTopKSAE":
        return batch_top_k.BatchTopKSAE(D_MODEL, N_FEATURES, K)
    if name == "MatryoshkaBatchTopKSAE":
        made = matryoshka_batch_top_k.MatryoshkaBatchTopKSAE
        return made(D_MODEL, N_FEATURES, K, [10, 30])
    return getattr(dictionary, name)(D_MODEL, N_FEATURES)


def spread(found: Any) -> Any:
    """Weights as a training might leave them: no bias of 0, no rows alike, thresholds above 0."""
    with torch.no_grad():
        for key, tensor in found.state_dict().items():
            if key == "threshold":
                tensor.copy_(torch.rand(tensor.shape) / 2)
            elif key not in ("k", "group_sizes"):
                tensor.add_(0.3 * torch.randn(tensor.shape))
    return found


@torch.no_grad()
def outcome(found: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    f = found.encode(x)
    return f, found.decode(f)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
