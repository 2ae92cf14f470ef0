"""The stage dictionary_sweep on the tiny study: points trained once, kept, measured, compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from dagster_project import resources
from dagster_project.assets import dictionaries
from dagster_project.assets.flow import STAGES, stages_of
from dagster_project.assets.materialize import materialize
from dagster_project.assets.stage import StageResult
from dagster_project.interp import activation_rounds, dictionary_training
from dagster_project.interp.dictionary import SparseDictionary
from dagster_project.lake.store import Lake
from dagster_project.provenance import Provenance
from dagster_project.studies.parsing import StudyError
from dagster_project.studies.study import DictionarySweepSpec, PartSpec, Study, read_study
from dagster_project.studies.sweep import at_point, points
from tests.conftest import write_tiny_study

POINTS = ["topk-x2-k4", "jumprelu-x2-k4"]
SHARDS = [f"{i:05d}" for i in range(4)]


def short(study: Study, **compute: float) -> Study:
    """The study with a sweep over two forms, of few tokens."""
    train = replace(study.dictionaries.train, tokens=4096)
    return replace(
        study,
        dictionaries=replace(study.dictionaries, sites=("embed", "mlp_1"), train=train),
        dictionary_sweep=DictionarySweepSpec(("topk", "jumprelu"), (2,), (4,)),
        compute=replace(study.compute, **compute),  # type: ignore[arg-type]  # numbers
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return short(read_study(write_tiny_study(tmp_path_factory.mktemp("tiny"))))


@pytest.fixture
def lake(study: Study, tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    for name in ("corpus", "model", "documents", "tokens"):
        for partition in SHARDS if STAGES[name].partition == "shard" else [""]:
            make(name, study, lake, partition)
    return lake


def make(name: str, study: Study, lake: Lake, partition: str = "") -> StageResult:
    result = materialize(STAGES[name], study, lake, partition, lambda _: None).result
    assert all(check.passed for check in result.checks), result.checks
    return result


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by every round that the model makes."""
    made: list[int] = []
    whole = activation_rounds._fill

    def fill(*arguments: object) -> object:
        made.append(1)
        return whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(activation_rounds, "_fill", fill)
    return made


def test_a_point_has_a_row_for_each_site(study: Study, lake: Lake) -> None:
    results = [make("dictionary_sweep", study, lake, point) for point in POINTS]
    rows = lake.scan("dictionary_sweep", study="tiny").collect().sort("form", "site")
    assert rows.select("point", "form", "expansion", "k", "site", "kind", "n_features").rows() == [
        (POINTS[1], "jumprelu", 2, 4, "embed", "jumprelu", 32),
        (POINTS[1], "jumprelu", 2, 4, "mlp_1", "jumprelu", 32),
        (POINTS[0], "topk", 2, 4, "embed", "topk", 32),
        (POINTS[0], "topk", 2, 4, "mlp_1", "topk", 32),
    ]
    assert rows["training_tokens"].to_list() == [4096] * 4
    assert rows["l0"].is_between(2, 5).all()
    assert rows["fve"].is_between(0.3, 1).all()
    assert (rows["seconds"] > 0).all()
    assert all(result.plot for result in results)
    assert results[1].figures["training_loss_penalty"] is not None
    kept = {folder.name for folder in lake.folder("_dictionaries").iterdir()}
    assert kept == {f"version={version}" for version in rows["version"].unique()}


def test_what_a_point_has_trained_a_study_finds_and_the_other_way_round(
    study: Study, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (at_point(study, point) for point in POINTS)
    make("dictionary_sweep", study, lake, POINTS[0])
    make("dictionaries", second, lake)
    monkeypatch.setattr(dictionaries, "train", None)  # would be called
    assert "training_fve" not in make("dictionaries", first, lake).figures
    loaded = resources.dictionaries(first, lake)["mlp_1"]
    assert isinstance(loaded, SparseDictionary)
    assert (loaded.activation, loaded.k) == ("topk", 4)
    make("dictionary_sweep", study, lake, POINTS[1])
    rows = lake.scan("dictionary_sweep", study="tiny", point=POINTS[1]).collect()
    assert rows["seconds"].to_list() == [None, None]


def test_points_are_trained_at_every_site_whatever_the_study_reads(
    study: Study, lake: Lake
) -> None:
    """A study's own dictionaries of other sources have no part in its sweep."""
    parts = {"mlp": PartSpec(source="identity")}
    own = replace(study.dictionaries, parts=parts, missing="identity", source="none")
    mixed = replace(study, dictionaries=own)
    make("dictionary_sweep", mixed, lake, POINTS[0])
    rows = lake.scan("dictionary_sweep", study="tiny").collect()
    assert set(rows.select("site", "kind").rows()) == {("embed", "topk"), ("mlp_1", "topk")}
    assert at_point(mixed, POINTS[0]).dictionaries == at_point(study, POINTS[0]).dictionaries


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"k": 33}, "k"), ({"form": "matryoshka", "nested": (8, 32)}, "nested")],
)
def test_what_no_dictionary_can_be_is_refused_before_training(
    study: Study, lake: Lake, changes: dict[str, object], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dictionaries, "train", None)  # would be called
    train = replace(study.dictionaries.train, **changes)  # type: ignore[arg-type]
    unfit = replace(study, dictionaries=replace(study.dictionaries, train=train))
    with pytest.raises(StudyError, match=rf"dictionaries\.train\.{key} .* the 32 features"):
        make("dictionaries", unfit, lake)


def test_a_training_killed_while_it_was_saved_is_taken_up(
    study: Study, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last checkpoint is of the last step: there is nothing left to train or to plot."""
    always = partial(dictionary_training.Checkpoint, seconds=0.0)
    monkeypatch.setattr(dictionary_training, "Checkpoint", always)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dagster_project.interp.dictionary_files.save", killed)
        with pytest.raises(KeyboardInterrupt):
            make("dictionaries", study, lake)
    monkeypatch.setattr(activation_rounds, "_fill", None)  # would be called
    assert "training_fve" not in make("dictionaries", study, lake).figures
    assert set(resources.dictionaries(study, lake)) == {"embed", "mlp_1"}


def test_a_sweep_runs_the_model_once_where_activations_are_kept(
    study: Study, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activation_rounds, "ROUND_BYTES", 0)  # four batches a round
    kept = short(study, activation_cache=0.1)
    made = counted(monkeypatch)
    make("dictionaries", kept, lake)
    assert len(made) == 4
    own = lake.marked("dictionaries", "tiny")
    place = lake.folder("_scratch", study="tiny") / "shared-activations"
    for point in POINTS:
        assert len(list(place.glob("*/*.safetensors"))) == 4
        make("dictionary_sweep", kept, lake, point)
    assert len(made) == 4
    assert not list(place.iterdir())  # nothing is left to train
    version = lake.scan("dictionary_sweep", study="tiny", point=POINTS[1]).collect()["version"][0]
    with_cache = files(dictionaries.weights(lake, version))
    for folder in (dictionaries.weights(lake, str(v)) for v in (own, version)):
        folder.rename(folder.with_name(f"{folder.name}.kept"))
    make("dictionaries", at_point(study, POINTS[1]), lake)  # without a cache
    assert len(made) == 8
    assert files(dictionaries.weights(lake, version)) == with_cache


def files(folder: Path) -> dict[str, bytes]:
    assert folder.is_dir()
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_only_a_study_that_asks_for_it_has_a_sweep(study: Study) -> None:
    assert STAGES["dictionary_sweep"] in stages_of(study)
    without = replace(study, dictionary_sweep=None)
    assert STAGES["dictionary_sweep"] not in stages_of(without)
    assert points(without) == {}


def test_a_point_is_stale_by_what_it_reads(study: Study, lake: Lake) -> None:
    def versions(of: Study) -> Iterator[str]:
        provenance = Provenance(of, lake, STAGES)
        yield from (provenance.expected(STAGES["dictionary_sweep"], point) for point in POINTS)

    wider = replace(study, dictionary_sweep=DictionarySweepSpec(ks=(4,), expansions=(2, 3)))
    assert [*versions(wider)] == [*versions(study)]  # more points change no point
    train = replace(study.dictionaries.train, learning_rate=1e-3)
    other = replace(study, dictionaries=replace(study.dictionaries, train=train))
    assert not {*versions(other)} & {*versions(study)}
    assert len({*versions(study)}) == 2
