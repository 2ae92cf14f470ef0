"""The studies that are loaded: the shipped ones and those in the folder CIRCUIT_LAKE_STUDIES.

A faulty file is reported and left out; the other studies still load.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dagster_project.studies.parsing import StudyError
from dagster_project.studies.study import Study, read_study

VARIABLE = "CIRCUIT_LAKE_STUDIES"


class Studies(NamedTuple):
    """What was found."""

    studies: dict[str, Study]  # by name
    errors: list[StudyError]  # one a faulty file


def load_studies() -> Studies:
    """All studies, sorted by name; a user's study hides a shipped one of the same name."""
    folders = [Path(__file__).parent]
    if folder := os.environ.get(VARIABLE):
        folders.append(Path(folder).expanduser().resolve())
    studies: dict[str, Study] = {}
    errors: list[StudyError] = []
    for place in folders:
        if not place.is_dir():
            errors.append(StudyError(place, VARIABLE, "an existing folder", str(place)))
        for file in sorted(place.glob("*.toml")):
            try:
                studies[file.stem] = _distinct(read_study(file), studies)
            except StudyError as error:
                errors.append(error)
    return Studies(dict(sorted(studies.items())), errors)


def _distinct(study: Study, others: Mapping[str, Study]) -> Study:
    """The study. Raises StudyError where Dagster, which turns - into _, could not tell it apart."""
    for name in others:
        if name != study.name and name.replace("-", "_") == study.name.replace("-", "_"):
            raise StudyError(study.file, "file name", f"distinct from {name}", study.name)
    return study
