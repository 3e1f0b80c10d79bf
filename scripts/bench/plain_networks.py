"""Plain implementations of the spaces of NAS-Bench-201 and of once-for-all, as the papers' repositories do it.

NCHW, all operations of an edge in a module list, elastic layers that slice their weights at each call.
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raynas.core.architecture import Architecture

EDGES = [(source, target) for target in range(1, 4) for source in range(target)]
OPERATIONS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


# --- NAS-Bench-201, plain ---------------------------------------------------------------------------------------------


class Zero(nn.Module):
    """The operation "none"."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul(0.0)


def relu_conv_bn(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(n_out))


class Cell(nn.Module):
    """Four nodes, with all operations on every edge."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict()
        for source, target in EDGES:
            self.edges[f"edge_{source}_{target}"] = nn.ModuleList(
                [
                    Zero(),
                    nn.Identity(),
                    relu_conv_bn(channels, channels, 1),
                    relu_conv_bn(channels, channels, 3),
                    nn.AvgPool2d(3, 1, 1, count_include_pad=False),
                ]
            )

    def forward(self, x: Tensor, mix: Callable[[str, Sequence[nn.Module], Tensor], Tensor]) -> Tensor:
        nodes = [x]
        for target in range(1, 4):
            names = [f"edge_{source}_{target}" for source in range(target)]
            edges = [mix(n, cast(Sequence[nn.Module], self.edges[n]), nodes[i]) for i, n in enumerate(names)]
            nodes.append(cast(Tensor, sum(edges)))
        return nodes[-1]


class Reduction(nn.Module):
    """The block between stages."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = relu_conv_bn(channels, 2 * channels, 3, 2)
        self.second = relu_conv_bn(2 * channels, 2 * channels, 3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, 2 * channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.second(self.first(x)) + self.shortcut(x))


class PlainCells(nn.Module):
    """The network of NAS-Bench-201 with all operations."""

    def __init__(self, channels: int, cells: int, gdas: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.body = nn.ModuleList()
        for stage in range(3):
            width = channels * 2**stage
            self.body.extend([Reduction(width // 2)] if stage else [])
            self.body.extend(Cell(width) for _ in range(cells))
        self.norm = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Linear(width, 10)
        self.alpha = nn.ParameterDict({f"edge_{s}_{t}": nn.Parameter(1e-3 * torch.randn(5)) for s, t in EDGES})
        self.gdas = gdas

    def forward(self, x: Tensor, arch: Architecture) -> Tensor:
        hard = {name: F.gumbel_softmax(alpha, tau=5.0, hard=True) for name, alpha in self.alpha.items()}

        def mix(name: str, ops: Sequence[nn.Module], x: Tensor) -> Tensor:
            if not self.gdas:
                return cast(Tensor, ops[OPERATIONS.index(str(arch[name]))](x))
            chosen = int(hard[name].argmax())
            # As published: the chosen one is computed, and the weights of the others get a gradient too.
            terms = [w * ops[i](x) if i == chosen else w for i, w in enumerate(hard[name].unbind())]
            return cast(Tensor, sum(terms))

        x = self.stem(x)
        for part in self.body:
            x = part(x, mix) if isinstance(part, Cell) else part(x)
        return cast(Tensor, self.head(self.norm(x).mean((2, 3))))


# --- the once-for-all space, plain ------------------------------------------------------------------------------------


class PlainConv(nn.Module):
    """An elastic convolution with its batch norm."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 1, stride: int = 1, depthwise: bool = False) -> None:
        super().__init__()
        self.stride, self.depthwise = stride, depthwise
        self.conv = nn.Conv2d(n_in, n_out, kernel, bias=False, groups=n_in if depthwise else 1)
        self.norm = nn.BatchNorm2d(n_out, eps=0.001, momentum=0.01)
        if depthwise and kernel == 7:
            self.to_5 = nn.Parameter(torch.eye(25))
            self.to_3 = nn.Parameter(torch.eye(9))

    def weight(self, n_out: int, n_in: int, kernel: int) -> Tensor:
        weight = self.conv.weight[:n_out, : 1 if self.depthwise else n_in]
        for small, name in ((5, "to_5"), (3, "to_3")):
            if kernel <= small < weight.shape[2]:
                centre = weight[:, :, 1:-1, 1:-1].contiguous()
                matrix = getattr(self, name)
                weight = F.linear(centre.view(-1, small**2), matrix).view(n_out, -1, small, small)
        return weight.contiguous()

    def forward(self, x: Tensor, n_out: int, kernel: int = 1) -> Tensor:
        n_in = x.shape[1]
        weight = self.weight(n_out, n_in, kernel)
        x = F.conv2d(x, weight, None, self.stride, kernel // 2, 1, n_in if self.depthwise else 1)
        norm = self.norm
        if norm.num_features == n_out:
            return cast(Tensor, norm(x))
        assert norm.running_mean is not None and norm.running_var is not None
        mean, var = norm.running_mean[:n_out], norm.running_var[:n_out]
        return F.batch_norm(x, mean, var, norm.weight[:n_out], norm.bias[:n_out], True, 0.01, 0.001)


class PlainSqueezeExcite(nn.Module):
    """An elastic squeeze-excite."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, divisible(channels / 4), 1)
        self.excite = nn.Conv2d(divisible(channels / 4), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, hidden = x.shape[1], divisible(x.shape[1] / 4)
        squeeze, excite = self.squeeze, self.excite
        assert squeeze.bias is not None and excite.bias is not None
        y = x.mean(3, keepdim=True).mean(2, keepdim=True)
        y = F.relu(F.conv2d(y, squeeze.weight[:hidden, :n].contiguous(), squeeze.bias[:hidden]))
        y = F.conv2d(y, excite.weight[:n, :hidden].contiguous(), excite.bias[:n])
        return x * F.relu6(y + 3.0) / 6.0


def divisible(value: float, divisor: int = 8) -> int:
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


class PlainBlock(nn.Module):
    """An inverted residual block of elastic expansion and kernel."""

    def __init__(self, n_in: int, n_out: int, stride: int, attention: bool, swish: bool) -> None:
        super().__init__()
        inside = divisible(6 * n_in)
        self.n_out, self.act = n_out, F.hardswish if swish else F.relu
        self.expand = PlainConv(n_in, inside)
        self.depthwise = PlainConv(inside, inside, 7, stride, depthwise=True)
        self.attention = PlainSqueezeExcite(inside) if attention else nn.Identity()
        self.project = PlainConv(inside, n_out)
        self.residual = stride == 1 and n_in == n_out

    def forward(self, x: Tensor, expansion: float, kernel: int) -> Tensor:
        inside = divisible(expansion * x.shape[1])
        y = self.act(self.expand(x, inside))
        y = self.attention(self.act(self.depthwise(y, inside, kernel)))
        y = self.project(y, self.n_out)
        return cast(Tensor, y + x if self.residual else y)


class PlainOfa(nn.Module):
    """The once-for-all network of width 1."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = (16, 24, 40, 80, 112, 160)
        self.stem = PlainConv(3, 16, 3, 2)
        self.first = nn.ModuleList([PlainConv(16, 16, 3, depthwise=True), PlainConv(16, 16)])
        self.stages = nn.ModuleList()
        for i, stride in enumerate((2, 2, 2, 1, 2)):
            extra = (i in (1, 3, 4), i >= 2)
            self.stages.append(
                nn.ModuleList(
                    PlainBlock(widths[i + (j > 0)], widths[i + 1], 1 if j else stride, *extra) for j in range(4)
                )
            )
        self.last = PlainConv(160, 960)
        self.hidden = nn.Linear(960, 1280)
        self.head = nn.Sequential(nn.Hardswish(), nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor, arch: Architecture) -> Tensor:
        x = F.hardswish(self.stem(x, 16, 3))
        x = x + self.first[1](F.relu(self.first[0](x, 16, 3)), 16)
        for i, stage in enumerate(self.stages):
            for j in range(int(arch[f"stage_{i}.depth"])):
                block = cast(nn.ModuleList, stage)[j]
                x = block(x, float(arch[f"stage_{i}.{j}.expansion"]), int(arch[f"stage_{i}.{j}.kernel"]))
        x = F.hardswish(self.last(x, 960)).mean((2, 3))
        return cast(Tensor, self.head(self.hidden(x)))
