"""The sandwich rule with in-place distillation (Yu et al., "BigNAS", ECCV 2020, arXiv:2003.11142)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from raynas.converting import ConvertedSpace
from raynas.core.architecture import Architecture
from raynas.errors import SettingError
from raynas.oneshot.base import Batch, OneShot, Setup
from raynas.oneshot.extremes import largest, smallest
from raynas.oneshot.single_path import SinglePathLearner


@dataclass(frozen=True, kw_only=True)
class Sandwich(OneShot):
    """The largest, the smallest and some random subnets in each step (BigNAS; Yu et al., ECCV 2020, arXiv:2003.11142).

    The largest learns from the labels, or from a teacher where the training has one; the others from what it predicts
    for the same batch. Gradients are summed.
    BigNAS also takes weight decay and dropout off all subnets but the largest; that is a matter of the optimizer and
    the model, and not done here. Without distillation this is the sandwich rule of universally slimmable networks
    (Yu and Huang, ICCV 2019, arXiv:1903.05134).

    Args:
        n_random: how many random subnets besides the two, at least 0; the paper has 2.
        distillation: whether the others learn from the largest instead of from the labels.
        zero_branches: whether the last batch norm of each residual branch starts with weights of 0, as in the paper;
            a branch is the ``body`` of a module with a true ``residual`` or a ``shortcut`` that is an identity. Weights
            of a given model stay as they are.
    """

    n_random: int = 2
    distillation: bool = True
    zero_branches: bool = True

    def __post_init__(self) -> None:
        if self.n_random < 0:
            raise SettingError(f"n_random must be at least 0, got {self.n_random}")

    def start(self, setup: Setup) -> "SandwichLearner":
        if self.zero_branches and not isinstance(setup.supernet.space, ConvertedSpace):
            zero_branches(setup.supernet)
        return SandwichLearner(setup, self)


@torch.no_grad()
def zero_branches(model: nn.Module) -> None:
    """Start residual branches at zero: set the weights of the last batch norm of each to 0 (Goyal et al., 2017).

    Args:
        model: holds the branches as ``body`` of modules that add their input to it.
    """
    for module in model.modules():
        body, shortcut = getattr(module, "body", None), getattr(module, "shortcut", None)
        if isinstance(body, nn.Module) and (getattr(module, "residual", False) or isinstance(shortcut, nn.Identity)):
            norms = [part for part in body.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
            if norms and norms[-1].affine:
                norms[-1].weight.zero_()


class SandwichLearner(SinglePathLearner):
    """Carries ``Sandwich`` out."""

    def __init__(self, setup: Setup, settings: Sandwich) -> None:
        super().__init__(setup)
        self.settings = settings
        self.largest = largest(self.supernet)
        self.smallest = smallest(self.supernet)

    def update(self, train: Batch, valid: Batch | None) -> Tensor:
        inputs, targets = train
        teacher = self.logits(inputs, self.largest)
        loss = self.supervised(targets)(teacher)
        loss.backward()
        loss_of = self._loss_of_others(targets, teacher.detach())
        losses = [loss.detach(), *(self.accumulate(inputs, arch, loss_of) for arch in self._others())]
        self.apply_gradients()
        return torch.stack(losses).mean()

    def _loss_of_others(self, targets: Any, teacher: Tensor) -> Callable[[Tensor], Tensor]:
        if self.settings.distillation:
            return lambda outputs: self.setup.imitation(outputs, teacher, targets)
        return self.supervised(targets)

    def _others(self) -> Iterator[Architecture]:
        yield self.smallest
        for _ in range(self.settings.n_random):
            yield self.random_subnet()
