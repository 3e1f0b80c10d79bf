"""Scores as trials report them."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from raynas.trials.scores import MAX_NOTE, checked_scores, number_of
from tests.trials.scripted import scripted


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"accuracy": float("nan")}, "accuracy is nan"),
        ({"accuracy": 0.5, "loss": float("inf")}, "loss is inf"),
        ({"accuracy": "0.5"}, "metric 'accuracy' must be a number, got '0.5'"),
        ({"accuracy": 0.5, "val": {"error": 1}, "loss": [1.0]}, "metric 'loss' must be a number, got [1.0]"),
        ({"accuracy": "high"}, "metric 'accuracy' must be a number, got 'high'"),
        ({"accuracy": 0.5, "done": 1}, "'done' cannot be the name of a metric"),
        ({}, "scores must be a dict of numbers"),
        (None, "scores must be a dict of numbers, got None"),
        ({"f1": 0.5}, "metric 'accuracy' is wanted, but what was reported is f1"),
    ],
)
def test_scores_are_checked(report: Any, expected: str) -> None:
    result = scripted(report)
    assert result["failed"] == 1 and expected in result["error"] and math.isnan(result["accuracy"])


def test_what_else_is_reported_is_a_note() -> None:
    extra = {"f1": float("-inf"), "best": "epoch 3", "per_class": [0.5, 0.7], "confusion": np.eye(2), "hint": None}
    result = scripted({"accuracy": 0.5, **extra, "long": "x" * 10_000}, epochs=1)
    assert not result["failed"] and result["accuracy"] == 0.5
    notes = {name: result[name] for name in extra}
    assert notes == {**notes, "f1": "-inf", "best": "epoch 3", "per_class": "[0.5, 0.7]", "hint": "None"}
    assert "1." in notes["confusion"] and len(result["long"]) == MAX_NOTE


def test_a_metric_that_is_asked_for_must_be_a_number() -> None:
    for value in ("0.5", float("nan"), [0.5]):
        result = scripted({"accuracy": 0.5, "f1": value}, metrics=("accuracy", "f1"))
        assert result["failed"] == 1 and "f1" in result["error"]


def test_nested_dicts_are_flattened_as_by_tune() -> None:
    result = scripted({"accuracy": 0.5, "val": {"loss": 0.3, "top": {"5": True}}}, metrics=("val/loss",), epochs=1)
    assert (result["val/loss"], result["val/top/5"]) == (0.3, 1.0)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *((True, 1.0), (np.bool_(False), 0.0), (np.float16(0.5), 0.5), (np.array([0.5]), 0.5), (Fraction(1, 4), 0.25)),
        *((torch.tensor(0.5, requires_grad=True), 0.5), (torch.tensor([[2]]), 2.0), (Decimal("0.1"), 0.1)),
        *(("0.5", None), (b"1", None), (None, None), ([1], None), (1j, None), (np.zeros(2), None)),
        *((torch.zeros(2), None), (10**400, None), (torch.tensor([]), None)),
    ],
)
def test_numbers_of_any_library(value: Any, number: float | None) -> None:
    assert number_of(value) == number


def test_scores_become_plain_floats() -> None:
    scores = checked_scores({"accuracy": np.float32(0.5), "loss": torch.tensor(2.0), "n": 3})
    assert scores == {"accuracy": 0.5, "loss": 2.0, "n": 3.0} and {type(v) for v in scores.values()} == {float}
