"""Small searches that the tests of differentiable methods share."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from raynas.nn import Choice, ModelSpace, Supernet
from raynas.oneshot.base import Setup
from raynas.oneshot.differentiable import (
    Differentiable,
    DifferentiableLearner,
    Watch,
)
from raynas.search_spaces import DARTS
from tests.oneshot.spaces import batches, operations

QUIET = Watch(gap_batches=0, eigenvalue_every=0)


CELLS = DARTS(input_shape=(2, 6, 6), n_classes=2, channels=4, cells=3, n_nodes=2, affine=False)


class Wrong(nn.Module):
    """Noise in place of what comes in."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.0 + 3 * torch.randn_like(x)


class Right(nn.Module):
    """Lets everything through, and is no skip connection."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 1.0


def two_layers() -> nn.Module:
    choices = [Choice({"wrong": Wrong, "right": Right, "noisy": lambda: nn.Dropout(0.95)}) for _ in range(2)]
    pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(nn.Conv2d(2, 4, 1), *choices, *pool, nn.Linear(4, 2))


def smooth() -> ModelSpace:
    """Differences of gradients equal derivatives only where there are no kinks."""

    def operation() -> nn.Module:
        convs = {"tanh": lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh(), nn.BatchNorm2d(4))}
        return Choice({"skip": nn.Identity, **convs, "conv": lambda: nn.Conv2d(4, 4, 1)})

    def model() -> nn.Module:
        pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(nn.Conv2d(2, 4, 1), *(operation() for _ in range(3)), *pool, nn.Linear(4, 2))

    return ModelSpace(model, input_shape=(2, 6, 6))


@dataclass(frozen=True, kw_only=True)
class Chain(ModelSpace):
    """Cells in a row, each with the same two operations."""

    input_shape: tuple[int, ...] = (2, 6, 6)
    cells: int = 1

    def factory(self) -> nn.Module:
        cells = [Choice(operations(4), label=label) for _ in range(self.cells) for label in ("first", "second")]
        pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(nn.Conv2d(2, 4, 1), *cells, *pool, nn.Linear(4, 2))


def known() -> ModelSpace:
    return ModelSpace(two_layers, input_shape=(2, 6, 6))


def start(method: Differentiable, space: ModelSpace, **changed: Any) -> DifferentiableLearner:
    torch.manual_seed(0)
    supernet = Supernet(space, partial_channels=method.partial_channels)
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.05, momentum=0.9, weight_decay=3e-4)
    return method.start(replace(Setup(supernet=supernet, optimizer=optimizer, n_epochs=4, n_steps=2), **changed))


def selection_of(learner: DifferentiableLearner) -> dict[str, Any]:
    return dict(learner.relaxed.selection(learner.relaxed.weights(learner.progress), learner.progress))


def run_epoch(learner: DifferentiableLearner, n_steps: int | None = None) -> dict[str, float]:
    learner.begin_epoch()
    n = n_steps or learner.setup.n_steps
    train, valid = (batches(n, seed=100 * learner.epoch + i) for i in range(2))
    for one, two in zip(train, valid, strict=True):
        learner.step(one, two if learner.method.uses_valid else None)
    return dict(learner.end_epoch(lambda: valid))


def run(method: Differentiable, space: ModelSpace, **changed: Any) -> DifferentiableLearner:
    learner = start(method, space, **changed)
    for _ in range(learner.setup.n_epochs):
        run_epoch(learner)
    return learner


FAST: dict[str, Any] = {"arch_lr": 0.1, "arch_weight_decay": 0.0, "watch": QUIET, "warmup": 0.0}
