"""Make the weights that the package ships again: tokenizer, model and dictionaries.

Materializes the recipe's stages of the study `embedded` in the lake, leaving what is fresh, and
puts the result into a folder, by default where the package keeps its own.

    python -m dagster_project.recipe [--seed N] [--to FOLDER] [--root LAKE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dagster._core.instance.ref import InstanceRef
from rich.console import Console

from dagster_project.assets.flow import GROUPS, RECIPE
from dagster_project.assets.recipe_folder import made, recipe_of
from dagster_project.embedded.card import CARD, RECIPE_FILE, card
from dagster_project.embedded.corpus import VERSION
from dagster_project.history import history
from dagster_project.lake.store import Lake
from dagster_project.partition_run import RunError
from dagster_project.resources import WEIGHTS, default_root
from dagster_project.run import Part, display_on, instance_home, runner
from dagster_project.studies.registry import load_studies
from dagster_project.studies.study import Study

STUDY = "embedded"
PARTS = ("model", "dictionaries")  # the model with its tokenizer


def seeded(study: Study, seed: int) -> Study:
    """The study with another seed of its recipe, of its documents, weights and dictionaries."""
    recipe = recipe_of(study)
    return replace(study, recipe=replace(recipe, seed=seed, train=replace(recipe.train, seed=seed)))


def check_replaceable(to: Path) -> None:
    """Raises RunError where there is anything but weights."""
    if to.exists() and not to.is_dir():
        raise RunError(f"{to}: expected a folder of weights, or none; found a file")
    present = {path.name for path in to.iterdir()} if to.is_dir() else set()
    if foreign := sorted(present - {*PARTS, RECIPE_FILE, CARD}):
        raise RunError(f"{to}: expected a folder of weights, or none; found {', '.join(foreign)}")


def publish(lake: Lake, study: Study, to: Path) -> None:
    """Put the recipe's results, and what it was, in place of the folder."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=to.parent, prefix=f"{to.name}.") as beside:
        new, old = Path(beside) / "new", to.with_name(f"{to.name}.{os.getpid()}.old")
        for name in PARTS:
            shutil.copytree(made(lake, study.name, name), new / name)
        known = {"corpus_version": VERSION, "recipe": asdict(recipe_of(study))}
        (new / RECIPE_FILE).write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        (new / CARD).write_text(card(new), encoding="utf-8")
        if to.is_dir():
            to.rename(old)
        try:
            new.rename(to)
        except BaseException:
            if old.is_dir():
                old.rename(to)
            raise
    shutil.rmtree(old, ignore_errors=True)


def _seed(text: str) -> int:
    if not (text.isdecimal() and int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2³² − 1, found {text}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dagster_project.recipe", description=__doc__)
    parser.add_argument("--seed", type=_seed, help="instead of the study's")
    parser.add_argument("--to", type=Path, default=WEIGHTS, help="where the weights go")
    parser.add_argument("--root", default=default_root(), help="the lake")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in `run`
    console = Console(stderr=True)
    studies, errors = load_studies()
    if STUDY not in studies:
        console.print("\n".join(map(str, errors)), style="red", markup=False, soft_wrap=True)
        return 1
    study = studies[STUDY]
    if options.seed is not None:
        study = seeded(study, options.seed)
    try:
        check_replaceable(options.to)
        with history(InstanceRef.from_dir(str(instance_home()))) as instance:
            alone = replace(study, compute=replace(study.compute, workers=1))  # it has its own
            run = runner(alone, options.root, instance)
            run.run(Part(stages=[stage.name for stage in GROUPS[RECIPE]]), display_on(console))
        publish(run.lake, study, options.to)
    except (RunError, OSError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. What was finished stays; the same command goes on.", style="red")
        return 130
    console.print(f"weights: {options.to}", markup=False, highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
