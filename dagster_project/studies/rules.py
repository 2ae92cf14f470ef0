"""Rules of a study that span several keys. Each raises a StudyError that names one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dagster_project.interp.site_names import KINDS
from dagster_project.studies.parsing import StudyError

if TYPE_CHECKING:
    from dagster_project.studies.study import (
        ClusteringSpec,
        ComputeSpec,
        ContextFeaturesSpec,
        DictionariesSpec,
        RecipeSpec,
        ShiftSpec,
        Study,
        TaskSpec,
        TrainingSpec,
    )


EMBEDDED = "embedded"  # the source of what the package ships
TRAIN, IDENTITY, NONE = "train", "identity", "none"  # sources of dictionaries
SPREAD = "spread"  # the device of a model that is larger than any
NOT_READ = {TRAIN, IDENTITY, NONE}  # sources of dictionaries that are no files


def is_path(source: str) -> bool:
    """Whether a source is written like a path: then it is a folder, never a hub id."""
    return source.startswith((".", "/", "~"))


def check(study: Study) -> None:
    """All rules. Raises StudyError."""
    if not (study.name.isascii() and study.name.replace("-", "_").isidentifier()):
        raise StudyError(study.file, "file name", "letters a-z, digits, - and _", study.name)
    _check_corpus(study)
    _check_revisions(study)
    for name in (*study.tasks, *study.clusterings):
        if not name.replace("-", "_").isidentifier():
            raise StudyError(study.file, "tasks and clusterings", "letters, digits, - and _", name)
    _check_contexts(study)
    _check_context_features(study)
    for name, clustering in study.clusterings.items():
        key = f"clusterings.{name}"
        _check_clustering(study.file, key, clustering, study.context_features)
    _check_compute(study.file, study.compute)
    _check_dictionaries(study.file, study.dictionaries)
    _check_training(study.file, "dictionaries.train", study.dictionaries.train)
    if study.recipe:
        _check_recipe(study.file, study.recipe)
    if study.shift:
        _check_shift(study, study.shift)
    _check_cluster_tasks(study)
    for name, task in study.tasks.items():
        _check_task(study.file, f"tasks.{name}", task)


def _check_corpus(study: Study) -> None:
    corpus = study.corpus
    given = [name for name in ("files", "hub", "embedded") if getattr(corpus, name)]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise StudyError(study.file, "corpus", "one of files, hub and embedded", found)
    if not corpus.files and not corpus.max_shards:
        expected = f"a positive integer with corpus.{given[0]}"
        raise StudyError(study.file, "corpus.max_shards", expected, corpus.max_shards)


def _check_contexts(study: Study) -> None:
    spec = study.contexts
    if bool(spec.stratify) != bool(spec.per_stratum):
        expected = "above 0 with contexts.stratify, and 0 without"
        raise StudyError(study.file, "contexts.per_stratum", expected, spec.per_stratum)


def _check_context_features(study: Study) -> None:
    spec = study.context_features
    if spec.also_last and spec.aggregation != "sum":
        expected = 'false unless context_features.aggregation is "sum"'
        raise StudyError(study.file, "context_features.also_last", expected, spec.also_last)


def _check_clustering(file: Path, key: str, spec: ClusteringSpec, of: ContextFeaturesSpec) -> None:
    """Gradients have no nodes, sites or positions, and the signs of their vectors' entries no
    meaning."""
    kept = of.also_last or of.aggregation == "last"
    if spec.positions == "last" and (spec.representation == "gradients" or not kept):
        expected = "all, unless context_features keeps the last position (also_last)"
        if kept:
            expected = 'left out with representation "gradients", which have no positions'
        raise StudyError(file, f"{key}.positions", expected, spec.positions)
    if spec.representation != "gradients":
        return
    if spec.errors:
        expected = 'false with representation "gradients", which have no error nodes'
        raise StudyError(file, f"{key}.errors", expected, spec.errors)
    if not spec.unit_norm_per_site:
        expected = 'left out with representation "gradients", which have no sites'
        raise StudyError(file, f"{key}.unit_norm_per_site", expected, spec.unit_norm_per_site)
    if spec.similarity == "abs":
        expected = 'cosine, clipped or angular with representation "gradients"'
        raise StudyError(file, f"{key}.similarity", expected, spec.similarity)


def _check_compute(file: Path, spec: ComputeSpec) -> None:
    if unknown := [name for name in spec.max_memory if name != "cpu" and not name.isdecimal()]:
        expected = "numbers of GPUs, and cpu"
        raise StudyError(file, "compute.max_memory", expected, unknown)
    if spec.max_memory and spec.device != SPREAD:
        expected = f'left out unless compute.device is "{SPREAD}"'
        raise StudyError(file, "compute.max_memory", expected, spec.max_memory)


def _check_dictionaries(file: Path, spec: DictionariesSpec) -> None:
    for name, part in spec.parts.items():
        key, (kind, _, layer) = f"dictionaries.parts.{name}", name.partition("_")
        numbered = kind in KINDS and (name == kind or layer.isdecimal())
        if name != "embed" and not numbered:
            expected = f"of a kind of site (embed, {', '.join(KINDS)}) or a site"
            raise StudyError(file, key, expected, name)
        source = part.source or spec.source
        if source in NOT_READ and (part.path or part.scale or part.centred):
            expected = f'without path, scale and centred, since source "{source}" has no files'
            raise StudyError(file, key, expected, "one of them")
        if set(part.path.replace("{layer}", "")) & set("{}"):
            raise StudyError(file, f"{key}.path", "a pattern with {layer} alone", part.path)
        if ".." in part.path.split("/"):
            raise StudyError(file, f"{key}.path", "a path within the source", part.path)
        if "{layer}" in part.path and name == "embed":
            raise StudyError(file, f"{key}.path", "a path without {layer}", part.path)
        if part.revision and not part.source:
            raise StudyError(file, f"{key}.source", "given, since revision is", None)
        if part.nearest_l0 is not None and not part.path:
            raise StudyError(file, f"{key}.path", "given, since nearest_l0 is", None)


def _check_training(file: Path, key: str, spec: TrainingSpec) -> None:
    if spec.warm_up + spec.decay > 1:
        expected = f"at most {1 - spec.warm_up:g}, since warm_up is {spec.warm_up:g}"
        raise StudyError(file, f"{key}.decay", expected, spec.decay)
    if spec.form == "matryoshka":
        if spec.nested_coefficients:
            expected = 'left out with form "matryoshka", whose parts weigh 1 at every site'
            raise StudyError(file, f"{key}.nested_coefficients", expected, spec.nested_coefficients)
        return
    if bool(spec.nested) != bool(spec.nested_coefficients):
        empty, other = ("nested", "nested_coefficients")[:: 1 if spec.nested_coefficients else -1]
        raise StudyError(file, f"{key}.{empty}", f"given, since {other} is", None)


def _check_recipe(file: Path, spec: RecipeSpec) -> None:
    if spec.d_model % (2 * spec.n_heads):
        expected = f"a multiple of twice recipe.n_heads ({2 * spec.n_heads}), as positions rotate"
        raise StudyError(file, "recipe.d_model", expected, spec.d_model)
    _check_training(file, "recipe.train", spec.train)
    kinds, n_features = ("attn", "mlp", "resid"), spec.train.expansion * spec.d_model
    sites = {"embed", *(f"{kind}_{i}" for kind in kinds for i in range(spec.n_layers))}
    if spec.train.k > n_features:
        expected = f"at most the {n_features} features of a dictionary"
        raise StudyError(file, "recipe.train.k", expected, spec.train.k)
    if wide := [n for n in spec.train.nested if n >= n_features]:
        expected = f"less than the {n_features} features of a dictionary"
        raise StudyError(file, "recipe.train.nested", expected, wide)
    if unknown := [site for site in spec.train.nested_coefficients if site not in sites]:
        expected = f"sites of a model of {spec.n_layers} layers"
        raise StudyError(file, "recipe.train.nested_coefficients", expected, unknown)


def _check_shift(study: Study, spec: ShiftSpec) -> None:
    from dagster_project.embedded.labelled import PROFESSIONS

    file, source = study.file, study.dictionaries.source
    if spec.features and source in NOT_READ:
        expected = f'left out with dictionaries.source "{source}": a list is of files'
        raise StudyError(file, "shift.features", expected, spec.features)
    for name, professions in spec.probes.items():
        key = f"shift.probes.{name}"
        if unknown := [p for p in professions if p not in PROFESSIONS]:
            raise StudyError(file, key, f"some of {sorted(PROFESSIONS)}", unknown)
        halves = {PROFESSIONS[p].mostly_women for p in professions}
        if professions and len(halves) < 2:
            expected = "professions mostly of women and others"
            raise StudyError(file, key, expected, list(professions))


def _check_revisions(study: Study) -> None:
    """Whatever comes from the hub has a revision: a data version cannot see a branch move."""
    model, corpus, dictionaries = study.model, study.corpus, study.dictionaries
    sources = [("corpus", "hub", corpus.hub, corpus.revision)]
    if model.source != EMBEDDED:
        sources.append(("model", "source", model.source, model.revision))
    for key, part in dictionaries.sources():
        if part.source not in NOT_READ | {EMBEDDED}:
            table = f"dictionaries.{key}".rstrip(".")
            sources.append((table, "source", part.source, part.revision))
    for table, key, source, revision in sources:
        if not source or revision.strip() or is_path(source) or study.path(source).exists():
            continue
        expected = (
            f'given (a commit\'s hash), since {table}.{key} "{source}" is no folder '
            f"({study.path(source)}) and so a hub id, whose default branch moves"
        )
        raise StudyError(study.file, f"{table}.revision", expected, None)


def _check_cluster_tasks(study: Study) -> None:
    spec = study.cluster_tasks
    if not spec.clustering:
        return
    if spec.clustering not in study.clusterings:
        expected = f"one of clusterings {sorted(study.clusterings)}"
        raise StudyError(study.file, "cluster_tasks.clustering", expected, spec.clustering)
    if not spec.test_share:
        raise StudyError(study.file, "cluster_tasks.test_share", "above 0", spec.test_share)
    for name in study.tasks:
        clustering, _, cluster = name.rpartition("-")
        if clustering == spec.clustering and cluster.isdecimal():
            expected = f"a name that no cluster of {clustering} can have"
            raise StudyError(study.file, f"tasks.{name}", expected, name)


def _check_task(file: Path, key: str, task: TaskSpec) -> None:
    given = [name for name in ("train", "templates", "embedded") if getattr(task, name)]
    if len(given) != 1:
        expected = "one of train (a JSONL, CSV or Parquet file), templates and embedded"
        raise StudyError(file, key, expected, " and ".join(given) or "none")
    if task.embedded:
        _check_embedded(file, key, task)
    elif not task.test and not task.test_share:
        expected = "above 0 where no test file is given"
        raise StudyError(file, f"{key}.test_share", expected, task.test_share)
    if task.templates:
        _check_templates(file, key, task)


def _check_embedded(file: Path, key: str, task: TaskSpec) -> None:
    from dagster_project.embedded.tasks import TASKS

    known = sorted(TASKS)
    if task.embedded not in known:
        raise StudyError(file, f"{key}.embedded", f"one of {known}", task.embedded)
    if task.test:
        expected = "left out with embedded, which makes its own test examples"
        raise StudyError(file, f"{key}.test", expected, task.test)


def _check_templates(file: Path, key: str, task: TaskSpec) -> None:
    if len(task.answers) != 2:
        raise StudyError(file, f"{key}.answers", "two continuations", list(task.answers))
    for template in task.templates:
        if template.count("{}") != 1:
            raise StudyError(file, f"{key}.templates", "one {} in each template", template)
    for fill in task.fills:
        if len(fill) != 2:
            raise StudyError(file, f"{key}.fills", "[clean, patch] words", list(fill))
    if not task.fills:
        raise StudyError(file, f"{key}.fills", "at least one [clean, patch]", [])
