"""CPU time of a single path training step on one thread, against a plain implementation of the papers.

"nasbench201" trains one random cell, "gdas" is GDAS on the same space, "mobilenetv3" one random subnet of the
once-for-all space. "plain" is what the papers' repositories do: NCHW, all operations of an edge in a module list,
elastic layers that slice their weights at each call. Both ways train the same architectures on the same batches (GDAS
draws its own); each runs in a separate process, by turns, and printed are the medians of the CPU seconds of a step
and their ratio.

    python scripts/bench/single_path_step.py --spaces nasbench201 mobilenetv3 --steps 8 --rounds 3
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.nn import ModelSpace, Supernet
from raynas.oneshot import ONESHOT, Setup
from raynas.oneshot.single_path import SinglePathLearner

Step = Callable[[Architecture], object]

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


# --- both ways --------------------------------------------------------------------------------------------------------


def space_of(name: str) -> ModelSpace:
    if name == "mobilenetv3":
        from raynas.search_spaces.mobilenetv3 import MobileNetV3

        return MobileNetV3(input_shape=(3, 64, 64), n_classes=10, resolutions=(64,), widths=(1.0,), extra_expansions=())
    from raynas.search_spaces import NASBench201

    return NASBench201()


def batch_of(name: str) -> tuple[Tensor, Tensor]:
    size, side = (32, 64) if name == "mobilenetv3" else (64, 32)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, side, side, generator=generator)
    return images, torch.randint(10, (size,), generator=generator)


def plain_step(name: str) -> Step:
    images, labels = batch_of(name)
    net = PlainOfa(10) if name == "mobilenetv3" else PlainCells(16, 5, gdas=name == "gdas")
    net.train()
    alphas = [p for n, p in net.named_parameters() if n.startswith("alpha")]
    weights = [p for n, p in net.named_parameters() if not n.startswith("alpha")]
    sgd = torch.optim.SGD(weights, 0.025, momentum=0.9, weight_decay=5e-4, nesterov=True)
    adam = torch.optim.Adam(alphas, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3) if name == "gdas" else None

    def step(arch: Architecture) -> object:
        for optimizer in [sgd, adam] if adam else [sgd]:
            net.zero_grad()
            F.cross_entropy(net(images, arch), labels).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
        return None

    return step


class Given(SinglePathLearner):
    """Trains given architectures."""

    arch: Architecture

    def drawn(self) -> Architecture:
        return self.arch


def our_step(name: str) -> Step:
    images, labels = batch_of(name)
    supernet = Supernet(space_of(name)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = images.contiguous(memory_format=torch.channels_last), labels
    # One after another, hundreds of small weights take a tenth of the step; fused, SGD fails where some are new to it.
    sgd = torch.optim.SGD(supernet.parameters(), 0.025, momentum=0.9, weight_decay=5e-4, nesterov=True, foreach=True)
    setup = Setup(supernet=supernet, optimizer=sgd, n_epochs=1, n_steps=1000, clip_norm=5.0)
    if name == "gdas":
        learner = ONESHOT["gdas"]().start(setup)
        learner.begin_epoch()
        return lambda arch: learner.step(batch, batch)
    single = Given(setup)
    single.begin_epoch()

    def step(arch: Architecture) -> object:
        single.arch = arch
        return single.step(batch)

    return step


def measure(name: str, way: str, n_steps: int) -> list[float]:
    """CPU seconds of each step after the first two."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space, rng = space_of(name), np.random.default_rng(0)
    step = plain_step(name) if way == "plain" else our_step(name)
    seconds = []
    for _ in range(n_steps + 2):
        arch = space.sample(rng)
        began = time.process_time()
        step(arch)
        seconds.append(time.process_time() - began)
    return seconds[2:]


def in_own_process(name: str, way: str, n_steps: int) -> list[float]:
    command = [sys.executable, __file__, "--spaces", name, "--only", way, "--steps", str(n_steps)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return cast(list[float], json.loads(out.splitlines()[-1]))


def compare(name: str, args: Any) -> None:
    seconds: dict[str, list[float]] = {"plain": [], "raynas": []}
    for _ in range(args.rounds):
        for way, found in seconds.items():
            found += in_own_process(name, way, args.steps)
    plain, ours = (statistics.median(seconds[way]) for way in ("plain", "raynas"))
    print(f"{name:12} plain {plain:.3f} s CPU   raynas {ours:.3f} s CPU   ratio {ours / plain:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spaces", nargs="+", default=["nasbench201", "gdas", "mobilenetv3"])
    parser.add_argument("--steps", type=int, default=8, help="steps of a process that count")
    parser.add_argument("--rounds", type=int, default=2, help="processes of each way")
    parser.add_argument("--only", help="run one way in this process and print its times as JSON")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(args.spaces[0], args.only, args.steps)))
        return
    for name in args.spaces:
        if name == "gdas" and name not in ONESHOT:
            print("gdas         is not there yet")
            continue
        compare(name, args)


if __name__ == "__main__":
    main()
