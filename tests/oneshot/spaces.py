"""Small models with choices, and a task that they learn in a few steps."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from raynas.nn import (
    Choice,
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    ElasticResize,
    ElasticSqueezeExcite,
    InputChoice,
    ModelSpace,
    Repeat,
    Size,
    ratio,
)
from raynas.nn.factories import ModuleFactory

Batch = tuple[Tensor, Tensor]


def operations(channels: int) -> Mapping[str, ModuleFactory]:
    def conv(kernel: int) -> nn.Module:
        body = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
        return nn.Sequential(nn.ReLU(), body, nn.BatchNorm2d(channels))

    return {"skip": nn.Identity, "conv1": lambda: conv(1), "conv3": lambda: conv(3)}


def operation(label: str | None = None) -> Choice:
    return Choice(operations(8), label, narrow=lambda k: operations(8 // k))


class Bottleneck(nn.Module):
    """Elastic expansion and kernel, as in Once-for-All; the channels between are free, those outside are added."""

    def __init__(self, width: int | Size = 8) -> None:
        super().__init__()
        self.expand = ElasticConv2d(8, ratio((1, 1.5, 2), divisor=2))
        self.norm = ElasticBatchNorm2d(16)
        self.depthwise = ElasticConv2d(16, None, Size((3, 5)), group_width=1)
        self.attention = Choice({"se": lambda: ElasticSqueezeExcite(16, divisor=2), "plain": nn.Identity})
        self.project = ElasticConv2d(16, width, bias=True)
        self.out_norm = ElasticBatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.norm(self.expand(x)))
        out = self.out_norm(self.project(self.attention(self.depthwise(out))))
        total: Tensor = out + x if out.shape == x.shape else out
        return total


class Everything(nn.Module):
    """Every kind of choice."""

    def __init__(self) -> None:
        super().__init__()
        self.resize = ElasticResize(2, Size((4, 6), label="side"))
        self.stem = nn.Conv2d(2, 8, 3, padding=1)
        self.operation = operation()
        self.node = InputChoice(2, 1, edge=lambda i: operation(f"edge_{i}"), label="node")
        self.body = Repeat(lambda i: Bottleneck(), 1, 3, label="depth")
        self.neck = ElasticConv2d(8, Size((4, 8), label="width"), bias=True)
        self.head = ElasticLinear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(self.resize(x))
        x = self.node(self.operation(x), x)
        out: Tensor = self.head(self.neck(self.body(x)).relu().mean((2, 3)))
        return out


class Operations(nn.Module):
    """Choices alone, two of them with three options and one with two."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, padding=1)
        self.first = operation()
        self.second = operation()
        self.pool = Choice({"max": lambda: nn.MaxPool2d(2), "mean": lambda: nn.AvgPool2d(2)})
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.pool(self.second(self.first(self.stem(x)))).mean((2, 3)))
        return out


def everything() -> ModelSpace:
    return ModelSpace(Everything, input_shape=(2, 6, 6))


def only_operations() -> ModelSpace:
    return ModelSpace(Operations, input_shape=(2, 6, 6))


def batches(n: int, seed: int = 0, size: int = 8) -> list[Batch]:
    """The class of an image is that of its brighter channel."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(n):
        labels = torch.randint(2, (size,), generator=generator)
        images = torch.randn(size, 2, 6, 6, generator=generator)
        images[torch.arange(size), labels] += 1
        made.append((images, labels))
    return made
