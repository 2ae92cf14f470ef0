"""Points of a sweep over dictionaries: the studies that a study stands for, one a point.

A point is the study with dictionaries trained by one form, width and sparsity, so that whatever
knows how to train and measure a study's dictionaries knows how to do it for a point.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from dagster_project.studies.study import Study, TrainingSpec


def points(study: Study) -> dict[str, TrainingSpec]:
    """Point -> how it is trained, by form, expansion and k; none without a sweep."""
    sweep = study.dictionary_sweep
    if sweep is None:
        return {}
    usual = replace(study.dictionaries.train, nested=(), nested_coefficients={})
    return {
        f"{form}-x{expansion}-k{k}": replace(usual, form=form, expansion=expansion, k=k)
        for form, expansion, k in product(sweep.forms, sweep.expansions, sweep.ks)
    }


def at_point(study: Study, point: str) -> Study:
    """The study with the dictionaries of a point, all of them trained."""
    train, own = points(study)[point], study.dictionaries
    own = replace(own, source="train", revision="", parts={}, missing="error", train=train)
    return replace(study, dictionaries=own)
