"""A whole study of each family of models, with dictionaries at every kind of site."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import polars as pl
import pytest

from dagster_project.assets.flow import stages_of
from dagster_project.display import Display
from dagster_project.interp.site_names import KINDS, site_names
from dagster_project.lake.schemas import TABLES
from dagster_project.run import Part, runner
from dagster_project.studies.study import Dtype, read_study
from tests.conftest import history_in, write_tiny_study

FAMILIES = ("neox", "neox_sequential", "gpt2", "llama", "mistral", "qwen3", "gemma2")
NOT_THERE = {"dictionary_sweep", "distinct_features"}  # not asked for; may be empty
KEYS = """held_out_tokens = 512
sites = {sites}
parts.z.source = "identity"
"""


def write_study(folder: Path, family: str) -> Path:
    """The tiny study with sites of every kind that the family has, and total-effect graphs."""
    file = write_tiny_study(folder, family=family)
    kinds = [kind for kind in KINDS if kind != "mid" or family != "neox"]
    sites = str(site_names(2, kinds)).replace("'", '"')
    text = file.read_text().replace("held_out_tokens = 512\n", KEYS.replace("{sites}", sites))
    text = text.replace("tokens = 20_000", "tokens = 5_000")
    text = text.replace("[tasks.number]", '[tasks.number]\nedge_kinds = ["direct", "total"]')
    file.write_text(text)
    return file


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_study(family: str, tmp_path: Path) -> None:
    file = write_study(tmp_path, family)
    home = tmp_path / "dagster"
    home.mkdir()
    with history_in(home) as instance:
        made = runner(read_study(file), str(tmp_path / "lake"), instance)
        made.run(Part(), Display(lambda _: None))
        assert all(
            made.provenance.fresh(stage, partition)
            for stage in stages_of(made.study)
            for partition in made.wanted(stage)
        )
    lake, sites = made.lake, set(made.study.dictionaries.sites)
    filled = {name for name in TABLES if lake.rows(name, study="tiny")}
    assert set(TABLES) - filled <= NOT_THERE
    for table in ("dictionaries", "features", "context_features", "node_effects", "site_effects"):
        assert set(lake.scan(table).select("site").unique().collect()["site"]) == sites, table
    circuits = lake.scan("circuits").collect()
    assert set(circuits["edge_kind"]) == {"direct", "total"}
    ends = lake.scan("circuit_edges").select("up_site", "down_site").unique().collect()
    assert {site.split("_")[0] for end in ends.iter_columns() for site in end} >= {"z", "resid"}
    all_nodes = (
        lake.scan("faithfulness")
        .filter(pl.col("unit") != "random", pl.col("selection") == "top_n")
        .filter(
            pl.col("value") == pl.col("value").max().over("unit"), pl.col("errors") == "default"
        )
        .collect()
    )
    assert len(all_nodes)
    gap = (all_nodes["f_circuit"] - all_nodes["f_model"]).abs()
    assert gap.to_numpy().max() < 1e-3 * all_nodes["f_model"].abs().to_numpy().max()


@pytest.mark.parametrize("dtype", [d for d in get_args(Dtype) if d != "float32"])
def test_a_study_in_every_dtype(dtype: str, tmp_path: Path) -> None:
    file = write_tiny_study(tmp_path)
    text = file.read_text().replace('"./model"', f'"./model"\ndtype = "{dtype}"', 1)
    file.write_text(text.replace("tokens = 20_000", "tokens = 5_000"))
    home = tmp_path / "dagster"
    home.mkdir()
    with history_in(home) as instance:
        made = runner(read_study(file), str(tmp_path / "lake"), instance)
        made.run(Part(), Display(lambda _: None))
    assert set(TABLES) - {t for t in TABLES if made.lake.rows(t, study="tiny")} <= NOT_THERE
