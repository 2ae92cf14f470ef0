"""The stage `dictionaries`: one sparse dictionary a site, trained, loaded, or neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dagster_project.assets.dictionary_training import Trained, figures, plot, train
from dagster_project.assets.stage import Stage, StageResult, StageRun
from dagster_project.lake.store import Lake
from dagster_project.studies.parsing import StudyError
from dagster_project.studies.rules import EMBEDDED, IDENTITY, NONE, NOT_READ, TRAIN
from dagster_project.studies.study import DictionariesSpec, PartSpec, Study

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

    from dagster_project.interp.dictionary import Dictionary
    from dagster_project.interp.dictionary_files import Place
    from dagster_project.interp.model import LanguageModel

DOC = """Makes the study's dictionaries ready: those trained on the corpus's tokens (all but the
last `held_out_tokens`) by the form that the study names, those that the package ships, those of
folders, zip files and hub repositories in any known form, or neurons; each site's from where the
study says.

Trained ones lie in the lake's `_dictionaries` folder by data version, one folder a site; studies
that agree share them. A training that was killed goes on from its last checkpoint.

Cost of training: one forward of each token, and 10 · features · d_model FLOPs a token and site."""

FOLDER, CHECKPOINT = "_dictionaries", "checkpoint.safetensors"


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources

    model = resources.model(run.study)
    sites = sites_of(run.study, model)
    own = [site for site in sites if run.study.dictionaries.part(site).source == TRAIN]
    made = trained(run, own, STAGE.name) if own else None
    root = weights(run.lake, run.version)
    loaded = read(run.study, root, model, "cpu")
    features = sum(dictionary.n_features for dictionary in loaded.values())
    shown = {"sites": len(loaded), "features": features, "d_model": model.d_model}
    if not (made and made.curve):  # trained before
        return StageResult(shown)
    return StageResult({**shown, **figures(made.curve)}, plot=plot(made.curve))


def trained(run: StageRun, sites: Sequence[str], stage: str) -> Trained | None:
    """Train and save a dictionary for each site; None where a study, or a point of a sweep, with
    this data version already has. stage: whose progress it is."""
    from dagster_project.interp.dictionary_files import save

    _check_trainable(run.study, sites)
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


def _check_trainable(study: Study, sites: Sequence[str]) -> None:
    """Raises StudyError."""
    from dagster_project import resources

    model, train = resources.model(study), study.dictionaries.train
    n_features = train.expansion * model.d_model
    if wide := [site for site in sites if model.width(site) != model.d_model]:
        expected = f"sites of the stream's width where dictionaries are {TRAIN}ed"
        raise StudyError(study.file, "dictionaries.sites", expected, wide)
    if train.k > n_features:
        expected = f"at most the {n_features} features of a dictionary"
        raise StudyError(study.file, "dictionaries.train.k", expected, train.k)
    if many := [n for n in train.nested if n >= n_features]:
        expected = f"less than the {n_features} features of a dictionary"
        raise StudyError(study.file, "dictionaries.train.nested", expected, many)


def read(
    study: Study, trained: Path, model: LanguageModel, device: torch.device | str
) -> dict[str, Dictionary]:
    """The study's dictionaries by site, in forward order, in float32; trained ones from a folder.
    Raises DictionaryError, StudyError."""
    sites = sites_of(study, model)
    found = {site: _read_site(study, trained, site, model, device) for site in sites}
    if not (present := {site: d for site, d in found.items() if d is not None}):
        expected = "a dictionary of one site at least"
        raise StudyError(study.file, "dictionaries", expected, "none in its sources")
    return present


def _read_site(
    study: Study, trained: Path, site: str, model: LanguageModel, device: torch.device | str
) -> Dictionary | None:
    """None where the site has none and is to be left out."""
    import torch

    from dagster_project.interp.dictionary import IdentityDictionary
    from dagster_project.interp.dictionary_files import find_folder, load_site, moved

    missing, source = study.dictionaries.missing, study.dictionaries.part(site).source
    place = None if source in (IDENTITY, NONE) else _place(study, trained, site)
    if place and (missing == "error" or find_folder(place, site)):
        _check_before_norm(place, site, model)
        return moved(load_site(place, site, model.width(site)), device, torch.float32)
    if source == IDENTITY or missing == "identity":
        return IdentityDictionary(model.width(site), device, torch.float32)
    if missing == "leave_out":
        return None
    expected = f'a part for {site}, since dictionaries.source is "{NONE}"'
    raise StudyError(study.file, "dictionaries.parts", expected, sorted(study.dictionaries.parts))


def _check_before_norm(place: Place, site: str, model: LanguageModel) -> None:
    """Raises DictionaryError for sparsify's dictionary of a module's output where the model has a
    norm between that and the stream: our site is what the norm gives."""
    from dagster_project.interp.dictionary_checks import DictionaryError
    from dagster_project.interp.dictionary_files import find_folder
    from dagster_project.interp.sparsify_files import WEIGHTS

    norm = {"attn": model.modules.attention_norm, "mlp": model.modules.mlp_norm}
    name = norm.get(site.partition("_")[0])
    if name and (folder := find_folder(place, site)) and folder.has(WEIGHTS):
        expected = f"a dictionary of what {name} gives to the stream at {site}"
        raise DictionaryError(folder.file(WEIGHTS), expected, "one of what it reads")


def _place(study: Study, trained: Path, site: str) -> Place:
    """Where a site's dictionary is read from. Raises DictionaryError."""
    from dagster_project.interp.dictionary_files import Place
    from dagster_project.interp.file_tree import folder_tree, open_tree

    part = study.dictionaries.part(site)
    if part.source == TRAIN:
        return Place(folder_tree(trained))
    local = _local(study, part.source)
    tree = (
        folder_tree(local)
        if part.source == EMBEDDED
        else open_tree(local, part.source, part.revision)
    )
    return Place(tree, part.path, part.nearest_l0, part.scale, part.centred)


def sizes(study: Study, config: PretrainedConfig) -> dict[str, int]:
    """Site -> bytes of its dictionary, for a model of this configuration: reckoned for those that
    are trained, else of its files (in 16 bits half of what is held). Neurons take none; where a
    site has no dictionary, reading says so."""
    from dagster_project.interp.dictionary_checks import DictionaryError
    from dagster_project.interp.dictionary_files import find_folder
    from dagster_project.interp.site_names import site_names

    text, found = config.get_text_config(), dict[str, int]()
    trained = 4 * 2 * study.dictionaries.train.expansion * text.hidden_size**2
    for site in study.dictionaries.sites or site_names(text.num_hidden_layers):
        source = study.dictionaries.part(site).source
        if source == NONE and study.dictionaries.missing != IDENTITY:
            continue
        if source in NOT_READ:
            found[site] = trained if source == TRAIN else 0
            continue
        try:
            folder = find_folder(_place(study, Path(), site), site)
        except DictionaryError:
            continue
        found[site] = folder.size if folder else 0
    return found


def load(study: Study, lake: Lake, model: LanguageModel) -> dict[str, Dictionary]:
    """As `read`. Raises DictionaryError where the stage has not been materialized."""
    from dagster_project.interp.dictionary_checks import DictionaryError

    version = lake.marked(STAGE.name, study.name)
    if version is None:
        expected = f"the dictionaries of {study.name} (materialize the stage)"
        raise DictionaryError(lake.folder(FOLDER), expected, "none")
    return read(study, weights(lake, version), model, model.device)


def weights(lake: Lake, version: str) -> Path:
    """Where trained dictionaries of a data version lie, whatever study trained them."""
    return lake.folder(FOLDER) / f"version={version}"


def sites_of(study: Study, model: LanguageModel) -> list[str]:
    """The study's sites in forward order. Raises StudyError for one the model does not have."""
    from dagster_project.interp.site_names import KINDS, site_names

    kinds = [kind for kind in KINDS if not (model.parallel and kind == "mid")]
    present, spec = site_names(model.n_layers, kinds), study.dictionaries
    nested = "train.nested_coefficients"
    for key, wanted in (("sites", spec.sites), (nested, list(spec.train.nested_coefficients))):
        if unknown := [site for site in wanted if site not in present]:
            expected = f"sites of a model of {model.n_layers} layers ({present[0]} … {present[-1]})"
            raise StudyError(study.file, f"dictionaries.{key}", expected, unknown)
    chosen = spec.sites or site_names(model.n_layers)
    for part in spec.parts:
        if not any(part in (site, site.partition("_")[0]) for site in chosen):
            expected = f"of a site of the study or a kind of its sites ({', '.join(chosen)})"
            raise StudyError(study.file, f"dictionaries.parts.{part}", expected, part)
    return [site for site in present if site in chosen]


def _local(study: Study, source: str) -> Path:
    """The folder or zip file that dictionaries which are read would have on this machine."""
    from dagster_project import resources

    return resources.WEIGHTS / "dictionaries" if source == EMBEDDED else study.path(source)


def hash_of(study: Study) -> str:
    """What identifies dictionaries that are read: the content of a folder or zip file, or hub id
    and revision; of several sources, one after the other."""
    found = [_identity(study, part) for _, part in study.dictionaries.sources()]
    return " ".join(dict.fromkeys(text for text in found if text))


def _identity(study: Study, part: PartSpec) -> str:
    from dagster_project.provenance import content_hash

    if part.source in NOT_READ:
        return ""
    local = _local(study, part.source)
    return content_hash(local) if local.exists() else f"{part.source}@{part.revision}"


def _reads(study: Study, _partition: str) -> object:
    spec = study.dictionaries
    parts: dict[str, object] = {}
    if spec.parts or spec.missing != "error":
        content = {key: _identity(study, part) for key, part in spec.sources()}
        parts = {"parts": [_without_place(spec), content]}
    if not _trains(study):
        return {"identity": spec.source == IDENTITY, "sites": spec.sites, **parts}
    return {
        "sites": spec.sites,
        "held_out_tokens": spec.held_out_tokens,
        "train": asdict(spec.train),
        **parts,
    }


def _without_place(spec: DictionariesSpec) -> object:
    """What of parts and missing sites is read, wherever files lie: their content is hashed."""
    parts = {key: asdict(part) for key, part in spec.parts.items()}
    for part in parts.values():
        part["source"] = part["source"] if part["source"] in NOT_READ else ""
    return {"missing": spec.missing, "parts": parts, "source": spec.source in NOT_READ}


def _trains(study: Study) -> bool:
    return any(part.source == TRAIN for _, part in study.dictionaries.sources())


def _needs(study: Study, _partition: str) -> tuple[str, ...]:
    return ("tokens", "model") if _trains(study) else ("model",)


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
