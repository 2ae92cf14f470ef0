"""A study's jobs: what a first look holds, and that its op makes it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from dagster_project.jobs import ASKED_BY, first_look, part_job, study_jobs
from dagster_project.lake.store import Lake
from dagster_project.resources import LakeResource
from dagster_project.run import Part
from dagster_project.studies.study import Study, read_study
from tests.conftest import write_tiny_study


def tiny(folder: Path, dictionaries: str) -> Study:
    return read_study(write_tiny_study(folder, dictionaries=dictionaries))


def test_a_first_look_is_one_shard_and_one_task(tmp_path: Path) -> None:
    part = first_look(tiny(tmp_path, "identity"))
    assert part.shards == 1
    assert part.tasks == ["number"]
    assert {"corpus", "losses", "dictionaries", "faithfulness"} <= set(part.stages)
    assert not {"contexts", "clusterings", "dictionary_quality"} & set(part.stages)


def test_without_the_circuit_where_dictionaries_are_trained_on_all_shards(tmp_path: Path) -> None:
    part = first_look(tiny(tmp_path, "train"))
    assert part == Part(["corpus", "model", "documents", "tokens", "losses"], shards=1)


def test_the_names_of_a_studys_jobs(tmp_path: Path) -> None:
    study = tiny(tmp_path, "identity")
    names = ["first_look", "whole_study", "corpus", "one_shard", "one_task"]
    assert [job.name for job in study_jobs(study)] == [f"tiny__{name}_job" for name in names]


def test_a_parts_job_makes_it_in_runs_that_name_the_one_that_asked(tmp_path: Path) -> None:
    study, root = tiny(tmp_path, "identity"), tmp_path / "lake"
    home = tmp_path / "dagster"
    home.mkdir()
    job = part_job(study, "look", Part(["corpus", "model", "documents"], shards=1), "A look.")
    with dg.instance_for_test(temp_dir=str(home)) as instance:
        resources = {"lake": LakeResource(root=str(root))}
        done = job.execute_in_process(instance=instance, resources=resources)
        made = instance.get_runs(dg.RunsFilter(tags={ASKED_BY: done.run_id}))
    assert Lake(root).partitions("documents", "tiny") == ["00000"]
    keys = {key.to_user_string() for run in made for key in run.asset_selection or ()}
    assert keys == {"tiny/corpus", "tiny/model", "tiny/documents", "catalog"}


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (Part(["loses"]), "tiny: no stage loses; there are corpus, model, documents"),
        (Part(["recipe_model"]), "tiny: no stage recipe_model"),
        (Part(tasks=["nubmer"]), "tiny: no task nubmer; there are number"),
    ],
)
def test_a_part_that_the_study_does_not_have_is_refused(
    tmp_path: Path, part: Part, fault: str
) -> None:
    job = part_job(tiny(tmp_path, "identity"), "look", part, "A look.")
    resources = {"lake": LakeResource(root=str(tmp_path / "lake"))}
    with dg.instance_for_test() as instance, pytest.raises(dg.Failure, match=fault):
        job.execute_in_process(instance=instance, resources=resources)
    assert not (tmp_path / "lake").exists()


def test_a_fault_of_a_part_is_the_jobs(tmp_path: Path) -> None:
    study = tiny(tmp_path, "identity")
    (tmp_path / "model" / "config.json").write_text("{}")
    job = part_job(study, "look", Part(["model"]), "A look.")
    resources = {"lake": LakeResource(root=str(tmp_path / "lake"))}
    fault = "model: neither a folder with a model nor"
    with dg.instance_for_test() as instance, pytest.raises(dg.Failure, match=fault):
        job.execute_in_process(instance=instance, resources=resources)
