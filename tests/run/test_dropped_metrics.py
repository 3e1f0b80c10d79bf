"""Reported values that are no metrics are named, each once."""

import logging
import math

import numpy as np
import pytest

from raynas.run.dropped_metrics import DroppedMetrics


def test_each_is_named_once_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    dropped = DroppedMetrics({"accuracy", "energy_mj"})
    with caplog.at_level(logging.WARNING):
        for epoch in (1, 2):
            dropped(
                {
                    "accuracy": math.nan,
                    "energy_mj": math.nan,
                    "f1": -math.inf,
                    "comment": "fine",
                    "per_class": [0.5] * 1000,
                    "matrix": np.eye(2),
                    "loss": 0.1,
                    "flag": True,
                    "training_iteration": epoch,
                    "hostname": "here",
                    "error": "",
                    "derived": "",
                    "config/lr": "high",
                    "time_total_s": math.nan,
                }
            )
    said = [record.getMessage() for record in caplog.records]
    assert said[:2] == [
        "'f1' is no metric, because a trial reported -inf for it; it is dropped",
        "'comment' is no metric, because a trial reported 'fine' for it; it is kept as a note",
    ]
    assert [text.split("'")[1] for text in said[2:]] == ["per_class", "matrix"] and max(map(len, said)) < 200
