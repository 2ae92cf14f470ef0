"""Training: planted features are found, runs repeat, killed ones go on, dead features revive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dagster_project.interp import dictionary_training
from dagster_project.interp.activation_rounds import groups, round_tokens, rounds
from dagster_project.interp.dictionary import SparseDictionary
from dagster_project.interp.dictionary_files import save
from dagster_project.interp.dictionary_training import Checkpoint, Progress, schedule, train
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.sequences import shuffled
from dagster_project.interp.sites import activations, batch_of
from dagster_project.interp.training_state import State, geometric_median, new_state
from dagster_project.studies.study import Form, TrainingSpec

D_MODEL, PLANTED, ACTIVE = 16, 24, 2
SPEC = TrainingSpec(
    expansion=2, k=ACTIVE, tokens=100_000, batch=256, learning_rate=2e-3, dead_after=10_000
)
SHORT = replace(SPEC, tokens=256 * 20, dead_after=1_000)


def planted_directions() -> Tensor:
    """[PLANTED, D_MODEL] unit rows."""
    rows = torch.randn(PLANTED, D_MODEL, generator=torch.Generator().manual_seed(5))
    return rows / rows.norm(dim=-1, keepdim=True)


def planted_rounds(start: int, size: int = 2560, n_sites: int = 1) -> Iterator[Tensor]:
    """Rounds of sums of ACTIVE planted directions each, off centre, on another scale."""
    rows = planted_directions()
    for number in count(start):
        random = torch.Generator().manual_seed(number)
        chosen = torch.rand(n_sites, size, PLANTED, generator=random).topk(ACTIVE).indices
        strength = 1 + torch.rand(n_sites, size, ACTIVE, generator=random)
        f = torch.zeros(n_sites, size, PLANTED).scatter_(-1, chosen, strength)
        yield 0.1 * (f @ rows) + 3.0


@pytest.mark.parametrize(
    ("form", "most_error"),
    [("batch_topk", 0.07), ("topk", 0.07), ("jumprelu", 0.07), ("matryoshka", 0.15)],
)
def test_planted_features_are_found(form: Form, most_error: float) -> None:
    """With matryoshka the first features, which must do alone, are sums of planted ones."""
    seen: list[Progress] = []
    spec = replace(SPEC, expansion=3, form=form)
    (found,) = train(["resid_0"], planted_rounds, spec, progress=seen.append).values()
    cosines = planted_directions() @ found.W_dec.T
    assert (cosines.max(-1).values > 0.95).float().mean() >= 0.9 - 4 * (most_error - 0.07)
    assert seen[-1].fve["resid_0"] > 1 - most_error
    assert seen[-1].l0["resid_0"] == pytest.approx(ACTIVE, rel=0.05)
    assert seen[-1].tokens_per_second > 0
    x = next(planted_rounds(10**6))[0]
    f = found.encode(x)
    error = (x - found.decode(f)).square().sum() / (x - x.mean(0)).square().sum()
    assert error < most_error
    assert float((f > 0).sum(-1).float().mean()) == pytest.approx(ACTIVE, rel=0.05)
    torch.testing.assert_close(found.W_dec.norm(dim=-1), torch.ones(found.n_features))


def test_a_short_training_has_a_threshold_too() -> None:
    (found,) = train(["resid_0"], planted_rounds, SHORT).values()
    f = found.encode(next(planted_rounds(10**6))[0])
    assert float((f > 0).sum(-1).float().mean()) == pytest.approx(ACTIVE, rel=0.25)


def three_sites(start: int) -> Iterator[Tensor]:
    return planted_rounds(start, 512, 3)


SITES = ["embed", "attn_0", "mlp_0"]


def stored(found: dict[str, SparseDictionary], folder: Path) -> dict[str, bytes]:
    for site, dictionary in found.items():
        save(dictionary, folder / site, {})
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    once = stored(train(SITES, three_sites, SHORT), tmp_path / "once")
    again = stored(train(SITES, three_sites, SHORT), tmp_path / "again")
    other = stored(train(SITES, three_sites, replace(SHORT, seed=1)), tmp_path / "other")
    assert once == again
    assert once["embed/dictionary.safetensors"] != other["embed/dictionary.safetensors"]


class KilledError(Exception):
    pass


def killed_after(n_rounds: int) -> Callable[[Progress], None]:
    """Progress that dies in the round after the n-th has been saved."""
    left = iter(range(n_rounds))

    def follow(_: Progress) -> None:
        if next(left, None) is None:
            raise KilledError

    return follow


@pytest.mark.parametrize(
    ("form", "n_rounds"),
    [("batch_topk", 0), ("batch_topk", 1), ("batch_topk", 7), ("topk", 3), ("jumprelu", 3)],
)
def test_a_killed_training_ends_like_an_unbroken_one(
    tmp_path: Path, form: Form, n_rounds: int
) -> None:
    # the auxiliary loss takes part, and sparsity is still coming
    spec = replace(SHORT, form=form, dead_after=600, sparsity_warm_up=0.5)
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", "v", seconds=0)
    with pytest.raises(KilledError):
        train(SITES, three_sites, spec, checkpoint=checkpoint, progress=killed_after(n_rounds))
    assert checkpoint.file.exists() == bool(n_rounds)
    steps: list[int] = []
    resumed = train(
        SITES, three_sites, spec, checkpoint=checkpoint, progress=lambda p: steps.append(p.step)
    )
    assert steps == [2 * (n + 1) for n in range(n_rounds, 10)]  # 2 steps a round
    unbroken = train(SITES, three_sites, spec)
    assert stored(resumed, tmp_path / "a") == stored(unbroken, tmp_path / "b")


@pytest.mark.parametrize("spoil", ["version", "sites", "truncated"])
def test_another_trainings_checkpoint_is_ignored(tmp_path: Path, spoil: str) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", "v", seconds=0)
    train(SITES, three_sites, SHORT, checkpoint=checkpoint)
    if spoil == "truncated":
        checkpoint.file.write_bytes(checkpoint.file.read_bytes()[:1000])
    version = "w" if spoil == "version" else "v"
    sites = ["embed", "attn_0", "resid_0"] if spoil == "sites" else SITES
    steps: list[int] = []
    train(
        sites,
        three_sites,
        SHORT,
        checkpoint=checkpoint._replace(version=version),
        progress=lambda p: steps.append(p.step),
    )
    assert steps[0] == 2


@pytest.mark.parametrize(("coefficient", "most"), [(0.0, 0.5), (1 / 32, 0.35)])
def test_the_auxiliary_loss_revives_dead_features(
    monkeypatch: pytest.MonkeyPatch, coefficient: float, most: float
) -> None:
    spec = replace(SPEC, tokens=50_000, dead_after=2_000, aux_coefficient=coefficient)

    def half_dead(sites: Sequence[str], buffer: Tensor, spec: TrainingSpec) -> State:
        state = new_state(sites, buffer, spec)
        with torch.no_grad():
            state.sites["embed"].weights.b_enc[::2] = -4.0  # 16 alive, for 24 directions
        return state

    monkeypatch.setattr(dictionary_training, "new_state", half_dead)
    seen: list[Progress] = []
    train(["embed"], planted_rounds, spec, progress=seen.append)
    assert seen[0].dead["embed"] == 0.5
    assert seen[-1].dead["embed"] <= most
    if not coefficient:
        assert seen[-1].dead["embed"] == 0.5


def test_nested_features_come_first_by_the_coefficient_of_the_site() -> None:
    coefficients = {"embed": 4.0, "mlp_0": 0.5}
    spec = replace(SPEC, tokens=30_000, nested=(6,), nested_coefficients=coefficients)
    sites = ["embed", "mlp_0", "resid_0"]
    found = train(sites, lambda start: planted_rounds(start, n_sites=3), spec)
    x = next(planted_rounds(10**6))[0]

    def explained(site: str) -> float:
        """By the first six features alone."""
        dictionary = found[site]
        f = dictionary.encode(x)
        f[:, 6:] = 0
        error = (x - dictionary.decode(f)).square().sum()
        return 1 - float(error / (x - x.mean(0)).square().sum())

    assert explained("embed") > explained("mlp_0") + 0.02
    assert explained("mlp_0") > explained("resid_0") + 0.02


def test_schedule_warms_up_and_decays() -> None:
    assert [schedule(step, 100, 0.05, 0.2) for step in (0, 4, 50, 79, 80, 90, 99)] == pytest.approx(
        [0.2, 1, 1, 1, 1, 0.5, 0.05]
    )
    assert {schedule(step, 100, 0.0, 0.0) for step in range(100)} == {1.0}


def test_geometric_median_resists_outliers() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.5], [1e6, 1e6]])
    assert (geometric_median(x) - 0.5).norm() < 0.5
    square = x[:4]
    torch.testing.assert_close(geometric_median(square), torch.tensor([0.5, 0.5]))


def test_rounds_are_equally_full_and_bounded() -> None:
    assert round_tokens(1, 4, 256, 1000) == 1024  # all in one round
    assert round_tokens(16, 64, 256, 1_000_000) == 245 * 256  # 3907 steps in 16 rounds
    assert round_tokens(200, 10_000, 256, 10**6) == 4 * 256  # never under four batches


def test_groups_count_no_bos() -> None:
    documents = iter([[1, 5, 5], [6, 1], [1, 7], [8, 8, 8], [9]])
    assert list(groups(documents, 4, 1)) == [[[1, 5, 5], [6, 1]], [[1, 7], [8, 8, 8]]]


def test_rounds_hold_the_models_activations(tiny_llama: LanguageModel) -> None:
    documents = [[1, 5 + i, 7, 9, 11 + i] for i in range(12)]
    sites = ["embed", "mlp_1"]
    (first,) = islice(rounds(tiny_llama, sites, iter(documents), 16, 15, 1), 1)
    assert first.shape == (2, 16, 16)
    clean = activations(tiny_llama, batch_of(documents[:4]).ids, sites)
    for row, site in enumerate(sites):  # four documents of four tokens and a BOS
        expected = clean[site][:, 1:].flatten(0, 1)
        torch.testing.assert_close(first[row], expected, atol=1e-5, rtol=1e-5)


def test_rounds_start_anywhere(tiny_neox: LanguageModel) -> None:
    shards = [lambda i=i: [[i, i + 1, i + 2, i + 3]] * 5 for i in range(5)]
    from_start = [
        r.clone()
        for r in islice(rounds(tiny_neox, ["attn_0"], shuffled(shards, 3), 12, 16, None), 4)
    ]
    (third,) = islice(rounds(tiny_neox, ["attn_0"], shuffled(shards, 3), 12, 16, None, start=2), 1)
    assert torch.equal(third, from_start[2])
    assert not torch.equal(third, from_start[1])
