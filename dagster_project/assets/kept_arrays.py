"""An array that one partition leaves for the next, the last one alone: where it is missing, torn or
of something else, the same is made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_project.lake.writer import put_in_place, temporary_beside

if TYPE_CHECKING:
    from dagster_project.interp.kmeans import Points


def kept(folder: Path, name: str, make: Callable[[], Points]) -> Points:
    """What `make` makes: from the folder's file `kept-<name>` if it is whole; else made, and left
    there instead of what others left."""
    import numpy as np

    file = folder / f"kept-{name}.npy"
    try:
        found: Points = np.load(file, allow_pickle=False)
        return found
    except (OSError, ValueError, EOFError):
        made = make()
    for other in folder.glob("kept-*.npy"):
        other.unlink(missing_ok=True)
    temporary = temporary_beside(file)
    with temporary.open("wb") as stream:
        np.save(stream, made, allow_pickle=False)
    put_in_place(temporary, file)
    return made
