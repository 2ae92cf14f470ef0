"""Labels: a log that keeps all that was said, the original's files, and what SQL sees of it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.lake import label_log, labels
from dagster_project.lake.catalog import connect, fetch
from dagster_project.lake.label_log import Label, LabelError, append, current, history, log_file
from dagster_project.lake.store import Lake, LakeError
from tests.lake.frames import put

HOSTILE = [
    "<script>alert(1)</script>",
    '"; drop table labels; --',
    "=1+1",
    "two\nlines\r\n\t\u2028",
    "\u202eright to left\u202c",
    "naïve 日本 🙂",
    "{[('\\\\",
]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "la'ke [1]*")
    rows = [{"site": "embed", "feature": i, "density": 0.5} for i in range(3)]
    put(lake, "features", rows, study="s")
    return lake


def say(lake: Lake, *words: tuple[str, int, str | None], author: str = "ann") -> None:
    append(lake, "s", [Label(site, feature, label, author) for site, feature, label in words])


def sql(lake: Lake, query: str) -> list[tuple[object, ...]]:
    with connect(lake) as connection:
        return fetch(connection, query).rows()


def test_without_labels_the_views_are_there(lake: Lake) -> None:
    assert history(lake, "s") == current(lake, "s") == []
    assert sql(lake, "from labels") == sql(lake, "from label_history") == []
    assert sql(lake, "select distinct label from features") == [(None,)]


def test_the_last_label_counts_and_all_are_kept(lake: Lake) -> None:
    say(lake, ("embed", 1, "plural"), ("resid_0", 7, "verbs"))
    say(lake, ("embed", 1, "plural nouns"), author="bob")
    append(lake, "t", [Label("embed", 1, "another study", "ann")])
    found = [(x.site, x.feature, x.label, x.author) for x in history(lake, "s")]
    assert found == [
        ("embed", 1, "plural", "ann"),
        ("resid_0", 7, "verbs", "ann"),
        ("embed", 1, "plural nouns", "bob"),
    ]
    times = [x.time for x in history(lake, "s")]
    assert times == sorted(set(times))
    query = "select study, site, feature, label, author, versions from labels order by all"
    assert sql(lake, query) == [
        ("s", "embed", 1, "plural nouns", "bob", 2),
        ("s", "resid_0", 7, "verbs", "ann", 1),
        ("t", "embed", 1, "another study", "ann", 1),
    ]
    query = "select label, time from label_history where study = 's' order by time"
    assert sql(lake, query) == list(zip(["plural", "verbs", "plural nouns"], times, strict=True))
    query = "select feature, label from features order by feature"
    assert sql(lake, query) == [(0, None), (1, "plural nouns"), (2, None)]


def test_a_label_is_taken_back(lake: Lake) -> None:
    say(lake, ("embed", 1, "wrong"))
    say(lake, ("embed", 1, None))
    assert current(lake, "s") == []
    assert sql(lake, "from labels") == []
    assert [row[0] for row in sql(lake, "select label from label_history order by time")] == [
        "wrong",
        None,
    ]
    say(lake, ("embed", 1, "right"))
    assert sql(lake, "select label, versions from labels") == [("right", 2)]


def test_a_label_stored_with_the_features_gives_way(lake: Lake) -> None:
    put(lake, "features", [{"site": "embed", "feature": 1, "label": "by a model"}], study="s")
    assert sql(lake, "select label from features") == [("by a model",)]
    say(lake, ("embed", 1, "by a person"))
    assert sql(lake, "select label from features") == [("by a person",)]


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_is_said_comes_back_as_it_was(lake: Lake, text: str, tmp_path: Path) -> None:
    append(lake, "s", [Label("embed", 1, text, text[:200], notes=text)])
    (label,) = current(lake, "s")
    assert (label.label, label.author, label.notes) == (text, text, text)
    assert sql(lake, "select label, author, notes from labels") == [(text, text, text)]
    labels.give(lake, "s", tmp_path / "out.jsonl")
    other = Lake(tmp_path / "other")
    labels.take(other, "s", tmp_path / "out.jsonl", "me")
    assert current(other, "s") == [label]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"site": "attn"}, "site must be embed, z_i, attn_i"),
        ({"site": "resid_01"}, "site must be"),
        ({"site": "embed\n"}, "site must be"),
        ({"feature": -1}, "feature must be 0"),
        ({"feature": 2**31}, "feature must be 0"),
        ({"feature": True}, "feature must be 0"),
        ({"label": " "}, "label must be text that is not empty"),
        ({"label": "a\0b"}, "label must be text"),
        ({"label": "x" * 2001}, "2000 characters at most, found 2001"),
        ({"label": "\ud800"}, "valid Unicode"),
        ({"author": ""}, "author must be text"),
        ({"notes": 5}, "notes must be text"),
        ({"time": "yesterday"}, "time must be UTC as 20"),
        ({"time": "2025-01-01T00:00:00Z"}, "time must be UTC as 20"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    lake: Lake, changed: dict[str, object], message: str
) -> None:
    """And nothing of what comes with it is written."""
    good = {"site": "embed", "feature": 1, "label": "l", "author": "a"}
    with pytest.raises(LabelError, match=message):
        append(lake, "s", [Label(**good), Label(**{**good, **changed})])  # type: ignore[arg-type]
    assert history(lake, "s") == []
    with pytest.raises(LakeError, match="study must be"):
        append(lake, "../s", [Label(**good)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "torn",
    [
        b'{"site": "embed", "feature": 2, "lab',
        b"\xff\xfe\x00",
        b"[1, 2]\nnull\n7\n",
        b'{"site": "embed"}\n',
        b'{"site": "embed", "feature": 2, "label": "x", "author": "a", "time": null}\n',
        b"[" * 5000 + b"\n",
        b"\n \n\r\n",
    ],
)
def test_a_torn_line_hides_no_other(lake: Lake, torn: bytes) -> None:
    say(lake, ("embed", 1, "before"))
    with log_file(lake, "s").open("ab") as file:
        file.write(torn)
    query = "select label from label_history order by time"
    assert [x.label for x in history(lake, "s")] == ["before"]
    assert sql(lake, query) == [("before",)]
    say(lake, ("embed", 2, "after"))
    assert [x.label for x in history(lake, "s")] == ["before", "after"]
    assert sql(lake, query) == [("before",), ("after",)]


def test_writers_at_the_same_time_do_not_mix(lake: Lake) -> None:
    def write(author: str) -> None:
        for i in range(50):
            say(lake, ("embed", i, "x" * 2000), ("resid_0", i, "y"), author=author)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("ann", "bob", "cat")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history(lake, "s")) == 300
    lines = log_file(lake, "s").read_text().splitlines()
    assert all(json.loads(line) for line in lines if line)


def write(tmp_path: Path, *lines: object) -> Path:
    file = tmp_path / "mine.jsonl"
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(text))
    return file


def test_the_originals_lines_are_taken(lake: Lake, tmp_path: Path) -> None:
    heading = {"Component": "Component", "Name": "Name", "Annotation": "Annotation"}
    file = write(
        tmp_path,
        {"Component": "resid", "Layer": 3, "Name": "resid_3/12345", "Annotation": "verbs"},
        heading,
        "",
        {"name": "attn_0 7", "annotation": "commas", "Notes": "also ;"},
        {"Feature": "embed/1", "label": "first", "Notes": ""},
        {"Name": "embed/1", "Feature": "1", "Annotation": "second"},
    )
    assert labels.take(lake, "s", file, "marks") == (4, 0)
    found = [(x.site, x.feature, x.label, x.author, x.notes) for x in current(lake, "s")]
    assert found == [
        ("attn_0", 7, "commas", "marks", "also ;"),
        ("embed", 1, "second", "marks", None),
        ("resid_3", 12345, "verbs", "marks", None),
    ]
    assert len(history(lake, "s")) == 4
    assert labels.take(lake, "s", file, "marks").added == 2  # first, and second again


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", 'expected {"Name": "resid_3/12345", "Annotation": "…"}, found no JSON'),
        ("[]", "expected {"),
        ('{"Annotation": "x"}', 'expected "Name" as "resid_3/12345", found \'None\''),
        ('{"Name": "resid_3", "Annotation": "x"}', "found 'resid_3'"),
        ('{"Name": "resid_3/-1", "Annotation": "x"}', "found 'resid_3/-1'"),
        ('{"Name": "resid_3/²", "Annotation": "x"}', "found 'resid_3/²'"),
        ('{"Name": "resid_3/99999999999999999999999", "Annotation": "x"}', "feature must be"),
        ('{"Name": "head_3/1", "Annotation": "x"}', "site must be embed, .*found 'head_3'"),
        ('{"Name": "embed/1"}', 'expected "Annotation" with text'),
        ('{"Name": "embed/1", "Annotation": ""}', "label must be text that is not empty"),
        ('{"Name": "embed/1", "Annotation": ["x"]}', "label must be text"),
        ('{"Name": "embed/1", "Annotation": null}', 'expected "Annotation" with text'),
        ('{"Name": "embed/1", "Annotation": "x", "Time": "noon"}', "time must be ISO 8601"),
        ('{"Name": "embed/1", "Annotation": "x", "Time": "2025-01-01"}', "with its zone"),
        ('{"Name": "embed/1", "Annotation": "x", "Author": 1}', "author must be text"),
    ],
)
def test_a_bad_line_is_named_and_nothing_taken(
    lake: Lake, tmp_path: Path, line: str, message: str
) -> None:
    file = write(tmp_path, {"Name": "embed/1", "Annotation": "good"}, "", line)
    with pytest.raises(LakeError, match=rf"mine\.jsonl, line 3: .*{message}"):
        labels.take(lake, "s", file, "me")
    assert history(lake, "s") == []


def test_a_file_that_is_not_text_is_refused(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(LakeError, match=r"mine\.jsonl, line 1: expected .*found no JSON"):
        labels.take(lake, "s", tmp_path / "mine.jsonl", "me")
    with pytest.raises(LakeError, match="cannot be read: No such file"):
        labels.take(lake, "s", tmp_path / "none.jsonl", "me")


def test_all_there_has_been_goes_out_and_comes_in_elsewhere(lake: Lake, tmp_path: Path) -> None:
    say(lake, ("embed", 1, "one"), ("embed", 2, "two"))
    say(lake, ("embed", 1, None), ("embed", 2, "three"), author="bob")
    file, other = tmp_path / "out.jsonl", Lake(tmp_path / "other")
    assert labels.give(lake, "s", file, past=True) == 4
    for expected in ((4, 0), (0, 4)):
        assert labels.take(other, "s", file, "me") == expected
        assert history(other, "s") == history(lake, "s")
    assert labels.give(lake, "s", file) == 1
    (line,) = [json.loads(text) for text in file.read_text().splitlines()]
    assert (line["Name"], line["Annotation"], line["Author"]) == ("embed/2", "three", "bob")
    assert list(tmp_path.glob("*.tmp")) == []


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


@given(_TEXTS.filter(str.strip), st.integers(0, 2**31 - 1), st.sampled_from(["embed", "attn_12"]))
def test_a_line_of_an_export_is_read_as_it_was(text: str, feature: int, site: str) -> None:
    label = Label(site, feature, text, "me", "2025-01-02T03:04:05.000006Z")
    line = json.dumps(labels._line(label), ensure_ascii=False).encode()
    assert labels._label(labels._keys(line), "other") == label


def test_the_time_of_a_zone_is_kept_in_utc() -> None:
    assert label_log.normal_time("2025-01-01T01:30:00+02:00") == "2024-12-31T23:30:00.000000Z"
    with pytest.raises(LabelError, match="with its zone"):
        label_log.normal_time("0001-01-01T00:00:00+23:00")


def test_the_command(lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, {"Name": "embed/1", "Annotation": "good"})
    root = ["--root", str(lake.root)]
    assert labels.main(["import", "s", str(file), "--author", "ann", *root]) == 0
    assert capsys.readouterr().out == "1 labels added, 0 known already\n"
    assert labels.main(["export", "s", str(tmp_path / "out.jsonl"), *root]) == 0
    assert capsys.readouterr().out == "1 labels\n"
    assert json.loads((tmp_path / "out.jsonl").read_text())["Author"] == "ann"
    assert labels.main(["import", "typo", str(file), *root]) == 1
    assert "has no study 'typo', only s" in capsys.readouterr().err
    assert not (lake.root / "_labels" / "study=typo").exists()
    assert labels.main(["import", "s", str(write(tmp_path, "{")), *root]) == 1
    assert "mine.jsonl, line 1: expected" in capsys.readouterr().err


def test_the_published_annotations(lake: Lake, shared: Path) -> None:
    """Those of Pythia-70m's features by Marks et al.: 277 and a heading, one of them twice."""
    file = shared / "data" / "annotations-pythia-70m-deduped.jsonl"
    assert labels.take(lake, "s", file, "marks") == (276, 1)
    assert len(current(lake, "s")) == 276
    (found,) = [x for x in current(lake, "s") if (x.site, x.feature) == ("resid_5", 3036)]
    assert found.label == "promotes singular verb forms"
    assert found.notes == 'Active on "that" and "and"'
