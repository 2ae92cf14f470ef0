"""The recipe's stages on a tiny recipe, from documents to a folder of weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest
import torch

from dagster_project import recipe as command
from dagster_project.assets.build import study_assets
from dagster_project.assets.flow import GROUPS, RECIPE, USUAL, stages_of
from dagster_project.assets.recipe_folder import made
from dagster_project.display import Display
from dagster_project.interp.dictionary_files import load_sites
from dagster_project.interp.loading import load_model
from dagster_project.interp.site_names import site_names
from dagster_project.provenance import Provenance
from dagster_project.recipe import publish, seeded
from dagster_project.run import Part, Runner, runner
from dagster_project.studies.registry import Studies
from dagster_project.studies.study import Study, read_study

NAMES = [stage.name for stage in GROUPS[RECIPE]]
TINY = """
[model]
source = "embedded"

[corpus]
embedded = true
max_shards = 1

[recipe]
documents = 5_120
vocabulary = 1400
n_layers = 1
d_model = 16
n_heads = 2
held_out = 100

[recipe.train]
expansion = 2
k = 4
tokens = 20_000

[compute]
device = "cpu"
batch_tokens = 2048
"""


class Made(NamedTuple):
    """A recipe that has been run, and the lines that it told."""

    runner: Runner
    told: list[str]


def run(study: Study, root: Path, instance: dg.DagsterInstance) -> Made:
    told: list[str] = []
    made = runner(study, str(root), instance)
    made.run(Part(stages=NAMES), Display(told.append))
    return Made(made, told)


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance) -> Made:
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "tiny.toml").write_text(TINY)
    return run(read_study(folder / "tiny.toml"), folder / "lake", instance)


def figures(folder: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads((folder / "figures.json").read_text())
    return found


def test_the_model_has_learnt_and_says_how_far_it_came(recipe: Made) -> None:
    folder = made(recipe.runner.lake, "tiny", "model")
    model = load_model(folder)
    assert (model.n_layers, model.d_model, model.n_vocab) == (1, 16, 1400)
    assert model.hf.dtype == torch.float32
    found = json.loads((folder / "figures.json").read_text())
    assert found["loss"] < 7  # ln 1400 is 7.24, and 80 steps are few
    assert 0 < found["excess_loss_per_token"] < found["loss"]
    assert found["excess_loss_per_piece"]["agreement/main"] < 8
    assert set(found["accuracy"]) >= {"rc", "rc withheld", "bracket"}
    losses = [look["loss"] for look in found["training"]]
    assert len(losses) == 20
    assert losses[-1] < losses[0] - 0.3
    stored = {p.name for p in folder.iterdir()}
    assert stored == {
        *("config.json", "generation_config.json", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json", "figures.json"),
    }
    assert (folder / "model.safetensors").stat().st_size < 2.1 * model.hf.num_parameters() + 5000


def test_the_dictionaries_are_in_float16_and_measured_as_they_are(recipe: Made) -> None:
    folder, sites = made(recipe.runner.lake, "tiny", "dictionaries"), site_names(1)
    found = figures(folder)
    assert list(found) == sites
    loaded = load_sites(folder, dict.fromkeys(sites, 16))
    for site in sites:
        weights = loaded[site].W_enc
        assert weights.dtype == torch.float32
        assert weights.half().float().equal(weights)
        assert found[site]["n_features"] == 32
        assert 0.2 < found[site]["fve"] <= 1
        assert found[site]["l0"] == pytest.approx(4, rel=0.25)


def test_what_is_fresh_is_left_and_a_seed_makes_another_version(recipe: Made) -> None:
    study, lake = recipe.runner.study, recipe.runner.lake
    for stage in GROUPS[RECIPE]:
        assert recipe.runner.provenance.fresh(stage, "")
        other = Provenance(seeded(study, 1), lake, {s.name: s for s in stages_of(study)})
        assert not other.fresh(stage, "")
    assert seeded(study, 0) == study
    assert [p.name for p in (lake.root / "_recipe").glob("*/*")].count("model") == 1


def test_a_run_says_how_far_it_is(recipe: Made) -> None:
    assert any(
        "recipe_tokenizer, recipe_model, recipe_dictionaries" in line for line in recipe.told
    )


def test_results_of_the_same_version_are_found_and_measured_figures_kept(
    recipe: Made, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another study with the same recipe trains nothing."""
    from dagster_project.embedded import recipe as library

    for name in ("make_tokenizer", "make_stream", "make_model", "train_dictionaries"):
        monkeypatch.setattr(library, name, None)  # would be called
    twin = replace(recipe.runner.study, name="twin")
    run(twin, recipe.runner.lake.root, instance)
    for name in ("tokenizer", "model", "dictionaries"):
        ours, theirs = (made(recipe.runner.lake, study, name) for study in ("tiny", "twin"))
        assert ours == theirs


def test_published_weights_replace_the_folder(recipe: Made, tmp_path: Path) -> None:
    to = tmp_path / "weights"
    (to / "model").mkdir(parents=True)
    (to / "model" / "old.json").write_text("")
    publish(recipe.runner.lake, recipe.runner.study, to)
    assert {p.name for p in to.iterdir()} == {"README.md", "model", "dictionaries", "recipe.json"}
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]
    assert not (to / "model" / "old.json").exists()
    model, original = (load_model(f) for f in (to / "model", made_model(recipe)))
    for a, b in zip(model.hf.parameters(), original.hf.parameters(), strict=True):
        assert a.equal(b)


def test_nothing_but_weights_is_replaced(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    assert command.main(["--root", str(tmp_path / "lake"), "--to", str(tmp_path)]) == 1
    assert "expected a folder of weights, or none; found thesis.tex" in capfd.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_cannot_be_replaced_stays(
    recipe: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "weights"
    publish(recipe.runner.lake, recipe.runner.study, to)
    before = {p: p.read_bytes() for p in to.rglob("*") if p.is_file()}
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="No space"):
        publish(recipe.runner.lake, recipe.runner.study, to)
    assert {p: p.read_bytes() for p in to.rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]


def made_model(recipe: Made) -> Path:
    return made(recipe.runner.lake, "tiny", "model")


def test_the_command_makes_the_weights_of_the_embedded_study(
    recipe: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = replace(recipe.runner.study, name="embedded")
    monkeypatch.setattr(command, "load_studies", lambda: Studies({"embedded": study}, []))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    root, to = recipe.runner.lake.root, tmp_path / "weights"
    assert command.main(["--root", str(root), "--to", str(to)]) == 0
    assert {p.name for p in to.iterdir()} == {"README.md", "model", "dictionaries", "recipe.json"}


def test_a_killed_stage_leaves_nothing_behind(
    recipe: Made, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from dagster_project.embedded import recipe as library

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    root = tmp_path / "lake"
    shutil.copytree(recipe.runner.lake.root, root)
    study = seeded(recipe.runner.study, 2)
    monkeypatch.setattr(library, "make_model", stop)
    with pytest.raises(KeyboardInterrupt):
        run(study, root, instance)
    versions = [p.name for p in (root / "_recipe").glob("*/*")]
    assert sorted(versions) == ["dictionaries", "model", "tokenizer", "tokenizer"]


def test_a_study_without_a_recipe_has_none_of_it_and_a_whole_run_leaves_it_out(
    recipe: Made,
) -> None:
    study = recipe.runner.study
    without = replace(study, recipe=None)
    groups = {spec.group_name for a in study_assets(study) for spec in specs(a)}
    assert "tiny/0_recipe" in groups
    groups = {spec.group_name for a in study_assets(without) for spec in specs(a)}
    assert "tiny/0_recipe" not in groups
    assert not set(USUAL) & set(NAMES)
    assert [s.name for s in stages_of(without) if s.name in USUAL] == [
        s.name for s in stages_of(study) if s.name in USUAL
    ]


def specs(asset: dg.AssetsDefinition | dg.AssetSpec) -> list[dg.AssetSpec]:
    return [asset] if isinstance(asset, dg.AssetSpec) else list(asset.specs)
