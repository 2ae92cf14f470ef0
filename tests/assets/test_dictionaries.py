"""The dictionary stages on a tiny study: trained, taken up again, neurons, and refusals."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import cast
from zipfile import ZipFile

import polars as pl
import pytest
import torch

from dagster_project import resources
from dagster_project.assets import dictionaries, dictionary_quality, dictionary_training
from dagster_project.assets.stage import StageResult, StageRun
from dagster_project.interp.dictionary import SparseDictionary
from dagster_project.interp.dictionary_checks import DictionaryError
from dagster_project.interp.dictionary_files import Place, moved, save
from dagster_project.interp.dictionary_quality import kind
from dagster_project.interp.file_tree import folder_tree
from dagster_project.lake.store import Lake
from dagster_project.provenance import digest
from dagster_project.studies.parsing import StudyError
from dagster_project.studies.study import PartSpec, Study, read_study
from tests.conftest import SENTENCES, make_model, write_tiny_study
from tests.interp.ablation_cases import random_dictionaries
from tests.interp.foreign_forms import gemma_scope, put, saelens, sparsify


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_tiny_study(tmp_path_factory.mktemp("study")))


@pytest.fixture
def lake(study: Study, tmp_path: Path) -> Lake:
    """A lake with the study's tokens in two shards."""
    lake = Lake(tmp_path / "lake")
    encode = resources.model(study).tokenizer
    for shard in (0, 1):
        with lake.writer("tokens", "t", study=study.name, shard=f"{shard:05d}") as writer:
            for row, text in enumerate(SENTENCES[shard::2]):
                ids = encode(text)["input_ids"]
                writer.append(
                    pl.DataFrame(
                        {
                            "doc_id": [shard * 1_000_000 + row] * len(ids),
                            "pos": range(len(ids)),
                            "token_id": ids,
                            "token": encode.convert_ids_to_tokens(ids),
                        },
                        schema_overrides={
                            "doc_id": pl.Int64,
                            "pos": pl.UInt16,
                            "token_id": pl.UInt32,
                        },
                    )
                )
    return lake


def run(study: Study, lake: Lake, version: str = "v") -> StageRun:
    return StageRun(study, lake, "", version, lambda _: None, ("00000", "00001"))


def with_source(study: Study, source: str, **changes: object) -> Study:
    spec = replace(study.dictionaries, source=source, **changes)  # type: ignore[arg-type]
    return replace(study, dictionaries=spec)


def make(study: Study, lake: Lake, version: str = "v") -> StageResult:
    """Compute, and mark as what materializes the stage does."""
    result = dictionaries.compute(run(study, lake, version))
    lake.mark("dictionaries", study.name, version)
    return result


def passed(result: StageResult) -> bool:
    return bool(result.checks) and all(check.passed for check in result.checks)


def test_trained_dictionaries_are_stored_and_measured(study: Study, lake: Lake) -> None:
    with pytest.raises(DictionaryError, match="materialize the stage"):
        resources.dictionaries(study, lake)
    result = make(study, lake)
    folder = dictionaries.weights(lake, "v")
    sites = ["attn_0", "attn_1", "embed", "mlp_0", "mlp_1", "resid_0", "resid_1"]
    assert {p.name for p in folder.iterdir()} == set(sites)
    assert [p.name for p in folder.parent.iterdir()] == ["version=v"]
    assert result.plot
    assert 0.5 < float(str(result.figures["training_fve"])) < 1

    measured = dictionary_quality.compute(run(study, lake, "q"))
    assert passed(measured)
    rows = lake.scan("dictionaries", study=study.name).collect()
    assert sorted(rows["site"]) == sites
    assert set(rows["kind"]) == {"jumprelu"}
    assert set(rows["source"]) == {"train"}
    assert rows["fve"].min() > 0.5  # type: ignore[operator]  # a number
    assert rows["l0"].mean() == pytest.approx(4, rel=0.25)  # k, which holds on average
    assert rows["l0"].max() < 6  # type: ignore[operator]
    assert 400 < rows["n_tokens"][0] < study.dictionaries.held_out_tokens + 32  # BOS is not counted
    assert lake.version("dictionaries", study=study.name) == "q"


def test_held_out_documents_are_never_trained_on(study: Study, lake: Lake) -> None:
    here = run(study, lake)
    first = dictionary_training.first_held_out(here)
    tokens = here.scan("tokens").collect()
    held_out = tokens.filter(pl.col("doc_id") >= first)
    kept = sum(len(ids) for shard in dictionary_training.training_shards(here) for ids in shard())
    assert len(held_out) >= study.dictionaries.held_out_tokens > len(held_out) - 32
    assert kept == len(tokens) - len(held_out)


def test_a_killed_training_is_taken_up_again(
    study: Study, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster_project.interp import activation_rounds
    from dagster_project.interp.dictionary_training import Checkpoint

    monkeypatch.setattr(Checkpoint.__new__, "__defaults__", (0.0,))
    monkeypatch.setattr(activation_rounds, "ROUND_BYTES", 0)  # four batches a round
    dictionaries.compute(run(study, lake))
    folder = dictionaries.weights(lake, "v")
    files = {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    shutil.rmtree(folder)
    whole = activation_rounds.rounds

    def two_rounds(*arguments: object) -> Iterator[object]:
        yield from islice(whole(*arguments), 2)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(activation_rounds, "rounds", two_rounds)
    with pytest.raises(KeyboardInterrupt):
        dictionaries.compute(run(study, lake))
    monkeypatch.setattr(activation_rounds, "rounds", whole)
    assert [p.name for p in folder.parent.iterdir()] == ["version=v.checkpoint.safetensors"]
    dictionaries.compute(run(study, lake))
    assert {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()} == files


def test_neurons_need_no_tokens(study: Study, lake: Lake) -> None:
    neurons = with_source(study, "identity", sites=("resid_1", "embed"))
    assert dictionaries.STAGE.needs is not None
    assert dictionaries.STAGE.needs(neurons, "") == ("model",)
    make(neurons, lake)
    assert passed(dictionary_quality.compute(run(neurons, lake)))
    rows = lake.scan("dictionaries", study=study.name).collect()
    assert rows["site"].to_list() == ["embed", "resid_1"]
    assert rows["fve"].to_list() == [1.0, 1.0]
    assert set(rows["kind"]) == {"identity"}


def test_a_folder_is_read_and_its_content_is_the_version(
    study: Study, lake: Lake, tmp_path: Path
) -> None:
    dictionaries.compute(run(study, lake))
    copy = tmp_path / "mine"
    dictionaries.weights(lake, "v").rename(copy)
    mine = with_source(study, str(copy))
    make(mine, lake, "w")
    assert resources.dictionaries(mine, lake)["mlp_0"].n_features == 32
    assert dictionaries.STAGE.content is not None
    before = dictionaries.STAGE.content(mine, lake, "")
    reads = dictionary_quality.STAGE.reads  # equal content elsewhere: the column tells where
    assert reads(mine, "") != reads(with_source(study, str(tmp_path / "other")), "")
    (copy / "mlp_0" / "dictionary.safetensors").write_bytes(b"")
    assert dictionaries.STAGE.content(mine, lake, "") != before
    with pytest.raises(DictionaryError, match=r"mlp_0/dictionary\.safetensors"):
        dictionaries.compute(run(mine, lake, "x"))


def test_the_packages_own_are_read_in_full_precision_wherever_it_lies(
    study: Study, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored in 16 bits; the data version is that of their content."""
    shipped = with_source(study, "embedded")
    halves = {
        site: moved(cast(SparseDictionary, dictionary), "cpu", torch.float16)
        for site, dictionary in random_dictionaries(resources.model(study)).items()
    }
    assert dictionaries.STAGE.content is not None
    assert dictionaries.STAGE.needs is not None
    assert dictionaries.STAGE.needs(shipped, "") == ("model",)
    versions = []
    for place in ("here", "there"):
        monkeypatch.setattr(resources, "WEIGHTS", tmp_path / place)
        for site, dictionary in halves.items():
            save(dictionary, tmp_path / place / "dictionaries" / site, {})
        versions.append(dictionaries.STAGE.content(shipped, lake, ""))
    assert versions[0] == versions[1]
    make(shipped, lake)
    read = resources.dictionaries(shipped, lake)
    assert list(read) == list(halves)
    assert read["mlp_0"].bias.dtype == torch.float32
    assert read["mlp_0"].bias.equal(halves["mlp_0"].bias.float())
    shutil.rmtree(tmp_path / "there")
    with pytest.raises(DictionaryError, match="there/dictionaries: expected a folder of dict"):
        dictionaries.compute(run(shipped, lake, "x"))


def at(hook: str) -> dict[str, dict[str, str]]:
    return {"metadata": {"hook_name": hook}}


def test_forms_and_widths_are_mixed_and_missing_sites_are_what_the_study_says(
    study: Study, lake: Lake, tmp_path: Path
) -> None:
    """Trained MLPs, a gated and a TopK dictionary in a folder, one in a zip file, neurons."""
    put(
        saelens("gated", **at("blocks.0.hook_attn_out")),
        tmp_path / "set" / "blocks.0.hook_attn_out",
    )
    put(
        saelens("topk", **at("blocks.1.hook_resid_post")),
        tmp_path / "set" / "blocks.1.hook_resid_post",
    )
    with ZipFile(tmp_path / "set.zip", "w") as archive:
        for name, content in gemma_scope().files.items():
            archive.writestr(f"layer_0/width_40/average_l0_9/{name}", content)
    parts = {
        "attn": PartSpec(str(tmp_path / "set")),
        "resid_1": PartSpec(str(tmp_path / "set")),
        "resid": PartSpec(str(tmp_path / "set.zip"), path="layer_{layer}/*/average_l0_*"),
        "embed": PartSpec("identity"),
    }
    mixed = with_source(study, "train", parts=parts, missing="leave_out")
    make(mixed, lake, "mixed")
    assert {p.name for p in dictionaries.weights(lake, "mixed").iterdir()} == {"mlp_0", "mlp_1"}
    found = resources.dictionaries(mixed, lake)
    assert {site: (kind(d), d.n_features) for site, d in found.items()} == {
        "embed": ("identity", 16),
        "attn_0": ("jumprelu", 40),
        "mlp_0": ("jumprelu", 32),
        "resid_0": ("jumprelu", 40),
        "mlp_1": ("jumprelu", 32),
        "resid_1": ("topk", 40),
    }
    assert passed(dictionary_quality.compute(run(mixed, lake, "q")))
    rows = lake.scan("dictionaries", study=study.name).collect()
    assert rows.filter(site="resid_0")["source"].item() == str(tmp_path / "set.zip")

    neurons = with_source(study, "none", parts=parts, missing="identity")
    make(neurons, lake, "neurons")
    assert resources.dictionaries(neurons, lake)["attn_1"].n_features == 16
    assert dictionaries.STAGE.needs is not None
    assert dictionaries.STAGE.needs(neurons, "") == ("model",)
    attn = {"attn": parts["attn"]}
    absent = with_source(study, "none", parts=attn, sites=("attn_1",))
    with pytest.raises(DictionaryError, match="set: expected a dictionary of attn_1"):
        dictionaries.compute(run(absent, lake, "x"))
    unused = with_source(study, "none", parts=attn, sites=("mlp_1",))
    with pytest.raises(StudyError, match=r"parts\.attn must be of a site of the study or a kind"):
        dictionaries.compute(run(unused, lake, "x"))
    with pytest.raises(StudyError, match=r"dictionaries.parts must be a part for embed"):
        dictionaries.compute(run(with_source(study, "none"), lake, "x"))
    with pytest.raises(StudyError, match="a dictionary of one site at least"):
        dictionaries.compute(run(with_source(study, "none", missing="leave_out"), lake, "x"))


def test_what_a_norm_reads_is_not_taken_for_what_it_gives(tmp_path: Path) -> None:
    """sparsify names a module, after which Gemma has a norm before anything is added."""
    put(sparsify(), tmp_path / "layers.1.mlp")
    put(sparsify(), tmp_path / "layers.1")
    place = Place(folder_tree(tmp_path))
    dictionaries._check_before_norm(place, "mlp_1", make_model("llama"))
    gemma = make_model("gemma2")
    dictionaries._check_before_norm(place, "resid_1", gemma)
    with pytest.raises(DictionaryError, match="of what post_feedforward_layernorm gives to the st"):
        dictionaries._check_before_norm(place, "mlp_1", gemma)


def test_the_data_version_is_that_of_what_is_read(study: Study, lake: Lake, tmp_path: Path) -> None:
    form, reads = saelens("standard", **at("blocks.0.hook_attn_out")), dictionaries.STAGE.reads
    for place in ("here", "there"):
        put(form, tmp_path / place / "blocks.0.hook_attn_out")

    def version(part: PartSpec, **changes: str) -> str:
        changed = with_source(study, "none", parts={"attn": part}, **changes)
        assert dictionaries.STAGE.content is not None
        return digest([reads(changed, ""), dictionaries.STAGE.content(changed, lake, "")])

    here = PartSpec(str(tmp_path / "here"))
    first = version(here)
    assert version(replace(here, source=str(tmp_path / "there"))) == first
    others = [
        version(here, missing="identity"),
        version(replace(here, path="*")),
        version(replace(here, scale=2.0)),
        version(replace(here, centred=True)),
    ]
    (tmp_path / "here/blocks.0.hook_attn_out/cfg.json").write_text("{}")
    assert len({first, version(here), *others}) == 6


def test_refusals_name_file_and_key(study: Study, lake: Lake) -> None:
    with pytest.raises(DictionaryError, match='"nowhere" on the hub'):
        dictionaries.compute(run(with_source(study, "nowhere"), lake))
    with pytest.raises(StudyError, match=r"dictionaries.sites must be sites of a model of 2 lay"):
        dictionaries.compute(run(with_source(study, "train", sites=("mlp_2",)), lake))
    with pytest.raises(StudyError, match=r"dictionaries.held_out_tokens must be fewer than"):
        dictionaries.compute(run(with_source(study, "train", held_out_tokens=10**6), lake))


def test_studies_that_agree_share_what_one_has_trained(
    study: Study, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(study, lake)
    monkeypatch.setattr(dictionaries, "train", None)  # would be called
    twin = replace(study, name="twin")
    make(twin, lake)
    ours, theirs = (resources.dictionaries(s, lake)["mlp_0"] for s in (study, twin))
    assert ours.bias.equal(theirs.bias)
