"""A space with one decision of each kind, and a parent that a child inherits from."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from raynas.core.architecture import Option
from raynas.nn import Choice, ModelSpace, Repeat
from raynas.nn.modes import evaluating
from raynas.nn.morphism.inheritance import Inheritance
from raynas.nn.morphism.lineage import inherit_between

Arch = Mapping[str, Option]


def result(model: nn.Module, x: Tensor) -> Tensor:
    with evaluating(model):
        out: Tensor = model(x)
    return out


def conv(n_in: int, n_out: int, kernel: int = 3) -> nn.Sequential:
    layer = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(n_out), nn.ReLU())


class Block(nn.Module):
    """A residual block of He et al.: ReLU behind the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*conv(channels, channels), nn.Conv2d(channels, channels, 3, padding=1), nn.Dropout())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (x + self.body(x)).relu()
        return out


class Net(nn.Module):
    """One decision of each kind."""

    def __init__(self) -> None:
        super().__init__()
        widths = {f"w{n}": partial(nn.Conv2d, 2, n, 3, padding=1) for n in (4, 6)}
        self.stem = Choice(widths)
        self.norm = nn.Sequential(nn.LazyBatchNorm2d(), nn.ReLU())
        self.mix = nn.LazyConv2d(5, 1)
        self.act = nn.ReLU()
        self.kernel = Choice(
            {"k3": lambda: conv(5, 5, 3), "k5": lambda: conv(5, 5, 5), "pool": lambda: nn.AvgPool2d(1)}
        )
        self.plain = Repeat(lambda i: conv(5, 5), 1, 3)
        self.blocks = Repeat(lambda i: Block(5), 0, 2)
        self.squashing = Repeat(lambda i: nn.Sequential(nn.Conv2d(5, 5, 1), nn.Tanh()), 1, 2)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.kernel(self.act(self.mix(self.norm(self.stem(x)))))
        out: Tensor = self.head(self.squashing(self.blocks(self.plain(x))).mean((2, 3)))
        return out


SPACE = ModelSpace(Net, input_shape=(2, 8, 8))


ARCH: Arch = {"stem": "w4", "kernel": "k3", "plain": 1, "blocks": 1, "squashing": 1}


def parent_of(space: ModelSpace = SPACE, arch: Arch = ARCH) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    parent, example = space.build(arch), torch.randn(16, 2, 8, 8)
    for _ in range(10):
        parent.train()(example)
    return parent, example


def inherited(change: Arch) -> tuple[Inheritance, nn.Module, nn.Module, Tensor]:
    parent, example = parent_of()
    child = SPACE.build({**ARCH, **change})
    report = inherit_between(SPACE, ARCH, parent, {**ARCH, **change}, child, input_example=example)
    return report, parent, child, torch.randn(4, 2, 8, 8)
