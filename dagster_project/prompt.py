"""The circuit of one's own prompt: a table, a picture, and rows in the lake.

    python -m dagster_project.prompt embedded \\
        --clean "The baker near the doctors" --answer " is" \\
        --patch "The bakers near the doctors" --patch-answer " are"

Without a patch, effects are those of taking a node away. The prompt becomes a task of the study in
the lake: SQL and the dashboard show its circuit beside those of the study's own tasks.
`python -m dagster_project.prompt embedded --remove NAME` takes all of it out again.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import polars as pl
from rich.console import Console
from rich.markup import escape

from dagster_project.lake.store import LakeError
from dagster_project.processes import leave

if TYPE_CHECKING:
    from dagster_project.interp.prompt import PromptCircuit
    from dagster_project.lake.store import Lake
    from dagster_project.studies.study import EdgeKind, Study

WIDTH = 110  # where it is not a terminal's
SHOWN = 15  # nodes and edges in the tables
TOKENS = 4  # that a feature raises most, in place of a label


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if lacking := _lacking(options):
        parser.error(lacking)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in `run`
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    console, errors = Console(), Console(stderr=True)
    if not console.is_terminal:
        console.width = WIDTH
    try:
        if options.remove:
            _remove(options, console)
        else:
            _run(options, console, errors)
    except (ValueError, RuntimeError, OSError, LakeError, duckdb.Error) as error:
        errors.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _run(options: argparse.Namespace, console: Console, errors: Console) -> None:
    started = time.perf_counter()
    from dagster_project import prompt_task
    from dagster_project.interp.circuit_svg import svg
    from dagster_project.interp.prompt import Prompt
    from dagster_project.lake.catalog import connect

    def log(text: str) -> None:
        errors.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)

    study, lake = _where(options)
    prompt = Prompt(options.clean, options.answer, options.patch, options.patch_answer)
    name = options.name or prompt_task.prompt_name(prompt)
    limits = prompt_task.Thresholds(options.threshold, options.edge_threshold)
    kind: EdgeKind = "total" if options.total else "direct"
    task = prompt_task.with_prompt(study, lake, prompt, name, limits, kind)
    log(f"imports and tokens: {time.perf_counter() - started:.2f} s")
    prompt_task.make(task, lake, name, log)
    found = prompt_task.read(task, lake, prompt, name, kind)
    connect(lake).close()  # the catalog has views of all tables there are now
    picture = Path(options.svg or lake.folder(prompt_task.FOLDER, study=study.name) / f"{name}.svg")
    picture.write_text(svg(found), encoding="utf-8")
    _show(console, found, meanings(lake, study.name, found.nodes.head(SHOWN)))
    console.print(f"picture  {picture}", markup=False, highlight=False, soft_wrap=True)
    circuit = prompt_task.circuit_of_prompt(task, name, kind)
    query = f"from circuit_edges where circuit = '{circuit}' order by abs(weight) desc"
    console.print(f"rows     {query}", markup=False, highlight=False, soft_wrap=True)
    log(f"all of it: {time.perf_counter() - started:.2f} s")


def _remove(options: argparse.Namespace, console: Console) -> None:
    from dagster_project import prompt_task
    from dagster_project.lake.catalog import connect

    study, lake = _where(options)
    gone = prompt_task.remove(study, lake, options.remove)
    connect(lake).close()
    console.print(f"removed  {options.remove}: its rows of all tables", markup=False)
    for path in gone:
        console.print(f"         {path}", markup=False, highlight=False, soft_wrap=True)


def _where(options: argparse.Namespace) -> tuple[Study, Lake]:
    """The study that is meant, and the lake. Raises ValueError."""
    from dagster_project.lake.store import Lake
    from dagster_project.studies.registry import load_studies

    studies, faulty = load_studies()
    if options.study not in studies:
        none = f'There is no study "{options.study}". Studies: {", ".join(studies)}.'
        raise ValueError("\n".join([*map(str, faulty), none]))
    return studies[options.study], Lake(Path(options.root))


def meanings(lake: Lake, study: str, nodes: pl.DataFrame) -> list[str]:
    """What the lake knows of each node's feature: its label, or the tokens that it raises most."""
    from dagster_project.lake.label_log import current

    known: dict[tuple[str, int], str] = {}
    features = nodes.select("site", "feature").unique()
    raised = (
        lake.scan("feature_logits", study=study)
        .filter(pl.col("sign") == 1, pl.col("rank") < TOKENS)
        .join(features.lazy(), on=["site", "feature"], how="semi")
        .sort("rank")
        .group_by("site", "feature")
        .agg("token")
        .collect()
    )
    for site, feature, tokens in raised.iter_rows():
        known[site, feature] = "raises " + " ".join(repr(token) for token in tokens)
    labelled = lake.scan("features", study=study).drop_nulls("label")
    rows = labelled.select("site", "feature", "label").collect().iter_rows()
    known.update({(site, feature): label for site, feature, label in rows})
    known.update({(x.site, x.feature): x.label for x in current(lake, study) if x.label})
    return [
        "what the dictionary leaves out" if feature < 0 else known.get((site, feature), "")
        for site, feature in nodes.select("site", "feature").iter_rows()
    ]


def _show(console: Console, found: PromptCircuit, said: Sequence[str]) -> None:
    from dagster_project.interp.circuit_svg import name
    from dagster_project.interp.prompt import NODES
    from dagster_project.lake.rendering import rendered

    console.print(escape(_values(found)), highlight=False)
    rows = [
        (name(site, pos, feature), found.tokens[pos], f"{effect:+.3f}", f"{said_of(alone)}{text}")
        for (site, pos, feature, effect, alone), text in zip(
            found.nodes.select(NODES).head(SHOWN).iter_rows(),
            said,
            strict=True,
        )
    ]
    console.print(f"{len(found.nodes)} nodes, {len(rows)} shown, the strongest first:")
    console.print(rendered(["node", "token", "effect", "feature"], rows))
    edges = [
        (name(*row[:3]), name(*row[3:6]), f"{row[6]:+.3f}")
        for row in found.edges.head(SHOWN).iter_rows()
    ]
    console.print(f"{len(found.edges)} edges, {len(edges)} shown, the strongest first:")
    console.print(rendered(["from", "to", "weight"], edges))


def said_of(patch_only: float | None) -> str:
    """Of a feature that the prompt itself does not have: what it stands for speaks for the patch,
    and that it stays away for the answer."""
    return "in the patch alone; " if patch_only else ""


def _values(found: PromptCircuit) -> str:
    """The metric, in words."""
    prompt, (clean, patch) = found.prompt, found.values
    if patch is None:
        return f'log p("{prompt.answer}") after "{prompt.clean}": {clean:+.3f}'
    what = f'logit of "{prompt.answer}" less that of "{prompt.patch_answer}"'
    return f'{what}: {clean:+.3f} after "{prompt.clean}", {patch:+.3f} after "{prompt.patch}"'


def _lacking(options: argparse.Namespace) -> str:
    """Which option another needs, asked before anything large is imported; empty: none."""
    if options.remove:
        return ""
    if options.clean is None or options.answer is None:
        return "--clean and --answer are needed: the prompt, and what follows it"
    if (options.patch is None) == (options.patch_answer is None):
        return ""
    there, lacking = ("--patch", "--patch-answer")[:: 1 if options.patch is not None else -1]
    return f"{there} needs {lacking}: a patch has a prompt and an answer"


def _size(text: str) -> float:
    if not (size := float(text)) >= 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, found {text}")
    return size


def _parser() -> argparse.ArgumentParser:
    from dagster_project.lake.catalog import root_option

    parser = argparse.ArgumentParser(
        prog="python -m dagster_project.prompt",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", help="name of a study, for its model and dictionaries")
    parser.add_argument("--clean", help="the prompt")
    parser.add_argument("--answer", help="one token, leading space included")
    parser.add_argument("--patch", help="a prompt of as many tokens")
    parser.add_argument("--patch-answer", help="its answer")
    parser.add_argument("--name", help="of the task in the lake; made of the prompt by default")
    for what in ("threshold", "edge-threshold"):
        of = "direct edges" if what.startswith("edge") else "nodes, and of total edges"
        shown = f"of {of}, instead of the study's, in logits or nats"
        parser.add_argument(f"--{what}", type=_size, metavar="SIZE", help=shown)
    parser.add_argument("--total", action="store_true", help="show the total-effect graph")
    parser.add_argument("--svg", metavar="FILE", help="where the picture goes, instead of the lake")
    parser.add_argument("--remove", metavar="NAME", help="take a prompt's task out of the lake")
    root_option(parser)
    return parser


if __name__ == "__main__":
    leave(main())
