"""The sandwich rule with in-place distillation (Yu et al., "BigNAS", ECCV 2020, arXiv:2003.11142)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from raynas.core.architecture import Architecture
from raynas.oneshot.base import Batch, OneShot, Setup
from raynas.oneshot.extremes import largest, smallest
from raynas.oneshot.single_path import SinglePathLearner


@dataclass(frozen=True, kw_only=True)
class Sandwich(OneShot):
    """The largest, the smallest and some random subnets in each step (BigNAS; Yu et al., ECCV 2020, arXiv:2003.11142).

    The largest learns from the labels; the others from what it predicts for the same batch. Gradients are summed.
    BigNAS also takes weight decay and dropout off all subnets but the largest, and starts residual branches at zero;
    both are matters of the optimizer and the model, and not done here. Without distillation this is the sandwich rule
    of universally slimmable networks (Yu and Huang, ICCV 2019, arXiv:1903.05134).

    Args:
        n_random: how many random subnets besides the two, at least 0; the paper has 2.
        distillation: whether the others learn from the largest instead of from the labels.
    """

    n_random: int = 2
    distillation: bool = True

    def __post_init__(self) -> None:
        if self.n_random < 0:
            raise ValueError(f"n_random must be at least 0, got {self.n_random}")

    def start(self, setup: Setup) -> "SandwichLearner":
        return SandwichLearner(setup, self)


class SandwichLearner(SinglePathLearner):
    """Carries ``Sandwich`` out."""

    def __init__(self, setup: Setup, settings: Sandwich) -> None:
        super().__init__(setup)
        self.settings = settings
        self.largest = largest(self.supernet)
        self.smallest = smallest(self.supernet)

    def update(self, train: Batch, valid: Batch | None) -> Tensor:
        images, labels = train
        teacher = self.logits(images, self.largest)
        loss = self.supervised(labels)(teacher)
        loss.backward()
        loss_of = self._loss_of_others(labels, teacher)
        losses = [loss.detach(), *(self.accumulate(images, arch, loss_of) for arch in self._others())]
        self.apply_gradients()
        return torch.stack(losses).mean()

    def _loss_of_others(self, labels: Tensor, teacher: Tensor) -> Callable[[Tensor], Tensor]:
        if self.settings.distillation:
            return partial(functional.cross_entropy, target=teacher.detach().softmax(dim=1))
        return self.supervised(labels)

    def _others(self) -> Iterator[Architecture]:
        yield self.smallest
        for _ in range(self.settings.n_random):
            yield self.supernet.space.sample(self.rng)
