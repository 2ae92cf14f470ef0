"""What a study found, in one screen or two: `python -m dagster_project.summary STUDY`.

Reads the lake alone, so it works for any study at any time; what is not there yet is said to be
missing. `--json FILE` writes all figures. Cost: seconds for millions of tokens.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from dagster_project.lake.catalog import CATALOG, root_option
from dagster_project.lake.errors import LakeError
from dagster_project.lake.queries import shipped
from dagster_project.lake.rendering import told
from dagster_project.lake.store import Lake
from dagster_project.summary.blocks import Block, blocks
from dagster_project.summary.figures import Figures, figures

WIDTH = 110  # where it is not a terminal's
DOORS = """\
[bold]1  Dagster UI[/bold]  how all of it was made: runs, assets, plots, checks, lineage
   make ui     then open http://127.0.0.1:3000
[bold]2  SQL[/bold]         every table and {queries} ready questions (.tables, .queries)
   make sql    a prompt; make sql SQL=strongest_edges answers a ready question
   select skill, avg(loss) from losses group by skill order by 2 desc;
[bold]3  Dashboard[/bold]   losses, clusters, features and circuits to look at
   make dashboard    then open http://127.0.0.1:8050
[bold]4  Python[/bold]      the same tables as frames
   import duckdb; lake = duckdb.connect("{catalog}", read_only=True)
   lake.sql("from queries.strongest_nodes").pl()"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the summary; the exit status."""
    options = _parser().parse_args(arguments)
    lake, console = Lake(Path(options.root)), Console()
    if not console.is_terminal:
        console.width = WIDTH
    try:
        found = figures_in(lake, options.study)
        if options.json:
            write(Path(options.json), options.study, found)
    except (LakeError, duckdb.Error, OSError) as error:
        Console(stderr=True).print(told(error))
        return 1
    for block in blocks(options.study, found, console.width):
        show(console, block)
    show_doors(console, lake)
    return 0


def figures_in(lake: Lake, study: str) -> Figures:
    """Figures of a study. Raises LakeError where the lake has none."""
    found = figures(lake, study) if lake.root.is_dir() else None
    if found is None or not found.overview:
        made_by = f"python -m dagster_project.run {study}"
        raise LakeError(f"{study}: nothing of it is in the lake {lake.root}; make it: {made_by}")
    return found


def write(file: Path, study: str, found: Figures) -> None:
    """All figures as JSON."""
    text = json.dumps({"study": study, **found._asdict()}, indent=1)
    file.write_text(text + "\n", encoding="utf-8")


def show(console: Console, block: Block) -> None:
    """A title, the sentence, the table, and where to read on."""
    console.print()
    console.rule(f"[bold]{escape(block.title)}[/bold]", align="left")
    console.print(Padding(escape(block.sentence), (0, 2), expand=False), highlight=False)
    if block.table:
        console.print(Padding(block.table, (1, 2, 0, 2), expand=False))
    if block.below:
        console.print(f"  [dim]{block.below}[/dim]", highlight=False)


def show_doors(console: Console, lake: Lake) -> None:
    """How to go on from here."""
    console.print()
    console.rule("[bold]Where to go from here[/bold]", align="left")
    file = lake.root.resolve() / CATALOG
    catalog = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    text = DOORS.format(queries=len(shipped("queries")), catalog=escape(str(catalog)))
    console.print(Padding(text, (0, 2), expand=False), highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dagster_project.summary", description="What a study found."
    )
    parser.add_argument("study", help="name of a study, the stem of its TOML file")
    parser.add_argument("--json", metavar="FILE", help="write all figures to a file")
    root_option(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
