"""Mean gradients as rows and back."""

from __future__ import annotations

import polars as pl
import torch

from dagster_project.interp.dictionary import IdentityDictionary
from dagster_project.interp.mean_gradients import gradient_frame, gradients_by_site
from dagster_project.interp.model import LanguageModel
from dagster_project.interp.node_effects import attribute
from dagster_project.studies.study import NodeEffectsSpec
from tests.interp.spliced import make


def test_rows_give_back_the_gradients(tiny_llama: LanguageModel) -> None:
    examples = make([[1, 5, 6, 7], [1, 8, 9]], None)
    dictionaries = {site: IdentityDictionary(16) for site in ("embed", "mlp_1")}
    found = [*attribute(tiny_llama, dictionaries, examples, NodeEffectsSpec(steps=2), 4, bos_id=1)]
    numbers = [12, 40]
    rows = pl.concat([gradient_frame(a, "ig", numbers) for a in found])
    assert rows["example"].unique().sort().to_list() == numbers
    assert rows.height == 2 * (3 + 2)  # two sites; BOS and padding have no row
    again = gradients_by_site(rows, numbers, 4, torch.device("cpu"))
    assert list(again) == ["embed", "mlp_1"]
    for a in found:
        n = a.counted.shape[1]
        expected = torch.where(a.counted[..., None], a.gradient, 0.0)[0]
        torch.testing.assert_close(again[a.site][a.examples[0], :n], expected)
