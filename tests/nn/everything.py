"""A model with every kind of choice."""

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
    Supernet,
    ratio,
)


def conv_bn(kernel: int) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, kernel, padding=kernel // 2), nn.BatchNorm2d(4))


class Bottleneck(nn.Module):
    def __init__(self, i: int) -> None:
        super().__init__()
        hidden = 12
        self.expand = ElasticConv2d(8, ratio((1.0, 1.5), divisor=4), 1)
        self.norm = ElasticBatchNorm2d(hidden)
        self.depthwise = ElasticConv2d(hidden, None, Size((3, 5, 7)), group_width=1, bias=True)
        self.attention = Choice({"se": lambda: ElasticSqueezeExcite(hidden), "none": nn.Identity})
        self.project = ElasticConv2d(hidden, Size((4, 8), label="width"), 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, : x.shape[1]]
        out: Tensor = self.project(self.attention(self.depthwise(torch.relu(self.norm(self.expand(x))))))
        return out


class Everything(nn.Module):
    """Every kind of choice, nested, shared and elastic."""

    def __init__(self) -> None:
        super().__init__()
        self.resize = ElasticResize(3, Size((6, 8), label="resolution"))
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = Choice(
            {
                "conv": lambda: nn.Sequential(Choice({"k1": lambda: conv_bn(1), "k3": lambda: conv_bn(3)})),
                "half": nn.Tanh,
            },
            null=True,
        )
        self.node = InputChoice(
            3, 2, edge=lambda i: Choice({"skip": nn.Identity, "conv": lambda: conv_bn(3)}, label=f"edge_{i}")
        )
        self.widen = nn.Conv2d(4, 8, 1)
        self.body = Repeat(Bottleneck, 1, 3, label="depth")
        self.aliases = [self.stem, self.widen]  # References of the user's own must stay right.
        self.head = ElasticLinear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.aliases[0](self.resize(x))
        x = self.node(x, self.block(x), -x)
        out: Tensor = self.head(self.body(self.aliases[1](x)).mean((2, 3)))
        return out


def images(n: int = 3) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def supernet_with_statistics(space: ModelSpace) -> Supernet:
    """Make a supernet in evaluation mode with statistics that a mistake would show."""
    torch.manual_seed(0)
    net = Supernet(space)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return net.eval()
