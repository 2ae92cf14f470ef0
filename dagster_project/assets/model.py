"""The stage `model`: the language model loads and its sites add up."""

from __future__ import annotations

from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.lake.store import Lake
from dagster_project.studies.study import Study

DOC = """Loads the language model and checks that its parts add up: at every layer, the stream
before it plus attention plus MLP is the stream after it, on random tokens.

Nothing is stored; the data version is the hash of a local model's files, or a hub model's id and
revision. Cost: one load and one forward of 4 × 64 tokens."""

N_SEQUENCES, N_POSITIONS = 4, 64  # random tokens


def compute(run: StageRun) -> StageResult:
    import torch

    from dagster_project import resources
    from dagster_project.interp.additivity import ULPS, additivity_error

    model = resources.model(run.study)
    config = model.hf.config
    shape = (N_SEQUENCES, min(N_POSITIONS, config.max_position_embeddings))
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(model.n_vocab, shape, generator=random).to(model.device)
    error = additivity_error(model, ids)
    limit, positions = run.study.tokens.max_tokens, config.max_position_embeddings
    figures = {
        "family": config.model_type,
        "layers": model.n_layers,
        "d_model": model.d_model,
        "vocabulary": model.n_vocab,
        "parameters": model.hf.num_parameters(),
        "max_position_embeddings": positions,
        "parallel_residual": model.parallel,
        "device": str(model.device),
    }
    sums = {"units in the last place": error, "allowed": ULPS}
    lengths = {"tokens.max_tokens": limit, "max_position_embeddings": positions}
    checks = [
        Check("parts_add_up", error <= ULPS, sums),
        Check("documents_fit", limit <= positions, lengths),
    ]
    return StageResult(figures, checks)


def content(study: Study, _lake: Lake, _partition: str) -> str:
    """What identifies the weights."""
    from dagster_project import resources

    return resources.model_content(study)


STAGE = Stage(
    name="model",
    doc=DOC,
    partition="study",
    tables=(),
    inputs=(),
    reads=lambda study, _: {"dtype": study.model.dtype, "attention": study.model.attention},
    content=content,
    compute=compute,
    checks={
        "parts_add_up": "Each layer's stream is the one before plus attention plus MLP.",
        "documents_fit": "tokens.max_tokens is at most the positions that the model was made for.",
    },
    code_version="2",  # logits of 16-bit models in float32
    pool="gpu",
    kinds=("huggingface", "pytorch"),
)
