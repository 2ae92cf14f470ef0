"""Questions of sql/dashboards: their headers, and answers worked out by hand."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from dagster_project.lake.queries import shipped
from dagster_project.lake.store import Lake
from dashboards.data import Data
from tests.lake.frames import Row, put

K = {"study": "s", "shard": "00000"}
T = {"study": "s", "task": "t"}
LOSSES: list[Row] = [  # document 0 is of web, 1 of books
    {"doc_id": 0, "pos": 1, "token_id": 7, "loss": 1.0, "entropy": 2.0, "rank": 0},
    {"doc_id": 0, "pos": 2, "token_id": 8, "loss": 0.0625, "entropy": 1.0, "rank": 1}
    | {"trigram_seen": True, "bigram_seen": True, "skill": "count", "surprisal": 0.0625},
    {"doc_id": 1, "pos": 1, "token_id": 7, "loss": 4.0, "entropy": 3.0, "rank": 5}
    | {"bigram_seen": True, "skill": "count", "slot": "up", "surprisal": 1.0},
    {"doc_id": 1, "pos": 2, "token_id": 9, "loss": 1.0, "entropy": 0.5, "rank": 0},
]
DOCUMENTS: list[Row] = [
    {"doc_id": 0, "pile_set_name": "web", "text": "the cat", "n_chars": 7},
    {"doc_id": 1, "pile_set_name": "books", "text": "x" * 200, "n_chars": 200, "duplicate_of": 0},
]
TOKENS: list[Row] = [
    {"doc_id": d, "pos": p, "token_id": 6 + p + (d and p == 2), "token": f"t{d}{p}"}
    for d in (0, 1)
    for p in (0, 1, 2)
]
EVALUATED: Row = {"method": "ig", "aggregation": "sum", "split": "test", "ablation": "mean"}
EVALUATED |= {"errors": "default", "start_layer": -1, "f_model": 4.0, "accuracy": 0.75}
FAITHFULNESS: list[Row] = [
    EVALUATED
    | {"unit": "feature", "selection": "top_n", "value": 5, "n_nodes": 5}
    | {"faithfulness": 0.5, "completeness": 0.25, "low": 0.25, "high": 0.75}
    | {"completeness_low": 0.125, "completeness_high": 0.375},
    EVALUATED
    | {"unit": "feature", "selection": "threshold", "value": 0.125, "n_nodes": 7}
    | {"faithfulness": 0.75, "completeness": 0.125, "low": 0.5, "high": 1.0},
    *(
        EVALUATED
        | {"unit": "random", "seed": seed, "selection": "top_n", "value": 5, "n_nodes": 5}
        | {"faithfulness": 0.25 * seed, "completeness": 1.0 - 0.5 * seed, "low": -9, "high": 9}
        for seed in (0, 1)
    ),
]
PAIRS: list[Row] = [
    {"example": 0, "split": "test", "case": "one", "clean_prefix": "A cat", "clean_answer": " is"},
    {"example": 1, "split": "train", "case": "one", "clean_prefix": "A dog", "clean_answer": " is"}
    | {"patch_prefix": "Some dogs", "patch_answer": " are"},
    {"example": 2, "split": "train", "case": "one", "clean_prefix": "A cow", "clean_answer": " is"},
    {"example": 3, "split": "train", "case": "two", "clean_prefix": "Cows", "clean_answer": " are"},
]
READ: list[Row] = [
    {"probe": "p", "site": "embed", "feature": 1, "rank": 1, "effect": -2.0, "by_hand": True}
    | {"why": "she", "gender_correlation": 0.5},
    {"probe": "p", "site": "embed", "feature": 2, "rank": 0, "effect": 3.0, "by_rule": True},
    {"probe": "q", "site": "embed", "feature": 2, "rank": 0, "effect": 1.0},
]
EVALUATION = ("test", "mean", "default", -1, "ig", "sum")
OF_DOCUMENT = {"shard": "00000", "doc_id": 1}
# bins: 100 · 1, 100 · 0.0625^¼ = 50, 100 · 4^¼ = 141.4
ANSWERS: dict[str, tuple[dict[str, object], str, list[tuple[object, ...]]]] = {
    "subsets": ({}, "subset documents", [("books", 1), ("web", 1)]),
    "losses_by_subset": (
        {},
        "name bin tokens loss entropy surprisal known excess top",
        [
            ("books", 100, 1, 1.0, 0.5, None, 0, None, 1),
            ("books", 141, 1, 4.0, 3.0, 1.0, 1, 3.0, 0),
            ("web", 50, 1, 0.0625, 1.0, 0.0625, 1, 0.0, 0),
            ("web", 100, 1, 1.0, 2.0, None, 0, None, 1),
        ],
    ),
    "shift_features_read": (  # of the probe p alone
        {"probe": "p"},
        "place site feature effect gender_correlation by_hand by_rule why label",
        [
            (1, "embed", 2, 3.0, 0.0, False, True, None, None),
            (2, "embed", 1, -2.0, 0.5, True, False, "she", "gender"),
        ],
    ),
    "losses_by_rule": (
        {},
        "name bin tokens loss surprisal known excess",
        [("count", 50, 1, 0.0625, 0.0625, 1, 0.0), ("count/up", 141, 1, 4.0, 1.0, 1, 3.0)],
    ),
    "losses_by_repetition": (
        {},
        "name bin tokens loss entropy known top",
        [
            ("neither seen before", 100, 2, 2.0, 2.5, 0, 2),
            ("only bigram seen before", 141, 1, 4.0, 3.0, 0, 0),
            ("trigram seen before", 50, 1, 0.0625, 1.0, 0, 0),
        ],
    ),
    "losses_by_position": (
        {},
        "first_pos last_pos tokens mean_loss low median_loss high mean_entropy",
        [
            (1, 1, 2, 2.5, 1.75, 2.5, 3.25, 2.5),
            (2, 2, 2, 0.53125, 0.296875, 0.53125, 0.765625, 0.75),
        ],
    ),
    "losses_by_token": (
        {"least": 1, "order": "costliest"},
        "token_id token predictions mean_loss mean_entropy cost top_share found",
        [
            (7, "t01", 2, 2.5, 2.5, 5 / 6.0625, 0.5, 3),
            (9, "t12", 1, 1.0, 0.5, 1 / 6.0625, 1.0, 3),
            (8, "t02", 1, 0.0625, 1.0, 0.0625 / 6.0625, 0.0, 3),
        ],
    ),
    "documents_by_loss": (
        {"subset": "", "order": "hardest"},
        "doc_id subset tokens mean_loss excess opening found",
        [(1, "books", 2, 2.5, 3.0, "x" * 160, 2), (0, "web", 2, 0.53125, 0.0, "the cat", 2)],
    ),
    "document": (OF_DOCUMENT, "subset n_chars duplicate_of tokens", [("books", 200, 0, 3)]),
    "document_tokens": (
        OF_DOCUMENT | {"first": 1, "most": 9},
        "pos token loss entropy surprisal rank skill slot trigram_seen",
        [
            (1, "t11", 4.0, 3.0, 1.0, 5, "count", "up", False),
            (2, "t12", 1.0, 0.5, None, 0, None, None, False),
        ],
    ),
    "dictionary_sites": (
        {},
        "study site layer fve",
        [("s", "embed", -1, 0.5), ("s", "resid_2", 2, 0.25), ("s", "resid_10", 10, 0.75)],
    ),
    "faithfulness_of_task": (
        {"task": "t"},
        "split ablation errors start_layer method aggregation unit selection n_nodes seeds "
        "faithfulness faithfulness_low faithfulness_high completeness completeness_low",
        [
            (*EVALUATION, "feature", "threshold", 7, 0, 0.75, 0.5, 1.0, 0.125, None),
            (*EVALUATION, "feature", "top_n", 5, 0, 0.5, 0.25, 0.75, 0.25, 0.125),
            (*EVALUATION, "random", "top_n", 5, 2, 0.125, 0.0, 0.25, 0.75, 0.5),
        ],
    ),
    "task_list": ({}, "task train test pairs circuits", [("t", 3, 1, 1, ["a", "b"])]),
    "task_examples": (
        {"task": "t", "split": "", "first": 0, "most": 3},
        "split example case clean_prefix patch_prefix clean_answer patch_answer found",
        [
            ("train", 1, "one", "A dog", "Some dogs", " is", " are", 4),
            ("train", 2, "one", "A cow", None, " is", None, 4),
            ("train", 3, "two", "Cows", None, " are", None, 4),
        ],
    ),
    "circuit_examples": (
        {"task": "t", "most": 3},
        "example case clean_prefix patch_answer train test",
        [
            (1, "one", "A dog", " are", 3, 1),
            (3, "two", "Cows", None, 3, 1),
            (2, "one", "A cow", None, 3, 1),
        ],
    ),
    "faithfulness_by_task": (
        {},
        "task split at_threshold value n_nodes faithfulness completeness accuracy",
        [
            ("t", "test", False, 5.0, 5, 0.5, 0.25, 0.75),
            ("t", "test", True, 0.125, 7, 0.75, 0.125, 0.75),
        ],
    ),
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Data:
    lake = Lake(tmp_path_factory.mktemp("questions"))
    put(lake, "documents", DOCUMENTS, **K)
    put(lake, "tokens", TOKENS, **K)
    put(lake, "losses", LOSSES, **K)
    put(lake, "losses", LOSSES, study="another", shard="00000")
    sites = (("embed", 0.5), ("resid_10", 0.75), ("resid_2", 0.25))
    put(lake, "dictionaries", [{"site": site, "fve": fve} for site, fve in sites], study="s")
    put(lake, "faithfulness", FAITHFULNESS, **T)
    put(lake, "shift_features", READ, study="s")
    put(lake, "features", [{"site": "embed", "feature": 1, "label": "gender"}], study="s")
    put(lake, "pairs", PAIRS, **T)
    put(lake, "pairs", PAIRS, study="another", task="t")
    put(lake, "circuits", [{"circuit": name} for name in ("b", "a")], **T)
    return Data(lake)


def test_every_question_has_an_answer_worked_out_by_hand() -> None:
    """Here, or with those of the pages that have lakes of their own."""
    others = Path(__file__).parents[1] / "sql"
    asked = [re.findall(r'ask\(\s*"(\w+)"', f.read_text()) for f in others.glob("test_*_pages.py")]
    assert set(shipped("dashboards")) == {*ANSWERS, *itertools.chain(*asked)}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(filled: Data, name: str) -> None:
    parameters, columns, expected = ANSWERS[name]
    study = {"study": "s"} if "$study" in shipped("dashboards")[name].sql else {}
    found = filled.ask(name, **study, **parameters).select(columns.split()).rows()  # type: ignore[arg-type]
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        for value, hoped in zip(row, wanted, strict=True):
            assert value == (pytest.approx(hoped, 1e-6) if isinstance(hoped, float) else hoped)


@pytest.mark.parametrize(("order", "first"), [("hardest", 7), ("easiest", 8)])
def test_tokens_come_in_the_order_asked_for(filled: Data, order: str, first: int) -> None:
    rows = filled.ask("losses_by_token", study="s", least=1, order=order)
    assert rows["token_id"][0] == first
    assert filled.ask("losses_by_token", study="s", least=2, order=order)["token_id"].to_list() == [
        7
    ]


def test_documents_come_in_the_order_asked_for_and_of_their_subset(filled: Data) -> None:
    def ids(**asked: str) -> list[int]:
        found: list[int] = filled.ask("documents_by_loss", study="s", **asked)["doc_id"].to_list()
        return found

    assert ids(subset="", order="first") == [0, 1]
    assert ids(subset="", order="easiest") == [0, 1]
    assert ids(subset="books", order="hardest") == [1]


def test_examples_of_a_task_are_stepped_through_and_of_a_split(filled: Data) -> None:
    def found(split: str, first: int) -> list[int]:
        of = {"study": "s", "task": "t", "split": split}
        numbers: list[int] = filled.ask("task_examples", **of, first=first, most=2)[
            "example"
        ].to_list()
        return numbers

    assert found("", 2) == [3, 0]
    assert found("test", 0) == [0]


@pytest.mark.parametrize("name", shipped("dashboards"))
def test_questions_say_what_they_answer_and_read_one_study(name: str) -> None:
    file = shipped("dashboards")[name]
    assert list(file.header) == ["question", "grain", "columns"]
    assert file.header["question"].endswith("?")
    assert file.header["grain"].startswith("one row")
    if name != "dictionary_sites":  # across studies
        assert re.search(r"study :?= \$study", file.sql)
