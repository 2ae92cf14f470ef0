"""Scores by hand."""

from __future__ import annotations

import pytest
import torch

from dagster_project.interp.scores import score


def _tensors(*values: list[float]) -> list[torch.Tensor]:
    return [torch.tensor(v) for v in values]


def test_score_by_hand() -> None:
    # F(M) = 4, F(C) = 3, F(∅) = 1, F(complement) = 1.5: (3 − 1)/(4 − 1), (1.5 − 1)/(4 − 1)
    f = _tensors([3.0, 5.0], [2.0, 4.0], [1.0, 1.0], [1.0, 2.0])
    assert score(*f) == pytest.approx((4, 3, 1, 1.5, 2 / 3, 1 / 6, *[None] * 4))


def test_interval_by_hand() -> None:
    # Resamples of (a, a), (a, b), (b, b): a gives (2 − 1)/(3 − 1) = 1/2, b gives 3/4, both 2/3
    model, circuit, empty, complement = _tensors([3.0, 5.0], [2.0, 4.0], [1.0, 1.0], [1.0, 2.0])
    weights = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    found = score(model, circuit, empty, complement, weights)
    # 5 % and 95 % between the three: 1/2 + 0.1·(2/3 − 1/2), 3/4 − 0.1·(3/4 − 2/3)
    assert found.low == pytest.approx(0.5 + 0.1 / 6)
    assert found.high == pytest.approx(0.75 - 0.1 / 12)
    # The complement: a gives (1 − 1)/2 = 0, b gives (2 − 1)/4 = 1/4, both (1.5 − 1)/3 = 1/6
    assert found.completeness_low == pytest.approx(0.1 / 6)
    assert found.completeness_high == pytest.approx(0.25 - 0.1 / 12)


@pytest.mark.parametrize(("empty", "null"), [(0.96, True), (0.94, False), (1.0, True)])
def test_no_score_when_the_model_is_close_to_the_empty_circuit(empty: float, null: bool) -> None:
    found = score(*_tensors([1.0], [0.9], [empty], [0.5]))
    assert (found.faithfulness is None) is null
    assert (found.completeness is None) is null


def test_no_score_where_nothing_differs_from_zero() -> None:
    assert score(*_tensors([0.0], [0.0], [0.0], [0.0])).faithfulness is None


def test_no_interval_where_a_resample_has_no_divisor() -> None:
    model, circuit, empty, complement = _tensors([1.0, 5.0], [2.0, 4.0], [1.0, 1.0], [1.0, 2.0])
    found = score(model, circuit, empty, complement, torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    assert (found.low, found.high) == (None, None)
    assert found.faithfulness == pytest.approx(1.0)
