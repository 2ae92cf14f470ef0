"""Numbers as pages say them."""

from __future__ import annotations

import pytest

from dashboards.numbers import first_of, nats, written


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (-0.003, ".2f", "0.00"),
        (-0.0, "g", "0"),
        (-0.006, ".2f", "−0.01"),
        (2.0, "+.3f", "+2.000"),
        (-0.0004, "+.3f", "+0.000"),
        (-1234.5, ",.1f", "−1,234.5"),
        (1e-7, ".3g", "1e−07"),
        (0.125, ".1%", "12.5%"),
    ],
)
def test_minus_is_a_minus_and_none_stands_before_a_zero(value: float, form: str, text: str) -> None:
    assert written(value, form) == text


def test_a_unit_follows_a_number_that_is_known() -> None:
    assert written(0.5, ".1f", "nats") == "0.5 nats"
    assert written(None, ".1f", "nats") == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12.3456, "12.346"),
        (0.0123, "0.012"),
        (0.0096, "0.0096"),
        (0.00038, "0.00038"),
        (0.0001, "0.00010"),
        (0.0000014, "0.0000014"),
        (3.2e-8, "3.2e−08"),
        (-0.0036, "−0.0036"),
        (0.0, "0.000"),
        (None, "–"),
    ],
)
def test_a_loss_has_two_digits_that_count(value: float | None, text: str) -> None:
    assert nats(value) == text


def test_a_loss_takes_a_sign_and_a_unit() -> None:
    assert nats(0.002, sign="+", unit="nats") == "+0.0020 nats"
    assert nats(-2.0, sign="+") == "−2.000"


def test_a_list_says_how_much_of_what_was_found_it_shows() -> None:
    assert first_of(200, 10_000) == "the first 200 of 10,000"
    assert first_of(24, 24) == "all 24"
    assert first_of(0, 0) == "none"
