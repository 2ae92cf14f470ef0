"""A prompt as a task of a study: the same stages make it, and the same tables hold it.

The prompt becomes a file of one pair in the lake (`_prompts/study=…/<name>.jsonl`), the study a
copy of itself with one task more, and its stages pairs, node_effects and circuits write the
partition `task=<name>`, each by one rename, whatever else is being made. The same prompt has the
same name; what is fresh is not made again. Dagster knows no such partition: its UI shows none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from dagster_project import resources
from dagster_project.assets.circuits import circuit_name
from dagster_project.assets.flow import STAGES
from dagster_project.assets.materialize import UnfitError, materialize
from dagster_project.assets.stage import Stage
from dagster_project.assets.task_rules import task_rules
from dagster_project.interp.prompt import (
    Prompt,
    PromptCircuit,
    PromptError,
    described,
    prompt_pairs,
)
from dagster_project.lake.store import Lake
from dagster_project.lake.writer import put_in_place, temporary_beside
from dagster_project.provenance import Provenance, digest
from dagster_project.studies.study import EdgeKind, Study, TaskSpec

FOLDER = "_prompts"
NEEDED = ("model", "dictionaries")  # of the study, made where they need no corpus
MADE = ("pairs", "node_effects", "circuits")


class Thresholds(NamedTuple):
    """Instead of the study's, where they are given."""

    node: float | None = None
    edge: float | None = None


THE_STUDYS = Thresholds()


def prompt_name(prompt: Prompt) -> str:
    """The partition of a prompt: its first words, and what tells it from others like it."""
    words = "-".join(re.findall(r"[A-Za-z0-9]+", prompt.clean))[:32].strip("-").lower()
    return "-".join(filter(None, ["prompt", words, digest(prompt)[:6]]))


def with_prompt(
    study: Study,
    lake: Lake,
    prompt: Prompt,
    name: str,
    thresholds: Thresholds = THE_STUDYS,
    kind: EdgeKind = "direct",
) -> Study:
    """The study with the prompt as a task, its file in the lake; kind: of edges, besides direct
    ones. Raises PromptError."""
    _check_name(study, name)
    prompt_pairs(prompt, resources.tokenizer(study))
    keys = ("clean_prefix", "clean_answer", "patch_prefix", "patch_answer")
    text = json.dumps(dict(zip(keys, prompt, strict=True)), ensure_ascii=False) + "\n"
    file = _file(study, lake, name)
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        temporary = temporary_beside(file)
        temporary.write_text(text, encoding="utf-8")
        put_in_place(temporary, file)
    spec = TaskSpec(
        train=str(file),
        test_share=0.0,
        aggregation="none",
        node_threshold=thresholds.node,
        edge_threshold=thresholds.edge,
        total_threshold=thresholds.node,
        edge_kinds=("direct",) if kind == "direct" else ("direct", kind),
    )
    return replace(
        study,
        tasks={**study.tasks, name: spec},
        node_effects=replace(study.node_effects, bootstrap=0),  # of one example: nothing to draw
        compute=replace(study.compute, workers=1),  # it has the cores for itself
    )


def _check_name(study: Study, name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", name):
        raise PromptError(f'name: expected letters, digits, - and _, found "{name}"')
    clustering, _, cluster = name.rpartition("-")
    if name in study.tasks or (clustering in study.clusterings and cluster.isdecimal()):
        raise PromptError(f'name: expected one that no task of {study.name} has, found "{name}"')


def make(study: Study, lake: Lake, name: str, log: Callable[[str], None]) -> None:
    """The prompt's partitions, where they are not fresh. Raises UnfitError."""
    for stage in [STAGES[s] for s in (*NEEDED, *MADE)]:
        partition = name if stage.partition == "task" else ""
        if Provenance(study, lake, STAGES).fresh(stage, partition):
            continue
        if _reads_corpus(stage, study, partition):
            only = "corpus documents tokens dictionaries"
            how = f"python -m dagster_project.run {study.name} --only {only}"
            raise UnfitError(f"{study.name}/{stage.name} is missing or stale. First: {how}")
        made = materialize(stage, study, lake, partition, log)
        if failed := [check.name for check in made.result.checks if not check.passed]:
            raise UnfitError(f"{study.name}/{stage.name} {partition}: failed {', '.join(failed)}")
        log(f"{stage.name}: {made.seconds:.2f} s")


def prompts(study: Study, lake: Lake) -> list[str]:
    """Names of the prompts that the lake has of a study."""
    return sorted(file.stem for file in _file(study, lake, "").parent.glob("*.jsonl"))


def remove(study: Study, lake: Lake, name: str) -> list[Path]:
    """Take a prompt out of the lake: its partition of each table, its picture, its file; these
    two are returned where they were there. Raises PromptError where no prompt has the name."""
    if name not in (there := prompts(study, lake)):
        known = f"one of {', '.join(there)}" if there else "none: the lake has no prompts"
        raise PromptError(f'{study.name}: expected the name of a prompt, {known}, found "{name}"')
    for table in reversed([table for stage in MADE for table in STAGES[stage].tables]):
        lake.remove(table, study=study.name, task=name)
    file = _file(study, lake, name)
    gone = [path for path in (file.with_suffix(".svg"), file) if path.is_file()]
    for path in gone:  # the file last: what was killed before can be asked again
        path.unlink()
    return gone


def _file(study: Study, lake: Lake, name: str) -> Path:
    return lake.folder(FOLDER, study=study.name) / f"{name}.jsonl"


def _reads_corpus(stage: Stage, study: Study, partition: str) -> bool:
    needs = stage.needs(study, partition) if stage.needs else stage.inputs
    return any(STAGES[name].partition == "shard" for name in needs)


def circuit_of_prompt(study: Study, name: str, kind: EdgeKind) -> str:
    """The name of a prompt's circuit with edges of this kind."""
    return circuit_name(name, study.node_effects.method, task_rules(study, name), kind)


def read(study: Study, lake: Lake, prompt: Prompt, name: str, kind: EdgeKind) -> PromptCircuit:
    """What the lake has of a prompt's circuit, with what the model says."""
    rules, keys = task_rules(study, name), {"study": study.name, "task": name}
    circuit = circuit_of_prompt(study, name, kind)
    nodes, edges = (
        lake.scan(table, **keys).filter(circuit=circuit).collect()
        for table in ("circuit_nodes", "circuit_edges")
    )
    pairs = lake.scan("pairs", **keys).collect()
    return described(resources.model(study), prompt, pairs, rules.metric, nodes, edges)
