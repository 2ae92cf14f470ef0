"""Studies that could not be read, as assets: who looks for theirs in the UI finds the reason."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from dagster_project.studies.parsing import StudyError

GROUP = "faulty_studies"


def faulty_studies(errors: Sequence[StudyError]) -> list[dg.AssetSpec]:
    """One asset a faulty file, under the study's name; it cannot be materialized."""
    return [
        dg.AssetSpec(
            dg.AssetKey([name, "faulty"]),
            description=f"**This study could not be loaded.** {_escaped(str(error))}\n\n"
            "Correct the file, then *Reload definitions*.",
            metadata={"file": dg.MetadataValue.path(error.file), "key": error.key},
            group_name=GROUP,
        )
        for name, error in {e.file.stem: e for e in errors}.items()
    ]


def _escaped(text: str) -> str:
    """Text as markdown shows it literally."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|" else c for c in text)
