"""The questions of the feature pages, on features made by hand."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dagster_project.lake.store import Lake
from dashboards.data import Data, Value
from tests.dashboards.features import FEATURES, IN_RESID, fill_features

STUDY: dict[str, Value] = {"study": "plain"}
FEATURE: dict[str, Value] = {**STUDY, "site": "embed", "feature": 3}
ALL: dict[str, Value] = {**STUDY, "site": "", "search": "", "kind": "all", "order": "density"}
ALL |= {"descending": True, "first": 0, "most": 99}


SECOND = {
    "site": "embed",
    "feature": 3,
    "label": None,
    "density": 0.25,
    "mean_activation": 1.75,
    "max_activation": 3.5,
    "bin_width": 1.0,
    "histogram": [6, 12, 0, 6],
    "raised": [" girl", " was"],
    "circuits": 1,
    "raises": False,
    "fires": None,
    "found": len(FEATURES),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    lake = fill_features(Lake(tmp_path_factory.mktemp("features")))
    return Data(fill_features(lake, "other"))  # of which nothing may come into an answer


def listed(data: Data, **asked: Value) -> pl.DataFrame:
    return data.ask("features_listed", **{**ALL, **asked})


def names(data: Data, **asked: Value) -> list[str]:
    rows = listed(data, **asked).select("site", "feature").rows()
    return [f"{site}/{feature}" for site, feature in rows]


def test_sites_have_their_features_counted(data: Data) -> None:
    rows = data.ask("feature_sites", **STUDY).rows()
    assert rows == [("embed", 3, 2, 1), ("resid_0", IN_RESID, IN_RESID, 0)]


def test_a_row_has_its_histogram_and_the_tokens_that_it_raises(data: Data) -> None:
    assert listed(data, first=1, most=1).to_dicts() == [SECOND]
    assert listed(data, most=1)["label"].to_list() == ["The"]  # the label that counts now


@pytest.mark.parametrize(
    ("order", "descending", "first"),
    [
        ("density", True, ["embed/4", "embed/3"]),
        ("density", False, ["embed/7", "resid_0/0"]),
        ("max", True, ["embed/3", "embed/4"]),
        ("mean", True, ["embed/3", "embed/4"]),
        ("mean", False, ["embed/4", "embed/3"]),
        ("label", False, ["embed/4", "embed/3"]),
        ("label", True, ["embed/4", "embed/3"]),
        ("feature", False, ["embed/3", "embed/4"]),
        ("circuits", True, ["embed/3", "resid_0/5"]),  # in one each: by the largest activation
        ("feature", True, ["resid_0/59", "resid_0/58"]),
    ],
)
def test_features_come_in_the_order_asked_for(
    data: Data, order: str, descending: bool, first: list[str]
) -> None:
    """A mean that is not known comes last, in either order."""
    rows = names(data, order=order, descending=descending)
    assert rows[:2] == first
    assert len(rows) == len(FEATURES)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"search": " GIRL "}, ["embed/3"]),  # raised by it
        ({"search": "happy"}, ["embed/3"]),  # raised by none; one of its texts is at it
        ({"search": "was"}, ["embed/4", "embed/3"]),
        ({"search": "he"}, ["embed/4"]),  # a part of the label, and of no token
        ({"search": "7"}, ["resid_0/7", "embed/7"]),
        ({"search": "resid_0/12"}, ["resid_0/12"]),
        ({"search": "%"}, []),
        ({"search": "girl", "site": "resid_0"}, []),
        ({"kind": "dead"}, ["embed/7"]),
        ({"kind": "labelled"}, ["embed/4"]),
        ({"kind": "alive", "site": "embed"}, ["embed/4", "embed/3"]),
    ],
)
def test_features_are_found(data: Data, asked: dict[str, Value], found: list[str]) -> None:
    assert names(data, **asked) == found
    assert set(listed(data, **asked)["found"]) <= {len(found)}


def test_pages_follow_each_other(data: Data) -> None:
    whole = names(data, order="feature", descending=False)
    parts = [names(data, order="feature", descending=False, first=i, most=25) for i in (0, 25, 50)]
    assert [name for part in parts for name in part] == whole
    assert names(data, first=99) == []


def test_a_feature_knows_those_beside_it(data: Data) -> None:
    beside = ("previous", "following", "place", "features")
    assert data.ask("feature", **FEATURE).select(beside).rows() == [(None, 4, 1, 3)]
    of_four = data.ask("feature", **FEATURE | {"feature": 4})
    assert of_four.select("label", *beside).rows() == [("The", 3, 7, 2, 3)]
    assert data.ask("feature", **FEATURE | {"feature": 5}).is_empty()
    assert data.ask("feature_first", **STUDY, site="embed").rows() == [(3,)]


def test_examples_have_what_is_around_them(data: Data) -> None:
    rows = data.ask("feature_examples_of", **FEATURE)
    assert rows.select("rank", "doc_id", "pos", "interval", "sampled").rows() == [
        (0, 2, 1, 0, False),
        (1, 5, 3, 2, True),
    ]
    assert rows["near_effects"].to_list() == [[-0.5, 0.25], None]


def test_windows_end_where_the_document_does(data: Data) -> None:
    asked: dict[str, Value] = {"doc_ids": [5, 2], "places": [3, 1], "shards": ["00000"]}
    found = data.ask("tokens_around", **STUDY, **asked, before=2, after=1).rows()
    assert found == [
        (2, 1, 0, ["The", " girl", " was"]),
        (5, 3, 1, [" girl", " was", " happy", ".\n"]),
    ]
    elsewhere = data.ask(
        "tokens_around", **STUDY, **asked | {"shards": ["00001"]}, before=2, after=1
    )
    assert elsewhere.is_empty()


def test_neighbours_have_their_labels(data: Data) -> None:
    assert data.ask("feature_neighbours_of", **FEATURE).rows() == [
        ("coactive", 0, 7, 0.25, 6, None, 0.0),
        ("cosine", 0, 4, 0.5, None, "The", 0.5),
    ]


def test_where_a_feature_acts(data: Data) -> None:
    """In two contexts of four, |2| + |−1| = 3 of effect; 3 of a circuit's 3 + |−1|."""
    assert data.ask("feature_clusters_of", **FEATURE, most=9).rows() == [
        ("by-effect", 0, 4, 2, 0.5, 2.0, 0.75, " girl")
    ]
    assert data.ask("feature_circuits_of", **FEATURE, most=9).rows() == [
        ("order", "order", 1, 3.0, 0.75, 1, 0, 1)
    ]
    assert data.ask("feature_clusters_of", **FEATURE, most=0).is_empty()
    assert data.ask("circuit_features", **STUDY).rows() == [("embed", 3, 1), ("resid_0", 5, 1)]


def test_labels_come_with_their_history(data: Data) -> None:
    rows = data.ask("feature_labels_of", **FEATURE | {"feature": 4})
    assert rows.select("label", "author").rows() == [("The", "Ada"), ("nouns", "Ada")]


def test_a_folder_of_no_features_answers_nothing(tmp_path: Path) -> None:
    data = Data(Lake(tmp_path))
    assert data.ask("feature_sites", **STUDY).is_empty()
    assert listed(data).is_empty()
    nowhere: dict[str, Value] = {"doc_ids": [], "places": [], "shards": []}
    assert data.ask("tokens_around", **STUDY, **nowhere, before=2, after=1).is_empty()


def test_what_a_search_has_found_is_said(data: Data) -> None:
    """embed/3 is on at ` girl` and at ` happy` in one example each, and raises ` girl`, ` was`;
    embed/4 raises ` was`."""

    def told(search: str) -> list[tuple[object, ...]]:
        rows = listed(data, search=search, order="fires")
        return rows.select("feature", "raises", "fires").rows()

    assert told("girl") == [(3, True, 1)]
    assert told("happy") == [(3, False, 1)]
    assert told("was") == [(3, True, None), (4, True, None)]  # the first is in a circuit
