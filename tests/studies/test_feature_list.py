"""Lists of features that a person chose: of the dictionaries they were chosen from, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_project import resources
from dagster_project.assets.dictionaries import hash_of
from dagster_project.interp.dictionary_files import load_sites
from dagster_project.studies.feature_list import Chosen, read_feature_list
from dagster_project.studies.parsing import StudyError
from dagster_project.studies.registry import load_studies

LIST = """
dictionaries = "abc"
[[features]]
site = "embed"
feature = 3
why = "she"
"""


def test_a_list_names_features_and_reasons(tmp_path: Path) -> None:
    file = tmp_path / "list.toml"
    file.write_text(LIST)
    assert read_feature_list(file, "abc").features == (Chosen("embed", 3, "she"),)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("abc", "abd", r"dictionaries must be abc, the study's own .* found \"abd\""),
        ("feature = 3", "feature = -1", "at least 0"),
        ('why = "she"', 'why = ""', "a non-empty string"),
        ("site = ", "place = ", "one of the keys"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, old: str, new: str, expected: str) -> None:
    file = tmp_path / "list.toml"
    file.write_text(LIST.replace(old, new))
    with pytest.raises(StudyError, match=expected):
        read_feature_list(file, "abc")


def test_the_shipped_list_is_of_the_shipped_dictionaries() -> None:
    study = load_studies().studies["embedded"]
    assert study.shift
    shipped = resources.WEIGHTS.with_name("shift_features.toml")
    found = read_feature_list(shipped, hash_of(study)).features
    assert study.shift.by_rule == len(found)
    sites = sorted({chosen.site for chosen in found})
    d_model = 112
    dictionaries = load_sites(resources.WEIGHTS / "dictionaries", dict.fromkeys(sites, d_model))
    assert all(chosen.feature < dictionaries[chosen.site].n_features for chosen in found)
