"""Checks of settings."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from raynas.validate import is_number, make_plain, plain, plain_parts, require, require_whole, whole


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


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3), np.array(3), torch.tensor(3)])
def test_whole_numbers_of_any_kind_become_ints(value: object) -> None:
    number = whole("n", value, 1)
    assert number == 3 and type(number) is int


@pytest.mark.parametrize("value", [None, "3", 2.5, True, np.bool_(True), math.nan, math.inf, np.zeros(1), [3], 0, -1.0])
def test_what_is_no_whole_number_is_named(value: object) -> None:
    with pytest.raises(ValueError, match=r"^n must be a whole number of at least 1, got "):
        whole("n", value, 1)


def test_numbers_of_numpy_become_plain() -> None:
    values = (np.float64(0.1), np.int64(3), np.array(2), torch.tensor(0.5), "sgd", None)
    assert [type(plain(value)) for value in values] == [float, int, int, float, str, type(None)]
    array = np.zeros(2)
    assert plain(array) is array


def test_settings_become_plain() -> None:
    @dataclass(frozen=True)
    class Settings:
        epochs: int
        rate: float
        limit: "int | None"
        name: str = "x"

    given: Any = Settings(np.int64(3), np.float32(2.0), 4.0)  # type: ignore[arg-type]
    make_plain(given)
    assert given == Settings(3, 2.0, 4) and [type(v) for v in vars(given).values()] == [int, float, float, str]


def test_parts_become_plain() -> None:
    value = {"a": (np.int64(1), [np.float32(0.5)]), "b": np.int8(2), "c": {"d": "x"}}
    assert plain_parts(value) == {"a": (1, [0.5]), "b": 2, "c": {"d": "x"}}
    assert type(plain_parts(value)["a"][0]) is int and type(plain_parts(value)["a"][1][0]) is float
