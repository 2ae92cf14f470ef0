"""The stage `dictionaries`: one sparse dictionary a site, trained, loaded, or neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dagster_project.assets.dictionary_training import Trained, drop_cache, figures, plot, train
from dagster_project.assets.stage import Stage, StageResult, StageRun
from dagster_project.lake.store import Lake
from dagster_project.studies.parsing import StudyError
from dagster_project.studies.rules import EMBEDDED
from dagster_project.studies.study import Study

if TYPE_CHECKING:
    import torch

    from dagster_project.interp.dictionary import Dictionary

DOC = """Makes the study's dictionaries ready: those trained on the corpus's tokens (all but the
last `held_out_tokens`) by the form that the study names, those that the package ships, a folder or
hub repository in a known layout, or neurons.

Trained ones lie in the lake's `_dictionaries` folder by data version, one folder a site; studies
that agree share them. A training that was killed goes on from its last checkpoint.

Cost of training: one forward of each token, and 10 · features · d_model FLOPs a token and site."""

FOLDER, CHECKPOINT = "_dictionaries", "checkpoint.safetensors"


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources

    model = resources.model(run.study)
    sites = sites_of(run.study, model.n_layers)
    made = trained(run, sites, STAGE.name) if run.study.dictionaries.source == "train" else None
    root = weights(run.lake, run.version)
    loaded = read(run.study, root, model.n_layers, model.d_model, "cpu")
    features = sum(dictionary.n_features for dictionary in loaded.values())
    shown = {"sites": len(sites), "features": features, "d_model": model.d_model}
    drop_cache(run, left=run.study.dictionary_sweep is not None)
    if not made:
        return StageResult(shown)
    return StageResult({**shown, **figures(made.curve)}, plot=plot(made.curve))


def trained(run: StageRun, sites: Sequence[str], stage: str) -> Trained | None:
    """Train and save a dictionary for each site; None where a study, or a point of a sweep, with
    this data version already has. stage: whose progress it is."""
    from dagster_project.interp.dictionary_files import save

    root = weights(run.lake, run.version)
    if root.is_dir():
        return None
    checkpoint = root.with_name(f"{root.name}.{CHECKPOINT}")
    made = train(run, sites, checkpoint, stage)
    with TemporaryDirectory(dir=root.parent, prefix=f"{root.name}.") as folder:
        for site, dictionary in made.dictionaries.items():
            about = {"source": "train", "training": asdict(run.study.dictionaries.train)}
            save(dictionary, Path(folder) / "all" / site, about)
        try:
            (Path(folder) / "all").rename(root)
        except OSError:
            if not root.is_dir():  # else another training of this version was faster
                raise
    checkpoint.unlink(missing_ok=True)
    return made


def read(
    study: Study, trained: Path, n_layers: int, d_model: int, device: torch.device | str
) -> dict[str, Dictionary]:
    """The study's dictionaries by site, in forward order, in float32; trained ones from a folder.
    Raises DictionaryError, StudyError."""
    import torch

    from dagster_project.interp.dictionary_files import find_root, identities, load_sites

    spec, sites = study.dictionaries, sites_of(study, n_layers)
    if spec.source == "identity":
        return dict(identities(sites, d_model, device, torch.float32))
    if spec.source == "train":
        root = trained
    elif spec.source == EMBEDDED:
        root = _local(study)
    else:
        root = find_root(_local(study), spec.source, spec.revision)
    return dict(load_sites(root, sites, d_model, device, torch.float32))


def load(
    study: Study, lake: Lake, n_layers: int, d_model: int, device: torch.device | str
) -> dict[str, Dictionary]:
    """As `read`. Raises DictionaryError where the stage has not been materialized."""
    from dagster_project.interp.dictionary_checks import DictionaryError

    version = lake.marked(STAGE.name, study.name)
    if version is None:
        expected = f"the dictionaries of {study.name} (materialize the stage)"
        raise DictionaryError(lake.folder(FOLDER), expected, "none")
    return read(study, weights(lake, version), n_layers, d_model, device)


def weights(lake: Lake, version: str) -> Path:
    """Where trained dictionaries of a data version lie, whatever study trained them."""
    return lake.folder(FOLDER) / f"version={version}"


def sites_of(study: Study, n_layers: int) -> list[str]:
    """The study's sites in forward order. Raises StudyError for one the model does not have."""
    from dagster_project.interp.sites import site_names

    present, spec = site_names(n_layers), study.dictionaries
    nested = "train.nested_coefficients"
    for key, wanted in (("sites", spec.sites), (nested, list(spec.train.nested_coefficients))):
        if unknown := [site for site in wanted if site not in present]:
            expected = f"sites of a model of {n_layers} layers ({present[0]} … {present[-1]})"
            raise StudyError(study.file, f"dictionaries.{key}", expected, unknown)
    return [site for site in present if site in spec.sites or not spec.sites]


def _local(study: Study) -> Path:
    """The folder that dictionaries which are read would have on this machine."""
    from dagster_project import resources

    source = study.dictionaries.source
    return resources.WEIGHTS / "dictionaries" if source == EMBEDDED else study.path(source)


def hash_of(study: Study) -> str:
    """What identifies dictionaries that are read: the content of a folder, or hub id, revision."""
    from dagster_project.provenance import content_hash

    spec = study.dictionaries
    if spec.source in ("train", "identity"):
        return ""
    local = _local(study)
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
    shards=lambda study: study.dictionaries.shards,
    content=lambda study, _lake, _partition: hash_of(study),
    compute=compute,
    code_version="3",  # errors relative to each token
    pool="gpu",
    kinds=("pytorch",),
)
