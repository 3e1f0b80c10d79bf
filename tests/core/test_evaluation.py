import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation, Status, metrics_of, notes_of


def evaluation(status: Status = "finished") -> Evaluation:
    return Evaluation(Architecture({"op": "conv"}), {}, status=status)


def test_metrics_are_the_finite_numbers_that_are_not_tunes() -> None:
    result = {
        "accuracy": 0.5,
        "float32": np.float32(0.25),
        "int64": np.int64(3),
        "flag": True,
        "loss": math.nan,
        "grad": -math.inf,
        "date": "today",
        "history": [1, 2],
        "config/lr": 0.1,
        "training_iteration": 3,
        "time_total_s": 1.0,
        "done": True,
        "complete": True,
        "failed": 1,
    }
    metrics = metrics_of(result)
    assert metrics == {"accuracy": 0.5, "float32": 0.25, "int64": 3.0, "flag": 1.0}
    assert {type(value) for value in metrics.values()} == {float}


def test_evaluations_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        evaluation().status = "failed"  # type: ignore[misc]
    assert [evaluation(status).ok for status in ("finished", "stopped", "failed")] == [True, True, False]


def test_notes_are_the_texts_that_are_not_tunes() -> None:
    result: dict[str, object] = {
        "accuracy": 0.5,
        "comment": "fine",
        "error": "",
        "hostname": "here",
        "val/best": "3",
        "empty": "",
    }
    assert notes_of({**result, "config/name": "x", "trial_id": "00001", "list": [1]}) == {
        "comment": "fine",
        "val/best": "3",
    }
    assert metrics_of({"error": 0.2, "flag": np.bool_(True)}) == {"error": 0.2, "flag": 1.0}
