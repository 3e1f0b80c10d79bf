"""Small networks and batches that the tests of zero-cost proxies share."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from raynas.metrics.zero_cost import (
    Batch,
)
from raynas.search_spaces import NASBench201

SPACE = NASBench201(channels=4, cells=1, input_shape=(3, 8, 8), n_classes=3)


DEAD_EDGES = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|nor_conv_3x3~0|none~1|none~2|"


"""Two convolutions lead to the output only through zeros."""


DISCONNECTED = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"


class Tiny(nn.Module):
    """Convolution, batch norm, ReLU, a layer that nothing uses, pooling, linear; with what a copy must not change."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 5, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(5)
        self.relu = nn.ReLU(inplace=True)
        self.unused = nn.Conv2d(2, 4, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.pool(self.relu(self.norm(self.conv(x)))).flatten(1))
        return out


def made(make: Callable[[], nn.Module] = Tiny, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return make()


def batch_of(n: int = 6, shape: tuple[int, ...] = (2, 4, 4), n_classes: int = 3, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(torch.randn((n, *shape), generator=generator), torch.arange(n) % n_classes)


def loss_and_weights(model: nn.Module, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return cross_entropy(model.train()(batch.inputs), batch.labels), weights


def weight_gradients(model: nn.Module, batch: Batch) -> list[tuple[Any, Any]]:
    """The weights and gradients of used layers, as numpy arrays, by plain ``backward``."""
    model = copy.deepcopy(model).double()
    loss, weights = loss_and_weights(model, Batch(batch.inputs.double(), batch.labels))
    loss.backward()
    return [(w.detach().numpy(), w.grad.numpy()) for w in weights if w.grad is not None]


def jacobian(model: nn.Module, images: Tensor) -> Any:
    model = copy.deepcopy(model).double().train()
    found = torch.autograd.functional.jacobian(lambda x: model(x).sum(), images.double())
    assert isinstance(found, Tensor)
    return found.flatten(1).numpy()


MODEL, BATCH = made(), batch_of()


close = partial(pytest.approx, rel=2e-4)
