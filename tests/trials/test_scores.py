"""Scores as trials report them."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from raynas.trials.scores import checked_scores
from tests.trials.scripted import scripted


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"accuracy": float("nan")}, "accuracy is nan"),
        ({"accuracy": 0.5, "loss": float("inf")}, "loss is inf"),
        ({"accuracy": 0.5, "f1": float("-inf")}, "f1 is -inf"),
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


def test_scores_become_plain_floats() -> None:
    scores = checked_scores({"accuracy": np.float32(0.5), "loss": torch.tensor(2.0), "n": 3})
    assert scores == {"accuracy": 0.5, "loss": 2.0, "n": 3.0} and {type(v) for v in scores.values()} == {float}
