"""Networks whose layers are widened and deepened."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.nn.modes import evaluating


def conv_bn(n_in: int, n_out: int, kernel: int = 3, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_out))


class Plain(nn.Module):
    """Convolutions, batch norm, pooling, an image flattened into a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(6, 5, 3, stride=2)
        self.drop = nn.Dropout(0.3)
        self.hidden = nn.Linear(20, 12)
        self.bn3 = nn.BatchNorm1d(12)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.relu1(self.bn1(self.conv1(x))), 2)
        x = self.drop(functional.relu(self.conv2(x)))
        x = x.view(x.size(0), -1)
        out: Tensor = self.head(functional.gelu(self.bn3(self.hidden(x))))
        return out


class Residual(nn.Module):
    """A sum of what a stem and two branches give; widening any of the three widens all."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(2, 6)
        self.first = nn.Sequential(nn.ReLU(), *conv_bn(6, 4), nn.ReLU(inplace=True), *conv_bn(4, 6))
        self.second = nn.Sequential(nn.SiLU(), *conv_bn(6, 6))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.first(x)
        x = torch.add(x, self.second(x))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class Joined(nn.Module):
    """A concatenation of branches, one of them used twice, in front of a batch norm, a sum and a flattened head."""

    def __init__(self) -> None:
        super().__init__()
        self.left = conv_bn(2, 3)
        self.right = conv_bn(2, 4)
        self.norm = nn.BatchNorm2d(10)
        self.shortcut = nn.Conv2d(2, 10, 1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(40, 3))

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.left(x), self.right(x)
        joined = functional.relu(self.norm(torch.cat([left, right, left], dim=1)))
        out: Tensor = self.head(joined + self.shortcut(x))
        return out


class Depthwise(nn.Module):
    """An inverted bottleneck with squeeze-and-excitation and a depthwise layer that doubles its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = conv_bn(2, 6, 1)
        self.depthwise = conv_bn(6, 6, groups=6)
        self.squeeze = nn.Conv2d(6, 2, 1)
        self.excite = nn.Conv2d(2, 6, 1)
        self.twofold = nn.Conv2d(6, 12, 3, groups=6)
        self.project = conv_bn(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu6(self.expand(x))
        x = functional.hardswish(self.depthwise(x))
        gate = functional.relu(self.squeeze(functional.adaptive_avg_pool2d(x, 1)))
        x = x * torch.sigmoid(self.excite(gate))
        out: Tensor = self.project(self.twofold(x)).flatten(2).mean(-1)
        return out


class Spatial(nn.Module):
    """A gate of one channel, images joined by their height, and an instance norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.norm = nn.InstanceNorm2d(4, affine=True)
        self.gate = nn.Conv2d(4, 1, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.norm(self.conv(x)))
        x = torch.cat([x * self.gate(x).sigmoid(), functional.pad(x, (0, 0, 1, 2))], dim=2)
        out: Tensor = self.head(x.mean(-1).amax(2))
        return out


def trained(make: Callable[[], nn.Module]) -> tuple[nn.Module, Tensor]:
    """A network with batch statistics and scales that are no accident, and a batch for it."""
    torch.manual_seed(0)
    model = make()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for parameter in module.parameters():
                nn.init.uniform_(parameter, 0.5, 1.5)
    example = torch.randn(8, 2, 10, 10) + 0.3
    for _ in range(5):
        model.train()(example)
    return model, example


def result(model: nn.Module, x: Tensor) -> Tensor:
    with evaluating(model):
        out: Tensor = model(x)
    return out


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


class TwoJoined(nn.Module):
    """A sum of a concatenation and of one layer, which cannot choose its units freely."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 3, 1)
        self.whole = nn.Conv2d(2, 5, 1)
        self.head = nn.Conv2d(5, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.cat((self.left(x), self.right(x)), 1) + self.whole(x))
        return out
