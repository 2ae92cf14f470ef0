"""The stage `dictionaries`: one sparse dictionary a site, trained, loaded, or neurons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_project.assets.dictionary_training import plot, train
from dagster_project.assets.stage import Check, Stage, StageResult, StageRun
from dagster_project.lake.store import Lake
from dagster_project.studies.parsing import StudyError
from dagster_project.studies.study import Study

if TYPE_CHECKING:
    import torch

    from dagster_project.interp.dictionary import Dictionary
    from dagster_project.interp.dictionary_training import Progress

DOC = """Makes the study's dictionaries ready: TopK dictionaries trained on the corpus's tokens
(all but the last `held_out_tokens`), a folder or hub repository in a known layout, or neurons.

Trained ones lie in the lake's `_dictionaries` folder, one folder a site; `index.json`, written
last, holds the data version. A training that was killed goes on from its last checkpoint.

Cost of training: one forward of each token, and 10 · features · d_model FLOPs a token and site."""

INDEX, CHECKPOINT = "index.json", "checkpoint.safetensors"


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources
    from dagster_project.interp.dictionary_checks import write_json

    model = resources.model(run.study)
    sites = sites_of(run.study, model.n_layers)
    here = folder(run.study, run.lake)
    (here / INDEX).unlink(missing_ok=True)
    curve = _train(run, sites, here) if run.study.dictionaries.source == "train" else []
    loaded = read(run.study, run.lake, model.n_layers, model.d_model, "cpu", model.hf.dtype)
    features = {site: d.n_features for site, d in loaded.items()}
    index = {"version": run.version, "source": run.study.dictionaries.source, "sites": features}
    write_json(here / INDEX, index)
    (here / CHECKPOINT).unlink(missing_ok=True)
    figures = {"sites": len(features), "features": sum(features.values())}
    loads = Check("loads", list(features) == sites, {**figures, "d_model": model.d_model})
    if not curve:
        return StageResult(figures, [loads])
    return StageResult({**figures, **_measured(curve[-1])}, [loads], plot(curve))


def _train(run: StageRun, sites: Sequence[str], here: Path) -> list[Progress]:
    """Train and write a dictionary for each site; -> progress by round."""
    from dagster_project.interp.dictionary_files import save

    found, curve = train(run, sites, here / CHECKPOINT)
    for site, dictionary in found.items():
        about = {"source": "train", "training": asdict(run.study.dictionaries.train)}
        save(dictionary, here / site, about)
    return curve


def _measured(last: Progress) -> dict[str, float]:
    from dagster_project.interp.dictionary_training import mean_of

    return {
        "training_fve": mean_of(last.fve),
        "training_fve_worst": min(last.fve.values()),
        "training_dead_share": mean_of(last.dead),
    }


def read(
    study: Study,
    lake: Lake,
    n_layers: int,
    d_model: int,
    device: torch.device | str,
    dtype: torch.dtype,
) -> dict[str, Dictionary]:
    """The study's dictionaries by site, in forward order. Raises DictionaryError, StudyError.

    Does not ask whether a training is finished: `load` does.
    """
    from dagster_project.interp.dictionary_files import find_root, identities, load_sites

    spec, sites = study.dictionaries, sites_of(study, n_layers)
    if spec.source == "identity":
        return dict(identities(sites, d_model, device, dtype))
    if spec.source == "train":
        root = folder(study, lake)
    else:
        root = find_root(study.path(spec.source), spec.source, spec.revision)
    return dict(load_sites(root, sites, d_model, device, dtype))


def load(
    study: Study,
    lake: Lake,
    n_layers: int,
    d_model: int,
    device: torch.device | str,
    dtype: torch.dtype,
) -> dict[str, Dictionary]:
    """As `read`. Raises DictionaryError where the stage has not been materialized."""
    from dagster_project.interp.dictionary_checks import DictionaryError

    if stored_version(study, lake) is None:
        expected = f"the index of {study.name}'s dictionaries (materialize the stage)"
        raise DictionaryError(folder(study, lake) / INDEX, expected, "none")
    return read(study, lake, n_layers, d_model, device, dtype)


def stored_version(study: Study, lake: Lake) -> str | None:
    """Data version of the dictionaries that are ready; None where there are none."""
    try:
        found = json.loads((folder(study, lake) / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    version = found.get("version") if isinstance(found, dict) else None
    return version if isinstance(version, str) else None


def folder(study: Study, lake: Lake) -> Path:
    return lake.folder("_dictionaries", study=study.name)


def sites_of(study: Study, n_layers: int) -> list[str]:
    """The study's sites in forward order. Raises StudyError for one the model does not have."""
    from dagster_project.interp.sites import site_names

    present, wanted = site_names(n_layers), study.dictionaries.sites
    unknown = [site for site in wanted if site not in present]
    if unknown:
        expected = f"sites of a model of {n_layers} layers ({present[0]} … {present[-1]})"
        raise StudyError(study.file, "dictionaries.sites", expected, unknown)
    return [site for site in present if site in wanted or not wanted]


def _content(study: Study, _lake: Lake, _partition: str) -> str:
    """What identifies dictionaries that are read: the content of a folder, or hub id, revision."""
    from dagster_project.provenance import content_hash

    spec = study.dictionaries
    if spec.source in ("train", "identity"):
        return ""
    local = study.path(spec.source)
    return content_hash(local) if local.is_dir() else f"{spec.source}@{spec.revision}"


def _reads(study: Study, _partition: str) -> object:
    spec = study.dictionaries
    if spec.source != "train":
        return {"identity": spec.source == "identity", "sites": spec.sites}
    return {
        "sites": spec.sites,
        "held_out_tokens": spec.held_out_tokens,
        "train": asdict(spec.train),
    }


def _needs(study: Study, _partition: str) -> tuple[str, ...]:
    return ("tokens", "model") if study.dictionaries.source == "train" else ("model",)


STAGE = Stage(
    name="dictionaries",
    doc=DOC,
    partition="study",
    tables=(),
    inputs=("tokens", "model"),
    needs=_needs,
    reads=_reads,
    stored=stored_version,
    shards=lambda study: study.dictionaries.shards,
    content=_content,
    compute=compute,
    checks={"loads": "Every site has a dictionary on disk that fits the model."},
    pool="gpu",
    kinds=("pytorch",),
)
