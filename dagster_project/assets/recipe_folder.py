"""Where the recipe's results lie in the lake: `_recipe/version=…/{tokenizer,model,dictionaries}`.

Each stage has its own data version, and so its own folder: what another study or seed has made with
the same version is there already. A folder is written beside its place and renamed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dagster_project.assets.stage import StageRun
from dagster_project.lake.store import Lake
from dagster_project.studies.study import RecipeSpec, Study

FOLDER = "_recipe"
MEGABYTE = 1_000_000
LIMIT = 6 * MEGABYTE  # of all shipped files


def of_version(lake: Lake, version: str, name: str) -> Path:
    """The folder of a result."""
    return lake.folder(FOLDER) / f"version={version}" / name


def made(lake: Lake, study: str, name: str) -> Path:
    """What the stage `recipe_<name>` made last. Raises FileNotFoundError where it has not run."""
    version = lake.marked(f"recipe_{name}", study)
    if version is None:
        raise FileNotFoundError(f"{study}: the stage recipe_{name} has not been materialized")
    return of_version(lake, version, name)


def recipe_of(study: Study) -> RecipeSpec:
    """The study's recipe; the stages are there only where it has one."""
    if study.recipe is None:
        raise AssertionError(f"{study.name} has no recipe")
    return study.recipe


@contextmanager
def written(run: StageRun, name: str) -> Iterator[Path]:
    """A temporary folder; what the caller puts into its `new` becomes the result when the block
    ends without an error."""
    place = of_version(run.lake, run.version, name)
    place.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=place.parent, prefix=f"{name}.") as folder:
        yield Path(folder)
        try:
            (Path(folder) / "new").rename(place)
        except OSError:
            if not place.is_dir():  # else another run of this version was faster
                raise


def size(*folders: Path) -> int:
    """Bytes of all files."""
    return sum(p.stat().st_size for folder in folders for p in folder.rglob("*") if p.is_file())
