"""sae-lens and dictionary-learning themselves: each reads what the other wrote.

They need other versions of what this package needs, and so an interpreter of their own, which
CIRCUIT_LAKE_SAE_PYTHON names: `python -m venv sae && sae/bin/pip install sae-lens && sae/bin/pip
install --no-deps dictionary-learning`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from dagster_project.convert import FORMS, write
from dagster_project.interp.dictionary_files import Place, load_site
from dagster_project.interp.file_tree import folder_tree
from tests.interp import real_packages
from tests.interp.real_packages import CLASSES, D_MODEL, SAELENS

VARIABLE = "CIRCUIT_LAKE_SAE_PYTHON"
SITE = "mlp_1"
EXACT = 1e-6  # of what is largest


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """What the packages wrote, and what they make of it and of our conversions of it."""
    python = os.environ.get(VARIABLE)
    if not python:
        pytest.skip(f"{VARIABLE} names no interpreter with sae-lens and dictionary-learning")
    folder = tmp_path_factory.mktemp("packages")
    torch.manual_seed(1)
    torch.save(2 * torch.randn(200, D_MODEL), folder / "x.pt")
    said = run(python, folder, "write")
    for name in (*SAELENS, *CLASSES):
        place = Place(folder_tree(folder / "theirs" / name))
        found = load_site(place, SITE, D_MODEL)
        for form in FORMS:
            write(found, place, SITE, form, folder / "ours" / name / form)
    return folder, said | run(python, folder, "read")


def run(python: str, folder: Path, do: str) -> dict[str, Any]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [python, str(Path(real_packages.__file__)), str(folder), do]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    found: dict[str, Any] = torch.load(folder / f"{do}.pt")
    return found


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", [*SAELENS, *CLASSES])
def test_what_they_write_is_read(said: tuple[Path, dict[str, Any]], name: str) -> None:
    folder, made = said
    f, x_hat = made[name]
    found = load_site(Place(folder_tree(folder / "theirs" / name)), SITE, D_MODEL)
    x = torch.load(folder / "x.pt")
    assert torch.equal(found.encode(x) > 0, f > 0)
    assert 0.02 < (f > 0).float().mean() < 0.8
    assert apart(found.encode(x), f) < EXACT
    assert apart(found.decode(found.encode(x)), x_hat) < EXACT


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [*SAELENS, *CLASSES])
def test_what_is_written_they_read(said: tuple[Path, dict[str, Any]], name: str, form: str) -> None:
    folder, made = said
    found = load_site(Place(folder_tree(folder / "theirs" / name)), SITE, D_MODEL)
    f, x_hat = made[f"{name}/{form}"]
    x = torch.load(folder / "x.pt")
    assert apart(f, found.encode(x)) < EXACT
    assert apart(x_hat, found.decode(found.encode(x))) < EXACT
