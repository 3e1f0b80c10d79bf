"""Supernets with elastic widths."""

import torch
from torch import Tensor, nn

from raynas.nn import (
    Choice,
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    ElasticSqueezeExcite,
    ModelSpace,
    Repeat,
    Size,
    Supernet,
)

WIDTH = (4, 6, 8)


class Block(nn.Module):
    """An inverted bottleneck: its inner channels are free."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = ElasticConv2d(6, Size(WIDTH), bias=True)
        self.norm = ElasticBatchNorm2d(8)
        self.depthwise = ElasticConv2d(8, None, Size((3, 5)), group_width=1, bias=True)
        self.attention = Choice({"se": lambda: ElasticSqueezeExcite(8, divisor=2), "plain": nn.Identity})
        self.project = Choice({"one": lambda: ElasticConv2d(8, 6), "two": lambda: ElasticConv2d(8, 6, 3)})

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.norm(self.expand(x)))
        total: Tensor = x + self.project(self.attention(self.depthwise(out)))
        return total


class Residual(nn.Module):
    """A stem and blocks whose outputs are added: their channels go together."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ElasticConv2d(2, Size(WIDTH, label="stage"))
        self.blocks = Repeat(lambda i: ElasticConv2d(8, Size(WIDTH, label="stage"), 3), 1, 2)
        self.head = ElasticLinear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.blocks(x).tanh()
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class Unsafe(nn.Module):
    """Widths whose channels cannot change places, each for a reason of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = ElasticConv2d(2, Size(WIDTH, label="grouped"))
        self.pairs = ElasticConv2d(8, None, 1, group_width=2)
        self.after = ElasticConv2d(8, 2)
        self.joined = ElasticConv2d(2, Size(WIDTH, label="joined"))
        self.reader = ElasticConv2d(10, 2)
        self.weighed = ElasticConv2d(2, Size(WIDTH, label="weighed"))
        self.last = ElasticConv2d(8, 2)
        self.out = ElasticConv2d(2, Size(WIDTH, label="out"))

    def forward(self, x: Tensor) -> Tensor:
        x = self.after(self.pairs(self.grouped(x)))
        x = self.reader(torch.cat([x, self.joined(x)], dim=1))
        wide = self.weighed(x)
        x = self.last(wide * torch.arange(1.0, wide.shape[1] + 1, device=x.device).to(x.dtype).view(1, -1, 1, 1))
        out: Tensor = self.out(x).mean((2, 3))
        return out


def supernet_of(model: type[nn.Module], channels: int = 2) -> Supernet:
    torch.manual_seed(0)
    supernet = Supernet(ModelSpace(model, input_shape=(channels, 5, 5))).eval()
    for tensor in (*supernet.parameters(), *(b for b in supernet.buffers() if b.is_floating_point())):
        tensor.data = torch.rand_like(tensor) + 0.5
    for parameter in supernet.parameters():
        parameter.data -= torch.rand_like(parameter) * 2
    return supernet


def images(channels: int) -> Tensor:
    return torch.randn(3, channels, 5, 5, generator=torch.Generator().manual_seed(1))
