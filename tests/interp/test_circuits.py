"""Selection, shares and order of circuits."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from dagster_project.interp.circuits import (
    backward_edges,
    select_nodes,
    shares,
    total_effect,
)
from dagster_project.interp.model import LanguageModel
from tests.interp import spliced
from tests.interp.spliced import CLEAN, PATCH, make


def test_thresholds_are_strict_and_of_the_absolute_value() -> None:
    effects = pl.DataFrame({"effect": [0.5, -0.5, 0.25, -0.75]})
    assert select_nodes(effects, 0.25)["effect"].to_list() == [0.5, -0.5, -0.75]
    assert select_nodes(effects, 0.5)["effect"].to_list() == [-0.75]


def test_shares_solved_by_hand() -> None:
    # embed: A = 1; resid_0: A = 1, E = 2. Feature share 2/4; writers 1/2.
    # softmax of equal A_u is ½ each: A = 1; E_u = (0, 2): E = 2 e²/(1 + e²) = 1.7616.
    nodes = pl.DataFrame(
        {
            "site": ["embed", "resid_0", "resid_0"],
            "feature": [3, 4, -1],
            "effect": [1.0, -1.0, -2.0],
        }
    )
    found = shares(nodes, ["embed", "resid_0"])
    assert found.feature_share == pytest.approx(0.5)
    assert found.writer_ratio == pytest.approx(0.5)
    assert found.interestingness == pytest.approx(1 / 2.7616, abs=1e-4)


def test_sites_without_a_kept_node_share_in_the_softmax() -> None:
    # A_u = (1, 0, 0, 1) and E_u = (0, 0, 0, 2) at embed, attn_0, mlp_0 and resid_0:
    # A = 2e / (2e + 2) = 0.731059, E = 2e² / (e² + 3) = 1.422470; A / (A + E) = 0.339470.
    nodes = pl.DataFrame(
        {
            "site": ["embed", "resid_0", "resid_0"],
            "feature": [3, 4, -1],
            "effect": [1.0, -1.0, -2.0],
        }
    )
    found = shares(nodes, ["embed", "attn_0", "mlp_0", "resid_0"])
    assert found.interestingness == pytest.approx(0.339470, abs=1e-6)
    assert found.feature_share == pytest.approx(0.5)
    assert found.writer_ratio == pytest.approx(0.5)


def test_an_empty_circuit_has_no_shares() -> None:
    schema = {"site": pl.String, "feature": pl.Int32, "effect": pl.Float32}
    assert shares(pl.DataFrame(schema=schema), ["embed", "mlp_0"]) == (None, None, None)


def test_total_effect_is_that_of_the_whole_prompt(any_model: LanguageModel) -> None:
    model, examples = spliced.in_float64(any_model), make(CLEAN, PATCH)
    assert examples.patch is not None
    other = make(PATCH, CLEAN)
    other = type(examples)(other.clean, None, examples.answer, examples.patch_answer)
    expected = (spliced.metric(model, other, {}) - spliced.metric(model, examples, {})).mean()
    assert total_effect(model, examples, 5) == pytest.approx(float(expected.detach()), rel=1e-9)
    assert total_effect(model, make(CLEAN, None), 5) is None
    assert torch.is_grad_enabled()


def test_backward_edges_are_found() -> None:
    rows = [
        ("embed", 0, "attn_0", 1, True),
        ("embed", None, "resid_0", None, True),
        ("resid_0", 1, "y", None, True),
        ("attn_0", 0, "attn_0", 0, False),
        ("resid_0", 0, "attn_0", 0, False),
        ("embed", 2, "attn_0", 1, False),
    ]
    columns = ["up_site", "up_pos", "down_site", "down_pos", "forward"]
    edges = pl.DataFrame(rows, schema=columns, orient="row")
    found = backward_edges(edges, ["embed", "attn_0", "mlp_0", "resid_0"])
    assert found.height == 3
    assert not found["forward"].any()
