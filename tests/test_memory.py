"""Memory: reckoned before a run, measured after a step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dagster_project import memory, resources
from dagster_project.assets import dictionaries, dictionary_quality, features
from dagster_project.interp import budget
from dagster_project.lake.store import Lake
from dagster_project.memory import SMALLEST, Needs, TooLargeError, check, needs
from dagster_project.studies.parsing import StudyError
from dagster_project.studies.study import ComputeSpec, Dtype, Study, read_study
from tests.conftest import make_model, write_tiny_study

D = 16  # of the tiny models
SITES = ["embed", "attn_0", "mlp_0", "resid_0", "attn_1", "mlp_1", "resid_1"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_tiny_study(tmp_path_factory.mktemp("study")))


def have(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(budget, "free_memory", lambda _: free)


def test_a_study_is_reckoned_from_its_files(study: Study) -> None:
    """Of weights, of dictionaries and of what their training holds besides, by hand."""
    found = needs(study, model=True, dictionaries=True, training=False)
    model = make_model("llama")
    assert found.model == sum(p.nbytes for p in model.hf.parameters())
    assert found.dictionaries == dict.fromkeys(SITES, 4 * 2 * (2 * D) * D)
    assert found.total == found.model + 7 * 4 * 2 * 2 * D * D + found.batch
    config, dtype = model.hf.config, model.hf.dtype
    assert found.batch == budget.estimate(config, dtype, 7, SMALLEST)
    trained = needs(study, model=False, dictionaries=True, training=True)
    assert trained.model == 0
    assert trained.dictionaries == dict.fromkeys(SITES, 4 * found.dictionaries["embed"])
    neurons = replace(study, dictionaries=replace(study.dictionaries, source="identity"))
    of_neurons = needs(neurons, model=True, dictionaries=True, training=True).dictionaries
    assert of_neurons == dict.fromkeys(SITES, 0)
    half = replace(study, model=replace(study.model, dtype="bfloat16"))
    assert needs(half, model=True, dictionaries=True, training=False).model == found.model // 2


def test_too_large_a_study_is_told_what_would_fit(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = needs(study, model=True, dictionaries=True, training=False)
    have(monkeypatch, found.total)
    check(found, study)
    have(monkeypatch, found.total - 1)
    message = (
        r"tiny: not enough memory: .* on cpu: model in float32 .*, dictionaries of 7 sites .*, "
        r"64 tokens .*; .* are free\. What would fit: dictionaries\.sites = \[\"embed\", .*"
        r"\"mlp_1\"\] or model\.dtype = \"bfloat16\""
    )
    with pytest.raises(TooLargeError, match=message):
        check(found, study)
    have(monkeypatch, found.batch)
    with pytest.raises(TooLargeError, match="What would fit: nothing on this device"):
        check(found, study)


@given(
    model=st.integers(1, 2000),
    sizes=st.lists(st.integers(0, 500), max_size=8),
    free=st.integers(0, 4000),
)
def test_what_would_fit_does(model: int, sizes: list[int], free: int) -> None:
    """And no site more would."""
    dictionaries = {f"resid_{i}": size for i, size in enumerate(sizes)}
    found = Needs("cpu", "float32", model, dictionaries, batch=10)
    fitting = found.fitting(free)
    if fitting is None:
        assert free < model + 10 + (sizes[0] if sizes else 0)
        return
    assert fitting.total <= free
    left = [site for site in dictionaries if site not in fitting.dictionaries]
    assume(left)
    assert fitting.total + dictionaries[left[0]] > free


def test_a_model_that_does_not_fit_is_not_loaded(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "_models", {})
    have(monkeypatch, 1000)
    with pytest.raises(TooLargeError, match=r"model in float32 0\.00 GiB, 64 tokens"):
        resources.model(study)


def test_dictionaries_that_do_not_fit_are_not_loaded(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tmp_path / "lake")
    lake.mark("dictionaries", study.name, "version")
    resources.model(study)
    monkeypatch.setattr(resources, "_dictionaries", {})
    monkeypatch.setattr(dictionaries, "load", None)  # would be called
    have(monkeypatch, 1000)
    with pytest.raises(TooLargeError, match=r"dictionaries of 7 sites 0\.00 GiB, 64 tokens"):
        resources.dictionaries(study, lake)


def test_processes_hold_their_own(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    one = needs(study, model=True, dictionaries=True, training=False)
    two = replace(one, copies=2)
    assert two.total == 2 * one.total
    assert "2 processes, each model" in str(two)
    have(monkeypatch, two.total - 1)
    check(one, study)
    with pytest.raises(TooLargeError):
        check(two, study)


def test_tolerances_are_known_for_every_dtype() -> None:
    assert set(dictionary_quality.TOLERANCE) == set(features.AGREE) == set(get_args(Dtype))


def test_a_device_that_is_not_there_is_named(study: Study) -> None:
    import torch

    wanted = next(d for d in ("mps", "cuda") if not getattr(torch, d).is_available())
    absent = replace(study, compute=ComputeSpec(device=wanted))  # type: ignore[arg-type]
    expected = rf"compute\.device must be a device of this machine .*, found \"{wanted}"
    with pytest.raises(StudyError, match=expected):
        resources.device(absent)


def test_kernels_are_deterministic_where_it_is_asked_for(study: Study) -> None:
    import torch

    asked = replace(study, compute=replace(study.compute, deterministic=True))
    with resources.same_bits(study):
        assert not torch.are_deterministic_algorithms_enabled()
    with resources.same_bits(asked):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_peak_is_that_since_it_was_forgotten() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the system keeps one peak a process")
    memory.forget_peak()
    before = memory.peak()["peak memory, MiB"]
    held = np.ones(64 << 20, dtype=np.float32)  # 256 MiB
    held[0] = 2
    del held
    assert memory.peak()["peak memory, MiB"] >= before + 250
    memory.forget_peak()
    assert memory.peak()["peak memory, MiB"] <= before + 50
