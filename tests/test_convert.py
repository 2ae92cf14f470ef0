"""The command that writes dictionaries in other forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dagster_project.convert import main
from dagster_project.interp.dictionary import SparseDictionary
from dagster_project.interp.dictionary_files import load_sites, save
from tests.interp.foreign_forms import D_MODEL, dictionary_learning, put, saelens


def test_sites_are_written_with_the_names_of_the_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(saelens("gated"), tmp_path / "in/blocks.1.hook_mlp_out")
    put(dictionary_learning("AutoEncoderTopK"), tmp_path / "in/resid_out_layer0/3_40")
    sites = ["mlp_1", "resid_0"]
    for form, out, file in (
        ("saelens", "a", "blocks.0.hook_resid_post/cfg.json"),
        ("dictionary_learning", "b", "mlp_out_layer1/converted_40/ae.pt"),
    ):
        where = [str(tmp_path / "in"), str(tmp_path / out)]
        assert main([*where, "--to", form, "--site", *sites]) == 0
        assert (tmp_path / out / file).is_file()
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == sites * 2
    assert "jumprelu, 40 features" in said[0]
    config = json.loads((tmp_path / "a/blocks.0.hook_resid_post/cfg.json").read_text())
    assert (config["architecture"], config["k"]) == ("topk", 5)
    widths, x = dict.fromkeys(sites, D_MODEL), torch.randn(50, D_MODEL)
    read = [load_sites(tmp_path / root, widths) for root in ("in", "a", "b")]
    for site in sites:
        for other in read[1:]:
            torch.testing.assert_close(other[site].encode(x), read[0][site].encode(x))


@pytest.mark.parametrize(
    ("site", "threshold", "form", "expected"),
    [
        ("mlp_0", -0.5, "saelens", "thresholds from 0 on"),
        ("z_0", 0.5, "dictionary_learning", "that dictionary_learning has a name for, found z_0"),
        ("mlp_9", 0.5, "saelens", "a dictionary of mlp_9"),
    ],
)
def test_what_would_be_another_dictionary_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    site: str,
    threshold: float,
    form: str,
    expected: str,
) -> None:
    eye, zero = torch.eye(3), torch.zeros(3)
    found = SparseDictionary(eye, zero, eye.clone(), zero.clone(), "jumprelu", threshold=threshold)
    for name in ("mlp_0", "z_0"):
        save(found, tmp_path / "in" / name, {})
    out = tmp_path / "out"
    assert main([str(tmp_path / "in"), str(out), "--to", form, "--site", site]) == 1
    assert expected in capsys.readouterr().err
    assert not out.exists()
