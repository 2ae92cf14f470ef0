"""Pairs as tokens: answers, lengths, what is dropped and why, clusters as tasks."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from transformers import PreTrainedTokenizerFast

from dagster_project import embedded
from dagster_project.interp.examples import examples_from
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.pairs import SCHEMA, Outcome, cluster_pairs, task_pairs, tokenize
from dagster_project.interp.text_pairs import PairError, TextPair
from dagster_project.studies.study import ClusterTasksSpec, TaskSpec


def characters(text: str) -> list[int]:
    """A tokenizer of characters, but for one merge: "e" after "s" joins it."""
    return [ord(c) for c in text.replace("se", "$")]


def _pair(clean: str, patch: str, clean_answer: str, patch_answer: str) -> TextPair:
    return TextPair(clean, patch, clean_answer, patch_answer, None, (clean, patch))


def test_tokens_of_a_pair_by_hand() -> None:
    found = tokenize(_pair("ab", "cd", "xy", "yz"), characters)
    assert found.tokens == ([97, 98], [99, 100], ord("x"), ord("y"))
    assert found.is_cut
    assert not tokenize(_pair("ab", "cd", "x", "y"), characters).is_cut
    alone = tokenize(TextPair("ab", None, "xy", None, None, ("ab", "ab")), characters)
    assert alone.tokens == ([97, 98], None, ord("x"), None)


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (_pair("ab", "abc", "x", "y"), "prompts differ in length"),
        (_pair("ab", "ab", "x", "y"), "prompts are the same"),
        (_pair("as", "bs", "x", "ey"), "answer merges with a prompt"),
        (_pair("ab", "cb", "", "y"), "answer merges with a prompt"),
        (_pair("ab", "cb", "xa", "xb"), "answers share their first token"),
        (TextPair("as", None, "e", None, None, ("", "")), "answer merges with a prompt"),
    ],
)
def test_what_does_not_fit_is_dropped(pair: TextPair, reason: str) -> None:
    assert tokenize(pair, characters) == Outcome(pair, None, reason)


def test_first_token_must_not_depend_on_the_prompt() -> None:
    def encode(text: str) -> list[int]:
        return [ord("!") if c == "x" and text[0] == "c" else ord(c) for c in text]

    assert tokenize(_pair("ab", "cb", "x", "y"), encode).reason == (
        "first token of an answer depends on the prompt"
    )


NUMBER = TaskSpec(
    templates=("the {}", "one day the {}"),
    fills=(("girl", "dogs"), ("boy", "cats"), ("dog", "boys"), ("cat", "girls")),
    answers=(" was", " saw"),
    test_share=0.25,
)


def test_templates(tiny_llama: LanguageModel) -> None:
    found = task_pairs(NUMBER, tiny_llama.tokenizer, seed=1)
    frame = found.frame
    assert frame.schema == SCHEMA
    assert frame["example"].to_list() == list(range(len(frame)))
    assert len(frame) + found.dropped["count"].sum() == 16

    def encode(text: str) -> list[int]:
        return list(tiny_llama.tokenizer(text)["input_ids"])

    for row in frame.iter_rows(named=True):
        assert row["clean_ids"] == encode(row["clean_prefix"])
        assert len(row["patch_ids"]) == len(row["clean_ids"])
        whole = encode(row["clean_prefix"] + row["clean_answer"])
        assert row["clean_answer_id"] == whole[len(row["clean_ids"])]
        side = row["case"]
        assert row["clean_answer"] == NUMBER.answers[int(side)]
    again = task_pairs(NUMBER, tiny_llama.tokenizer, seed=1).frame
    assert frame.equals(again)


def test_at_most_max_examples_of_each_split(tiny_llama: LanguageModel) -> None:
    spec = TaskSpec(
        templates=NUMBER.templates,
        fills=(("girl", "boy"), ("dog", "cat")),
        answers=NUMBER.answers,
        test_share=0.5,
        max_examples=3,
    )
    found = task_pairs(spec, tiny_llama.tokenizer)
    assert found.frame["split"].to_list() == ["train"] * 3 + ["test"] * 3
    assert found.dropped.select("split", "reason", "count").rows() == [
        ("train", "beyond max_examples = 3", 1),
        ("test", "beyond max_examples = 3", 1),
    ]


def test_per_position_effects_need_one_length(tiny_llama: LanguageModel) -> None:
    spec = TaskSpec(
        templates=("the {}", "the {}", "one day the {}"),
        fills=(("girl", "boy"), ("dog", "cat")),
        answers=NUMBER.answers,
        aggregation="none",
    )
    found = task_pairs(spec, tiny_llama.tokenizer)
    assert found.frame["clean_ids"].list.len().n_unique() == 1
    assert found.frame["clean_prefix"].str.starts_with("the").all()
    assert "commonest length" in found.dropped["reason"][0]


def test_files_of_the_original_form(shared: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    file = str(shared / "models" / "pythia-tokenizer" / "tokenizer.json")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=file)
    sva = shared / "data" / "sva"
    found = task_pairs(
        TaskSpec(train="given", max_examples=1000),
        tokenizer,
        train=sva / "simple_train.jsonl",
        test=sva / "simple_test.jsonl",
    )
    first = found.frame.row(0, named=True)
    # "The" 510, " friends" 3858, " friend" 3331; " have" 452, " has" 556
    assert (first["clean_prefix"], first["case"]) == ("The friends", "plural")
    assert (first["clean_ids"], first["patch_ids"]) == ([510, 3858], [510, 3331])
    assert (first["clean_answer_id"], first["patch_answer_id"]) == (452, 556)
    # " carpenter" is two tokens more in the plural's tokenization: not of equal length
    assert not found.frame["clean_prefix"].str.contains("carpenter").any()
    assert found.dropped.rows() == [
        ("train", "prompts differ in length", 24, "The carpenter"),
        ("test", "prompts differ in length", 16, "The uncle"),
    ]
    assert found.frame["split"].value_counts().sort("count").rows() == [
        ("test", 69),
        ("train", 126),
    ]


@pytest.mark.parametrize("test_file", [False, True])
def test_a_file_without_patches(tiny_llama: LanguageModel, tmp_path: Path, test_file: bool) -> None:
    prompts = ("the girl", "one day the boy", "then the dog", "a cat")
    rows = [{"clean_prefix": prompt, "clean_answer": " was"} for prompt in prompts]
    file = tmp_path / "train.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    test = file if test_file else None
    spec = TaskSpec(train="given", test_share=0.25)
    frame = task_pairs(spec, tiny_llama.tokenizer, train=file, test=test).frame
    assert frame.schema == SCHEMA
    assert frame["split"].to_list() == ["train"] * (4 if test else 3) + ["test"] * (
        4 if test else 1
    )
    ids = [tiny_llama.tokenizer(prompt)["input_ids"] for prompt in frame["clean_prefix"]]
    assert frame["clean_ids"].to_list() == ids
    patched = frame.select("patch_prefix", "patch_answer", "patch_ids", "patch_answer_id")
    assert all(patched[name].is_null().all() for name in patched.columns)
    assert examples_from(frame).patch is None


def test_patches_in_one_of_two_files_alone_are_refused(
    tiny_llama: LanguageModel, tmp_path: Path
) -> None:
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    train.write_text('{"clean_prefix": "the girl", "clean_answer": " was"}')
    pair = {"patch_prefix": "a", "patch_answer": " saw"}
    test.write_text(json.dumps({"clean_prefix": "a", "clean_answer": " was", **pair}))
    spec = TaskSpec(train="given", test="given")
    with pytest.raises(PairError, match="found 1 of 2 without"):
        task_pairs(spec, tiny_llama.tokenizer, train=train, test=test)


def test_number_agreement_of_a_real_model(stories: LanguageModel) -> None:
    spec = TaskSpec(
        templates=("The {}",),
        fills=(("girl", "dogs"), ("mouse", "cows")),
        answers=(" was", " were"),
    )
    found = task_pairs(spec, stories.tokenizer)
    girl = found.frame.filter(clean_prefix="The girl").row(0, named=True)
    pieces = stories.tokenizer.convert_ids_to_tokens(girl["clean_ids"])
    assert pieces == ["<s>", "▁The", "▁g", "ir", "l"]
    answers = [girl["clean_answer_id"], girl["patch_answer_id"]]
    assert stories.tokenizer.convert_ids_to_tokens(answers) == ["▁was", "▁we"]


def _cluster() -> tuple[pl.DataFrame, pl.LazyFrame]:
    contexts = pl.DataFrame(
        {
            "context_id": pl.Series([4, 7, 9, 11], dtype=pl.UInt32),
            "doc_id": [1, 1, 2, 2],
            "pos": pl.Series([5, 2, 3, 1], dtype=pl.UInt16),
            "answer_id": pl.Series([15, 12, 23, 21], dtype=pl.UInt32),
            "answer": ["f", "c", "D", "B"],
            "skill": ["agreement", None, "agreement", None],
        }
    )
    tokens = pl.LazyFrame(
        {
            "doc_id": [1] * 6 + [2] * 4,
            "pos": pl.Series([0, 1, 2, 3, 4, 5, 0, 1, 2, 3], dtype=pl.UInt16),
            "token_id": pl.Series([*range(10, 16), *range(20, 24)], dtype=pl.UInt32),
            "token": list("abcdefABCD"),
        }
    )
    return contexts, tokens


def test_members_of_a_cluster_by_hand() -> None:
    contexts, tokens = _cluster()
    spec = ClusterTasksSpec(max_examples=4, test_share=0.25)
    frame = cluster_pairs(contexts, tokens, spec, n_ctx=3)
    assert frame.schema == SCHEMA
    assert frame["split"].to_list() == ["train"] * 3 + ["test"]
    assert frame["example"].to_list() == [0, 1, 2, 3]
    by_context = frame.sort("context_id").select(
        "context_id", "clean_prefix", "clean_ids", "clean_answer", "clean_answer_id", "case"
    )
    assert by_context.rows() == [
        (4, "cde", [12, 13, 14], "f", 15, "agreement"),
        (7, "ab", [10, 11], "c", 12, None),
        (9, "ABC", [20, 21, 22], "D", 23, "agreement"),
        (11, "A", [20], "B", 21, None),
    ]
    patched = frame.select("patch_prefix", "patch_answer", "patch_ids", "patch_answer_id")
    assert all(patched[name].is_null().all() for name in patched.columns)


def test_a_cluster_of_one_has_no_test_split() -> None:
    contexts, tokens = _cluster()
    frame = cluster_pairs(contexts.head(1), tokens, ClusterTasksSpec(), n_ctx=3)
    assert frame["split"].to_list() == ["train"]


def test_a_seeded_choice_of_a_cluster() -> None:
    contexts, tokens = _cluster()
    spec = ClusterTasksSpec(max_examples=2, test_share=0.5)
    chosen = [cluster_pairs(contexts, tokens, spec, 3, seed)["context_id"] for seed in range(8)]
    assert all(len(ids) == 2 for ids in chosen)
    assert len({tuple(ids) for ids in chosen}) > 1


def test_a_clusters_file_has_the_tokens_of_its_contexts(tmp_path: Path) -> None:
    """A window at the start of a document says BOS, which the tokenizer adds: it is there once."""
    weights = Path(embedded.__file__).parent / "weights" / "model"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(weights)
    ids = tokenizer("The girl was happy. The boy")["input_ids"]
    tokens = [tokenizer.decode([i]) for i in ids]
    cluster = {
        str(i): {"context": tokens[start:-i], "answer": tokens[-i], "document_idx": 0}
        for i, start in ((1, 0), (2, 0), (3, 0), (4, 2))
    }
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps(cluster))
    frame = task_pairs(TaskSpec(train="given"), tokenizer, train=file).frame.sort(
        pl.col("clean_ids").list.len(), descending=True
    )
    bos = tokenizer.bos_token_id
    assert frame["clean_ids"].to_list() == [ids[:-1], ids[:-2], ids[:-3], [bos, *ids[2:-4]]]
    assert frame["clean_answer_id"].to_list() == [ids[-i] for i in (1, 2, 3, 4)]
