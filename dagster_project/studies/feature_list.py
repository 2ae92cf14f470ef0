"""Lists of features that a person chose, each with the reason, in TOML.

A number names a feature of one dictionary and nothing in another, so a list says which
dictionaries it is of, by the hash of their folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from dagster_project.studies.parsing import (
    Distinct,
    NonEmpty,
    Range,
    StudyError,
    read_toml,
    to_dataclass,
)


@dataclass(frozen=True)
class Chosen:
    """A feature and why it was chosen."""

    site: Annotated[str, NonEmpty()]
    feature: Annotated[int, Range(0)]
    why: Annotated[str, NonEmpty()]


@dataclass(frozen=True)
class FeatureList:
    """The chosen features of a set of dictionaries."""

    dictionaries: Annotated[str, NonEmpty()]
    """Hash of the folder of the dictionaries that the features are of."""
    features: Annotated[tuple[Chosen, ...], NonEmpty(), Distinct()]


def read_feature_list(file: Path, dictionaries: str) -> FeatureList:
    """The list in a file, for dictionaries with this hash. Raises StudyError: for others too."""
    found = to_dataclass(FeatureList, read_toml(file), file)
    if found.dictionaries != dictionaries:
        expected = f"{dictionaries}, the study's own (choose features of these anew)"
        raise StudyError(file, "dictionaries", expected, found.dictionaries)
    return found
