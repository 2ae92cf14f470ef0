"""The data flow: every stage, in the order in which a study is materialized, by group."""

from __future__ import annotations

from collections.abc import Sequence

from dagster_project.assets import (
    circuits,
    clusterings,
    context_features,
    context_gradients,
    contexts,
    corpus,
    dictionaries,
    dictionary_quality,
    dictionary_sweep,
    documents,
    faithfulness,
    feature_logits,
    features,
    losses,
    model,
    node_effects,
    pairs,
    recipe_dictionaries,
    recipe_model,
    recipe_tokenizer,
    shift,
    tokens,
)
from dagster_project.assets.stage import Stage
from dagster_project.studies.study import Study

RECIPE = "0_recipe"
GROUPS: dict[str, tuple[Stage, ...]] = {
    RECIPE: (recipe_tokenizer.STAGE, recipe_model.STAGE, recipe_dictionaries.STAGE),
    "1_corpus": (corpus.STAGE, model.STAGE, documents.STAGE, tokens.STAGE, losses.STAGE),
    "2_dictionaries": (
        dictionaries.STAGE,
        dictionary_quality.STAGE,
        features.STAGE,
        feature_logits.STAGE,
        dictionary_sweep.STAGE,
    ),
    "3_contexts": (
        contexts.STAGE,
        context_features.STAGE,
        context_gradients.STAGE,
        clusterings.STAGE,
    ),
    "4_circuits": (pairs.STAGE, node_effects.STAGE, circuits.STAGE, faithfulness.STAGE),
    "5_edits": (shift.STAGE,),
}
STAGES: dict[str, Stage] = {s.name: s for group in GROUPS.values() for s in group}
USUAL = tuple(s.name for s in STAGES.values() if s not in GROUPS[RECIPE])
"""Stages that make a study; those of the recipe make what the package ships, and only by name."""


def chains(stages: Sequence[Stage]) -> list[list[Stage]]:
    """Neighbours with the same partitions together: one Dagster run can make a partition of all."""
    found: list[list[Stage]] = []
    for stage in stages:
        if found and stage.partition == found[-1][0].partition:
            found[-1].append(stage)
        else:
            found.append([stage])
    return found


def stages_of(study: Study) -> list[Stage]:
    """The stages that a study has, in order: no clusterings, no tasks, no edits and no recipe where
    it names none, no sweep where it asks for none, and no gradients of contexts where no clustering
    is by them."""
    absent = set()
    if not study.clusterings:
        absent.add("clustering")
    if not study.tasks and not study.cluster_tasks.clustering:
        absent.add("task")
    if not study.dictionary_sweep:
        absent.add("point")
    present = [stage for stage in STAGES.values() if stage.partition not in absent]
    if not study.shift:
        present.remove(shift.STAGE)
    if not context_gradients.wanted(study):
        present.remove(context_gradients.STAGE)
    return [stage for stage in present if study.recipe or stage not in GROUPS[RECIPE]]
