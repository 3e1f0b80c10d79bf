"""Regularisers against their formulas."""

import math

import pytest
import torch

from raynas.oneshot.differentiable import (
    DirichletAnchor,
    Entropy,
    ZeroOne,
)


class TestRegularisers:
    def test_zero_one_is_least_at_zero_and_one(self) -> None:
        """Equation 3: -1/N sum (sigmoid(a) - 0.5)^2; -0.25 at the ends, 0 in the middle."""
        assert float(ZeroOne(weight=1)([torch.zeros(3)])) == 0
        assert float(ZeroOne(weight=10)([torch.tensor([50.0, -50.0]), torch.tensor([0.0, 0.0])])) == -1.25
        alpha = torch.tensor([0.1, -0.1], requires_grad=True)
        ZeroOne()([alpha]).backward()
        assert alpha.grad is not None and alpha.grad[0] < 0 < alpha.grad[1]

    def test_anchor_is_zero_at_the_uniform_distribution(self) -> None:
        assert float(DirichletAnchor()([torch.zeros(4)])) == pytest.approx(0, abs=1e-7)
        # KL(Dir(2, 1) || Dir(1, 1)) = ln 2 + digamma(2) - digamma(3) = ln 2 - 1/2.
        assert float(DirichletAnchor(weight=3)([torch.tensor([1.0, 0.0])])) == pytest.approx(3 * (math.log(2) - 0.5))

    def test_entropy(self) -> None:
        assert float(Entropy(weight=1)([torch.zeros(4), torch.zeros(2)])) == pytest.approx(math.log(8))

    def test_refuses_negative_weights(self) -> None:
        with pytest.raises(ValueError, match="must not be negative"):
            ZeroOne(weight=-1)
