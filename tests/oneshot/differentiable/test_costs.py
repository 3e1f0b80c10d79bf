"""Expected costs in the loss."""

import math

import pytest
import torch
from torch import Tensor

from raynas.oneshot.differentiable import (
    ExpectedCost,
)


def test_forms_of_a_cost() -> None:
    loss, expected = torch.tensor(2.0), torch.tensor(30.0)

    def applied(form: str, at: Tensor = expected) -> float:
        return float(ExpectedCost(target=20, weight=0.5, form=form).applied(loss, at))  # type: ignore[arg-type]

    assert applied("absolute") == pytest.approx(2 + 0.5 * 0.5)
    assert applied("absolute", torch.tensor(10.0)) == pytest.approx(2 + 0.5 * 0.5)
    assert applied("linear") == pytest.approx(2 + 0.5 * 1.5)
    assert applied("log") == pytest.approx(2 + 0.5 * math.log(1.5))
    assert applied("power") == pytest.approx(2 * 1.5**0.5)
    for settings, match in (({"target": 0}, "positive"), ({"weight": -1}, "positive"), ({"form": "x"}, "form must")):
        with pytest.raises(ValueError, match=match):
            ExpectedCost(**settings)
