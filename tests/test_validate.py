"""Checks of settings."""

import math

import pytest

from raynas.validate import is_number, require, require_whole


@pytest.mark.parametrize("value", [0, -3, 1.5])
def test_numbers(value: float) -> None:
    assert is_number(value)


@pytest.mark.parametrize("value", [True, "1", None, math.nan, math.inf])
def test_what_is_no_number(value: object) -> None:
    assert not is_number(value)


def test_rule_and_value_are_said() -> None:
    require(True, "x must be small", 9)
    with pytest.raises(ValueError, match=r"^x must be small, got 9$"):
        require(False, "x must be small", 9)


@pytest.mark.parametrize("value", [0, 1.0, True, "2", None])
def test_whole_numbers(value: object) -> None:
    require_whole("n", 1, 1)
    with pytest.raises(ValueError, match="n must be a whole number of at least 1, got"):
        require_whole("n", value, 1)
