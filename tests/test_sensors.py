"""The corpus's sensor: when it asks for a run, and why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from dagster_project import sensors
from dagster_project.interp.corpus import MANIFEST, extend
from dagster_project.interp.sources import source_at
from dagster_project.lake.store import Lake
from dagster_project.resources import LakeResource
from dagster_project.sensors import corpus_sensor
from dagster_project.studies.study import CorpusSpec, Study, read_study

JOB = "tiny__corpus_job"
FAILURE, STARTED = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study whose corpus was registered before its file changed."""
    (tmp_path / "tiny.toml").write_text(
        "[model]\nsource = './model'\n[corpus]\nfiles = ['*.jsonl']\n"
    )
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    study = read_study(tmp_path / "tiny.toml")
    source = source_at(str(tmp_path / "a.jsonl"), study.corpus)
    with Lake(tmp_path / "lake").writer("shards", "as it was", study="tiny") as writer:
        writer.append(extend(MANIFEST.to_frame(), [source], 9))
    return study


@pytest.fixture
def tick(study: Study, instance: dg.DagsterInstance) -> Callable[[], dg.RunRequest | str]:
    """What a tick comes to: a request, or the reason why there is none."""

    def answer() -> dg.RunRequest | str:
        lake = LakeResource(root=str(study.file.parent / "lake"))
        context = dg.build_sensor_context(instance, resources={"lake": lake})
        found = corpus_sensor(study)(context)
        assert isinstance(found, dg.RunRequest | dg.SkipReason)
        return found if isinstance(found, dg.RunRequest) else found.skip_message or ""

    return answer


def test_generated_documents_are_not_watched(study: Study, instance: dg.DagsterInstance) -> None:
    lake = LakeResource(root=str(study.file.parent / "lake"))
    context = dg.build_sensor_context(instance, resources={"lake": lake})
    made = replace(study, corpus=CorpusSpec(embedded=True, max_shards=1))
    found = corpus_sensor(made)(context)
    assert isinstance(found, dg.SkipReason)
    assert "no files to watch" in (found.skip_message or "")


def put_run(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: dict[str, str]
) -> dg.DagsterRun:
    run = dg.DagsterRun(job_name=JOB, run_id=str(uuid4()), status=status, tags=tags)
    return instance.add_run(run)


Tick = Callable[[], dg.RunRequest | str]


def requested(tick: Tick) -> dg.RunRequest:
    found = tick()
    assert isinstance(found, dg.RunRequest), found
    return found


def test_a_changed_file_is_asked_for_until_it_is_registered(
    tick: Tick, instance: dg.DagsterInstance
) -> None:
    first = requested(tick)
    assert first.run_key is None  # Dagster would never ask again
    assert requested(tick).tags == first.tags
    put_run(instance, dg.DagsterRunStatus.SUCCESS, dict(first.tags))
    requested(tick)


def test_requests_do_not_pile_up(tick: Tick, instance: dg.DagsterInstance) -> None:
    run = put_run(instance, STARTED, {})
    assert run.run_id in str(tick())


def test_what_failed_is_tried_again_later_or_when_files_change(
    tick: Tick, instance: dg.DagsterInstance, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = put_run(instance, FAILURE, dict(requested(tick).tags))
    assert f"Run {run.run_id} failed" in str(tick())
    with monkeypatch.context() as patch:
        patch.setattr(sensors, "BACKOFF", timedelta(seconds=-60))  # the ten minutes are over
        requested(tick)
    (study.file.parent / "b.jsonl").write_text('{"text": "b"}\n')
    requested(tick)
