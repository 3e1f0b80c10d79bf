"""Perturbations of the architecture weights."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from raynas.oneshot.differentiable import (
    AdversarialPerturbation,
    RandomPerturbation,
)
from raynas.oneshot.differentiable.perturbation import Weights


class TestPerturbation:
    weights: ClassVar[Weights] = {"a": torch.tensor([0.5, 0.3, 0.2]), "b": torch.tensor([0.5, 0.5])}

    @staticmethod
    def loss(weights: Weights) -> Tensor:
        return weights["a"] @ torch.tensor([-1.0, -1.0, 5.0])

    def test_random(self) -> None:
        torch.manual_seed(0)
        for progress, radius in ((0.0, 0.03), (1.0, 0.3)):
            moved = RandomPerturbation()(self.weights, self.loss, progress)
            for name, vector in moved.items():
                assert float(vector.sum()) == pytest.approx(1) and float(vector.min()) >= 0
                assert 0 < float((vector - self.weights[name]).abs().max()) < 2.5 * radius
        assert torch.equal(RandomPerturbation(first=0, last=0)(self.weights, self.loss, 1)["b"], self.weights["b"])

    def test_adversarial_raises_the_loss_more_than_noise_does(self) -> None:
        torch.manual_seed(0)
        noisy = [float(self.loss(RandomPerturbation()(self.weights, self.loss, 0.5))) for _ in range(20)]
        worst = [float(self.loss(AdversarialPerturbation()(self.weights, self.loss, 0.5))) for _ in range(5)]
        assert min(worst) > max(noisy) and min(worst) > float(self.loss(self.weights))

    def test_an_attack_that_lowered_the_loss_is_taken_back(self) -> None:
        """The sign of the gradient at the start says the wrong way: every step away from the start lowers the loss."""
        peak = self.weights["a"]

        def loss(weights: Weights) -> Tensor:
            return -(weights["a"] - peak).abs().sum()

        torch.manual_seed(0)
        moved = AdversarialPerturbation(n_steps=1)(self.weights, loss, 1.0)
        assert all(torch.equal(moved[name], weight) for name, weight in self.weights.items())

    def test_refuses(self) -> None:
        with pytest.raises(ValueError, match="0 <= first <= last <= 1"):
            RandomPerturbation(first=0.5, last=0.1)
        with pytest.raises(ValueError, match="at least 1 step"):
            AdversarialPerturbation(n_steps=0)
