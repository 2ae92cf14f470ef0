"""A study of Pythia-70m's shape without the hub.

`python -m bench.random_study OUT TOKENIZER CORPUS [PAIRS …]` writes to the folder OUT a model whose
weights are random but for the frequencies of tokens, with the tokenizer.json given, 19 dictionaries
of 32,768 random directions in the folders in which Marks et al. published theirs, and
`random.toml`, a study of them on a text file, a line a document, with files of pairs (JSONL) as
tasks. Then `make bench STUDY=OUT/random.toml` says what each asset takes. 3 GB on disk.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from bench.pythia import pythia, sparse_dictionaries
from dagster_project.interp.dictionary import SparseDictionary
from dagster_project.interp.dictionary_learning_files import save_dictionary_learning
from dagster_project.interp.foreign_names import folder_name
from dagster_project.interp.model import LanguageModel

STUDY = """# As `python -m bench.random_study` writes it.
[model]
source = "./model"

[corpus]
files = [{corpus}]
separator = ""  # a line is a document
rows_per_shard = 2000

[tokens]
max_tokens = 256

[dictionaries]
source = "./dictionaries"
held_out_tokens = 10_000

[features]
tokens = 10_000

[contexts]
n_ctx = 64
max_loss = 100.0  # a random model predicts nothing well
target = 256

[clusterings.effects-20]
n_clusters = 20

[cluster_tasks]
clustering = "effects-20"
largest = 1
max_examples = 32
node_threshold = {node}
edge_threshold = {edge}

[circuits]
node_threshold = {node}
edge_threshold = {edge}

[faithfulness]
sizes = [0, 10, 50, 100, 500]
random_seeds = 2
"""
NODE, EDGE = 0.005, 0.002  # such that some hundred nodes of random directions are in a circuit


def main() -> int:
    out, tokenizer, corpus, *pairs = (Path(name).resolve() for name in sys.argv[1:])
    _write_model(out / "model", tokenizer, corpus)
    _write_dictionaries(out / "dictionaries")
    text = STUDY.format(corpus=json.dumps(str(corpus)), node=NODE, edge=EDGE)
    for file in pairs:
        text += f"\n[tasks.{file.stem}]\ntrain = {json.dumps(str(file))}\nmax_examples = 40\n"
    (out / "random.toml").write_text(text)
    sys.stdout.write(f"{out / 'random.toml'}\n")
    return 0


def _write_model(folder: Path, tokenizer: Path, corpus: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    end = "<|endoftext|>"
    encode = PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer), bos_token=end, eos_token=end, unk_token=end
    )
    ids = torch.tensor(encode(corpus.read_text(encoding="utf-8")).input_ids)
    model = pythia(torch.device("cpu"))
    _know_frequencies(model, ids)
    model.hf.save_pretrained(folder)
    encode.save_pretrained(folder)


def _know_frequencies(model: LanguageModel, ids: Tensor) -> None:
    """Have the model predict tokens by how often they are: a study stops at one that is worse than
    a guess, as random weights are."""
    counts = torch.bincount(ids, minlength=model.n_vocab) + 0.01
    direction = torch.nn.functional.normalize(torch.randn(model.d_model), dim=0)
    model.final_norm.get_parameter("bias").data += 10 * direction
    model.unembedding.data += (counts / counts.sum()).log()[:, None] * direction / 10


def _write_dictionaries(folder: Path) -> None:
    model = pythia(torch.device("cpu"))
    ids = torch.randint(model.n_vocab, (4, 128), generator=torch.Generator().manual_seed(0))
    for site, dictionary in sparse_dictionaries(model, ids).items():
        assert isinstance(dictionary, SparseDictionary)
        made = save_dictionary_learning(dictionary, folder / str(folder_name(site)))
        made.rename(made.with_name(f"10_{dictionary.n_features}"))


if __name__ == "__main__":
    sys.exit(main())
