"""What the recipe reaches over training seeds: `python -m bench.recipe FOLDER [SEED …]`.

For each seed (0, 1 and 2 where none is named) the recipe trains tokenizer, model and dictionaries,
the study `embedded` runs on them in a lake of its own, and its summary is held against the bars of
`bench.bars`. What is in FOLDER already is not done again. Cost: about 25 minutes a seed on two
cores.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.bars import BARS, Bar, figures_of

PACKAGE = Path(__file__).parents[1] / "dagster_project"
STUDY = "embedded"


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    seeds = [int(seed) for seed in sys.argv[2:]] or [0, 1, 2]
    found = {seed: figures(folder / f"seed-{seed}", seed) for seed in seeds}
    Console().print(report(found))


def figures(folder: Path, seed: int) -> dict[str, float | None]:
    """The figure of each bar for one seed."""
    weights, summary = folder / "weights", folder / "summary.json"
    (folder / "dagster").mkdir(parents=True, exist_ok=True)
    (folder / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    study = folder / "studies" / f"{STUDY}.toml"
    study.parent.mkdir(exist_ok=True)
    study.write_text(on_weights((PACKAGE / "studies" / study.name).read_text()))
    environment = os.environ | {
        "DAGSTER_HOME": str(folder / "dagster"),
        "CIRCUIT_LAKE_ROOT": str(folder / "lake"),
        "CIRCUIT_LAKE_STUDIES": str(study.parent),
    }

    def run(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", *arguments], env=environment, check=True)

    if not weights.is_dir():
        run("dagster_project.recipe", "--seed", str(seed), "--to", str(weights))
    if not (folder / "seconds").is_file():
        started = time.perf_counter()
        run("dagster_project.run", STUDY)
        (folder / "seconds").write_text(str(time.perf_counter() - started))
    run("dagster_project.summary", STUDY, "--json", str(summary))
    known = figures_of(summary, weights, float((folder / "seconds").read_text()))
    return {bar.name: bar.figure(known) for bar in BARS}


def on_weights(study: str) -> str:
    """The study's TOML with the weights of the folder beside its own instead of the package's, and
    without features that a person chose, which are of the package's."""
    for part in ("model", "dictionaries"):
        pattern = rf'(\[{part}\]\nsource = )"embedded"'
        study, n = re.subn(pattern, rf'\1"../weights/{part}"', study)
        assert n == 1, part
    study, n = re.subn(r'features = "embedded".*\n', "", study)
    assert n == 1, "shift"
    return study


def report(found: dict[int, dict[str, float | None]]) -> Table:
    """A row a bar, a column a seed, and the mean."""
    table = Table("figure", "bar", *(f"seed {seed}" for seed in found), "mean")
    for bar in BARS:
        values = [figures[bar.name] for figures in found.values()]
        known = [value for value in values if value is not None]
        mean = f"{sum(known) / len(known):.4g}" if len(known) == len(values) else "–"
        shown = ["–" if value is None else f"{value:.4g}" for value in values]
        table.add_row(bar.name, limit(bar), *shown, mean)
    return table


def limit(bar: Bar) -> str:
    """What a bar asks for."""
    if bar.least is not None:
        return f"≥ {bar.least}"
    return "" if bar.most is None else f"≤ {bar.most}"


if __name__ == "__main__":
    main()
