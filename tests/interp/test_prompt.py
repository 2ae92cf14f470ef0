"""The circuit of one prompt, and its picture."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args
from xml.etree import ElementTree

import polars as pl
import pytest

from dagster_project.interp.circuit_svg import name, svg
from dagster_project.interp.dictionary import Dictionary
from dagster_project.interp.examples import examples_from
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import attribute
from dagster_project.interp.pairs import SCHEMA
from dagster_project.interp.prompt import (
    ALONE,
    Prompt,
    PromptCircuit,
    PromptError,
    Values,
    circuit_of,
    prompt_pairs,
)
from dagster_project.studies.study import EdgeKind
from tests.interp import spliced

SPACE = "{http://www.w3.org/2000/svg}"
ALL = "3 nodes · 2 edges"
PAIR = Prompt("then the girl", " was", "then the boy", " saw")


def found_of(
    made: tuple[LanguageModel, dict[str, Dictionary]], prompt: Prompt, kind: EdgeKind = "direct"
) -> PromptCircuit:
    return circuit_of(*made, prompt, node_threshold=0.05, edge_threshold=0.05, edge_kind=kind)


@pytest.fixture(scope="module")
def made(any_model: LanguageModel) -> tuple[LanguageModel, dict[str, Dictionary]]:
    model = spliced.in_float64(any_model)
    return model, spliced.random_dictionaries(model)


@pytest.mark.parametrize("prompt", [PAIR, Prompt("then the girl", " was")])
def test_nodes_are_the_effects_above_the_threshold(
    made: tuple[LanguageModel, dict[str, Dictionary]], prompt: Prompt
) -> None:
    model, dictionaries = made
    found = found_of(made, prompt)
    examples = examples_from(prompt_pairs(prompt, model.tokenizer))
    bos_id = model.tokenizer.bos_token_id
    expected = {
        (part.site, pos, feature): effect
        for part in attribute(model, dictionaries, examples, ALONE, 64, bos_id)
        for pos, feature, effect in zip(
            *(x.tolist() for x in (part.nodes.pos, part.nodes.feature, part.nodes.effect)),
            strict=True,
        )
        if abs(effect) > 0.05
    }
    got = {row[:3]: row[3] for row in found.nodes.iter_rows()}
    assert got == pytest.approx(expected, rel=1e-5)
    sizes = found.nodes["effect"].abs()
    assert sizes.equals(sizes.sort(descending=True))
    logits = spliced.metric(model, examples, {})
    assert found.values.clean == pytest.approx(-float(logits[0]), rel=1e-5)
    assert (found.values.patch is None) == (prompt.patch is None)
    assert "".join(found.tokens).replace("<s>", "").strip() == prompt.clean


def test_patched_values_are_those_after_the_patch(
    made: tuple[LanguageModel, dict[str, Dictionary]],
) -> None:
    found = found_of(made, PAIR)
    turned = Prompt("then the boy", " saw", "then the girl", " was")
    other = found_of(made, turned)
    assert found.values.patch == pytest.approx(-other.values.clean)


@pytest.mark.parametrize("kind", get_args(EdgeKind))
def test_ends_of_edges_are_nodes(
    made: tuple[LanguageModel, dict[str, Dictionary]], kind: EdgeKind
) -> None:
    found = found_of(made, PAIR, kind)
    nodes = set(found.nodes.select("site", "pos", "feature").iter_rows())
    ends = {row[i : i + 3] for row in found.edges.iter_rows() for i in (0, 3)}
    assert len(ends) > 5
    assert ends - nodes == {("y", None, 0)}
    skipped = ("embed", "resid_1") in set(found.edges.select("up_site", "down_site").iter_rows())
    assert skipped == (kind == "total")


def test_a_threshold_beyond_all_leaves_nothing(
    made: tuple[LanguageModel, dict[str, Dictionary]],
) -> None:
    for kind in get_args(EdgeKind):
        found = circuit_of(*made, PAIR, node_threshold=1e6, edge_kind=kind)
        assert found.nodes.is_empty()
        assert found.edges.is_empty()
        ElementTree.fromstring(svg(found))


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        (Prompt("the girl", " was", "then the girl", " saw"), "differ in length: .*tokens"),
        (Prompt("the girl", " was happy"), "an answer must be one token, found 2 tokens"),
        (Prompt("the girl", " was", "the boy"), "a patch has a prompt and an answer"),
        (Prompt("the girl", " was", "the girl", " saw"), "prompts are the same"),
        (Prompt("the girl", " was", "the boy", " was"), "answers share their first token"),
        (Prompt("", "the"), "found an empty one"),
    ],
)
def test_what_cannot_be_examined_is_refused(
    tiny_llama: LanguageModel, prompt: Prompt, why: str
) -> None:
    with pytest.raises(PromptError, match=why):
        prompt_pairs(prompt, tiny_llama.tokenizer)


def test_a_prompt_is_a_row_of_the_pairs_table(tiny_llama: LanguageModel) -> None:
    (row,) = (frame := prompt_pairs(PAIR, tiny_llama.tokenizer)).to_dicts()
    assert frame.schema == SCHEMA
    assert (row["split"], row["example"]) == ("train", 0)
    assert (row["clean_prefix"], row["patch_answer"]) == (PAIR.clean, PAIR.patch_answer)
    assert row["clean_ids"] == tiny_llama.tokenizer(PAIR.clean).input_ids


def drawn(tokens: list[str], patched: list[str] | None = None) -> PromptCircuit:
    """Three nodes and two edges by hand."""
    nodes = pl.DataFrame(
        [("resid_0", 1, 7, 2.0, 0.0), ("embed", 0, 3, -1.0, 0.0), ("embed", 0, -1, 0.5, 0.0)],
        schema=["site", "pos", "feature", "effect", "patch_only"],
        orient="row",
    )
    edges = pl.DataFrame(
        [("resid_0", 1, 7, "y", None, 0, 2.0), ("embed", 0, 3, "resid_0", 1, 7, -0.5)],
        schema=[f"{e}_{n}" for e in ("up", "down") for n in ("site", "pos", "feature")]
        + ["weight"],
        orient="row",
    )
    return PromptCircuit(Prompt("a b", " c"), tokens, patched, Values(1.0, None), nodes, edges)


def test_the_picture_has_a_mark_a_node_and_a_curve_an_edge() -> None:
    picture = svg(drawn(["a", " b"], ["a", " x"]))
    root = ElementTree.fromstring(picture)
    circles = root.findall(f"{SPACE}circle")
    titles = [t.text for t in root.iter(f"{SPACE}title")]
    assert [c.get("fill") for c in circles] == ["#2f7fd6", "#d4572b"]  # by sign
    assert float(circles[0].get("cy", 0)) < float(circles[1].get("cy", 0))  # the pass goes up
    assert float(circles[0].get("cx", 0)) > float(circles[1].get("cx", 0))  # position 1, 0
    assert float(circles[0].get("r", 0)) > float(circles[1].get("r", 0))
    assert len(root.findall(f"{SPACE}polygon")) == 1  # the error node
    assert len(root.findall(f"{SPACE}path")) == 2
    assert "embed/3@0 → resid_0/7@1 -0.500" in titles
    assert "embed/error@0 +0.500" in titles
    texts = [t.text for t in root.findall(f"{SPACE}text")]
    assert texts == ["resid_0", "embed", "a", "b / x"]
    few = ElementTree.fromstring(svg(drawn(["a", " b"]), nodes=1, edges=9))
    assert len(few.findall(f"{SPACE}circle")) == len(few.findall(f"{SPACE}path")) == 1


def test_the_picture_says_what_was_asked_how_much_is_shown_and_what_marks_mean() -> None:
    found = drawn(["a", " b"], ["a", " x"])
    found = replace(found, prompt=Prompt("a b", " <c>", "a x", " d"))
    whole, few = (said(svg(found, nodes=n)) for n in (9, 1))
    assert whole[:2] == ["Why the model says “<c>” after “a b”, and “d” after “a x”", ALL]
    assert few[1] == "the strongest 1 of 3 nodes · the strongest 1 of 2 edges"
    error, alone = "error: what dictionaries leave out", "in the patch alone"
    assert error in whole
    assert error not in few  # which has none
    assert alone not in whole
    silent = replace(found, nodes=found.nodes.with_columns(patch_only=pl.Series([1.0, 0.0, None])))
    root = ElementTree.fromstring(svg(silent))
    assert alone in said(svg(silent))
    dashed = [c.get("stroke-dasharray") for c in root.findall(f"{SPACE}circle")]
    assert [bool(dash) for dash in dashed] == [True, False]
    titles = [t.text for t in root.iter(f"{SPACE}title")]
    assert "resid_0/7@1 +2.000, in the patch alone" in titles


def test_a_long_prompt_wraps_above_the_picture_and_nothing_leaves_it() -> None:
    found = replace(drawn(["a", " b"]), prompt=Prompt("many words " * 20, " c"))
    root = ElementTree.fromstring(svg(found))
    left, top, width, height = map(float, root.get("viewBox", "").split())
    lines = root.findall(f"{SPACE}g[@class='title']/{SPACE}text")
    assert len(lines) > 3
    assert all(top < float(line.get("y", 0)) < 0 for line in lines)
    for group in root.findall(f"{SPACE}g[@class='legend']/{SPACE}g"):
        x, y = map(float, re.findall(r"[\d.]+", group.get("transform", "")))
        text = group.find(f"{SPACE}text")
        assert text is not None
        assert left <= x < x + 5 * len(text.text or "") < width
        assert y + 4 < top + height


def said(picture: str) -> list[str | None]:
    return [t.text for t in ElementTree.fromstring(picture).iter(f"{SPACE}text")]


def test_tokens_are_text_in_the_picture() -> None:
    hostile = ["<script>alert(1)</script>", '"&\n']
    picture = svg(drawn(hostile))
    assert "<script" not in picture
    texts = [t.text for t in ElementTree.fromstring(picture).iter(f"{SPACE}text")]
    assert hostile[0] in texts


def test_a_token_that_xml_cannot_hold_is_named() -> None:
    root = ElementTree.fromstring(svg(drawn(["\x01", "b\u202e"])))
    assert {r"\x01", r"b\u202e"} <= {t.text for t in root.iter(f"{SPACE}text")}


def test_names() -> None:
    assert [name("embed", 2, 5), name("mlp_1", None, -1), name("y", None, 0)] == [
        "embed/5@2",
        "mlp_1/error",
        "y",
    ]
