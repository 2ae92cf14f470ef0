"""The stage `recipe_tokenizer`: the tokenizer of the shipped model."""

from __future__ import annotations

from dagster_project.assets.recipe_folder import of_version, recipe_of, written
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.lake.store import Lake
from dagster_project.studies.study import Study

DOC = """A byte-level BPE of the generated documents, in which each of their words, numbers and
marks is one token; what is left of the vocabulary are merges for other text.

Newlines and runs of spaces are tokens of their own, so that every piece of a document begins one.
Lies in the lake's `_recipe` folder by data version.

Cost: 10 s."""


def compute(run: StageRun) -> StageResult:
    from tokenizers import Tokenizer

    from dagster_project.embedded import recipe

    spec, place = recipe_of(run.study), of_version(run.lake, run.version, "tokenizer")
    if not place.is_dir():
        with written(run, "tokenizer") as folder:
            (folder / "new").mkdir()
            recipe.make_tokenizer(spec).save(str(folder / "new" / recipe.TOKENIZER))
    tokenizer = Tokenizer.from_file(str(place / recipe.TOKENIZER))
    fit = recipe.tokenizer_fit(tokenizer, spec)
    checks = [
        Check("words_are_whole", not fit.split_words, {"split": fit.split_words}),
        Check("texts_come_back", not fit.changed_texts, {"changed": fit.changed_texts}),
        Check(
            "documents_fit",
            fit.longest <= recipe.POSITIONS,
            {"longest": fit.longest, "positions": recipe.POSITIONS},
        ),
    ]
    figures = {
        "entries": tokenizer.get_vocab_size(),
        "entries_used": fit.used,
        "tokens_per_document": fit.mean_length,
        "longest_document": fit.longest,
    }
    return StageResult(figures, checks)


def generator(_study: Study, _lake: Lake, _partition: str) -> str:
    """What identifies the documents besides their seeds."""
    from dagster_project.embedded.corpus import VERSION

    return VERSION


def _reads(study: Study, _partition: str) -> object:
    spec = recipe_of(study)
    return {"seed": spec.seed, "vocabulary": spec.vocabulary, "documents": spec.documents}


STAGE = Stage(
    name="recipe_tokenizer",
    doc=DOC,
    partition="study",
    tables=(),
    inputs=(),
    reads=_reads,
    content=generator,
    compute=compute,
    checks={
        "words_are_whole": "No word, number or mark of held-out documents is split.",
        "texts_come_back": "Held-out documents come back from their tokens as they were.",
        "documents_fit": "No held-out document has more tokens than the model has positions.",
    },
    kinds=("huggingface",),
)
