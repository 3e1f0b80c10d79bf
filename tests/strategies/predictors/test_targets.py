import math

import numpy as np
import pytest

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.strategies.predictors.targets import constraint_margins, log_regret


def test_the_warp_keeps_the_order_and_stretches_the_top() -> None:
    gaps = np.array([0.0, 0.1, 0.2, 10.0, 70.0])
    warped = log_regret(gaps)
    assert (np.diff(warped) < 0).all()
    assert warped.mean() == pytest.approx(0) and warped.std() == pytest.approx(1)
    assert (warped[0] - warped[2]) / (warped[0] - warped[4]) > 4 * 0.2 / 70
    assert (log_regret(np.zeros(3)) == 0).all()


def test_margins_of_costs_are_logarithmic() -> None:
    goal = Goal.parse("accuracy", ["params <= 100", "score >= -1"])
    told = [Evaluation(Architecture({"a": i}), {"params": 10.0**i, "score": -float(i)}) for i in range(1, 4)]
    margins, zero = constraint_margins(goal.constraints[0], told)
    assert list(margins) == pytest.approx([math.sqrt(1.5), 0, -math.sqrt(1.5)]) and zero == pytest.approx(0)
    margins, zero = constraint_margins(goal.constraints[1], told)
    assert (margins >= zero - 1e-9).tolist() == [True, False, False]
