"""Time and memory of one first-order DARTS search step on one thread, against a plain implementation of the paper.

A step is an update of alpha on a validation batch (Adam), then one of the weights on a training batch (SGD with
momentum, gradients clipped at 5). Each implementation runs in a separate process:

- plain: as published. NCHW, each edge calls its eight operations in turn, both passes compute all gradients;
- channels_last: the same in that memory format;
- fast: a ``Supernet`` of the DARTS space, whose passes compute only the gradients that they need;
- bfloat16: the same with autocast.

Printed are the median CPU seconds of a step, the peak memory beyond what the imports take, and their ratios to the
plain way in the same run. All start from the same weights, so that losses and alpha gradients of the first step can be
compared; in float32 these gradients are noisy, as channels_last shows.

    python scripts/bench/darts_step.py --repeats 3 --ways fast bfloat16
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raynas.nn import Supernet
from raynas.nn.operations import HalvingConv
from raynas.search_spaces import DARTS

CLIP = 5.0
NODES = 4
EDGES = tuple((node, source) for node in range(NODES) for source in range(2 + node))


class Zero(nn.Module):
    """The operation "none"."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


def factorized_reduce(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), HalvingConv(n_in, n_out), nn.BatchNorm2d(n_out, affine=False))


def relu_conv_bn(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out, affine=False))


def depthwise_separable(channels: int, kernel: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    """ReLU, depthwise and pointwise convolution, batch norm."""
    padding = dilation * (kernel - 1) // 2
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=False),
    ]


def operations(channels: int, stride: int) -> list[nn.Module]:
    """Return the eight operations of an edge, in the paper's order."""
    skip = nn.Identity() if stride == 1 else factorized_reduce(channels, channels)

    def pool(kind: nn.Module) -> nn.Sequential:
        return nn.Sequential(kind, nn.BatchNorm2d(channels, affine=False))

    def separable(kernel: int) -> nn.Sequential:
        first, second = (depthwise_separable(channels, kernel, s) for s in (stride, 1))
        return nn.Sequential(*first, *second)

    return [
        Zero(stride),
        pool(nn.MaxPool2d(3, stride, padding=1)),
        pool(nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)),
        skip,
        separable(3),
        separable(5),
        nn.Sequential(*depthwise_separable(channels, 3, stride, dilation=2)),
        nn.Sequential(*depthwise_separable(channels, 5, stride, dilation=2)),
    ]


class Cell(nn.Module):
    """Four nodes, each the sum of edges from the two inputs and the nodes before it."""

    def __init__(self, before_last: int, last: int, channels: int, reduce: bool, reduced_before: bool) -> None:
        super().__init__()
        self.reduce = reduce
        shrink = factorized_reduce if reduced_before else relu_conv_bn
        self.preprocess = nn.ModuleList([shrink(before_last, channels), relu_conv_bn(last, channels)])
        self.edges = nn.ModuleList(
            nn.ModuleList(operations(channels, 2 if reduce and source < 2 else 1)) for _, source in EDGES
        )

    def forward(self, before_last: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        states = [self.preprocess[0](before_last), self.preprocess[1](last)]
        for node in range(NODES):
            edges = [i for i, (target, _) in enumerate(EDGES) if target == node]
            mixtures = [self.mixture(i, weights[i], states[EDGES[i][1]]) for i in edges]
            states.append(cast(Tensor, sum(mixtures)))
        return torch.cat(states[2:], dim=1)

    def mixture(self, edge: int, weights: Tensor, x: Tensor) -> Tensor:
        """Return the weighted sum of the edge's operations."""
        ops = cast(nn.ModuleList, self.edges[edge])
        return cast(Tensor, sum(w * op(x) for w, op in zip(weights, ops, strict=True)))


class Network(nn.Module):
    """The network that DARTS searches with."""

    def __init__(self, channels: int, cells: int, classes: int = 10) -> None:
        super().__init__()
        before_last = last = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(3, last, 3, padding=1, bias=False), nn.BatchNorm2d(last))
        self.cells = nn.ModuleList()
        reduced_before = False
        for i in range(cells):
            reduce = i in (cells // 3, 2 * cells // 3)
            channels *= 1 + reduce
            self.cells.append(Cell(before_last, last, channels, reduce, reduced_before))
            reduced_before, before_last, last = reduce, last, 4 * channels
        self.head = nn.Linear(last, classes)

    def forward(self, x: Tensor, alpha: Sequence[Tensor]) -> Tensor:
        before_last = last = self.stem(x)
        weights = [a.softmax(dim=1) for a in alpha]
        for cell in self.cells:
            before_last, last = last, cell(before_last, last, weights[cast(Cell, cell).reduce])
        return cast(Tensor, self.head(last.mean(dim=(2, 3))))


class Ours(nn.Module):
    """The same on raynas's supernet, with the weights of a plain network."""

    def __init__(self, plain: Network, channels: int, cells: int) -> None:
        super().__init__()
        self.supernet = Supernet(DARTS(channels=channels, cells=cells, affine=False))
        with torch.no_grad():
            for ours, theirs in zip(self.supernet.parameters(), plain.parameters(), strict=True):
                ours.copy_(theirs)

    def forward(self, x: Tensor, alpha: Sequence[Tensor]) -> Tensor:
        selection: dict[str, Tensor] = {}
        for cell, a in zip(("normal", "reduce"), alpha, strict=True):
            for (node, source), weights in zip(EDGES, a.softmax(dim=1), strict=True):
                selection[f"{cell}.{node}.op_{source}"] = weights[1:]  # "none", the first, adds nothing.
            selection |= {f"{cell}.{node}.inputs": torch.ones(2 + node) for node in range(NODES)}
        return cast(Tensor, self.supernet(x, selection))


@dataclass
class Measured:
    """Costs of an implementation; ``losses`` and ``alpha_grad`` are those of the first step."""

    seconds: float
    megabytes: float
    losses: list[float]
    alpha_grad: list[float]


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Search:
    """The state of a search; ``step`` is one step of it."""

    def __init__(self, way: str, args: argparse.Namespace) -> None:
        torch.manual_seed(0)
        self.way = way
        self.ours = way in ("fast", "bfloat16")
        plain = Network(args.channels, args.cells)
        self.network = Ours(plain, args.channels, args.cells) if self.ours else plain
        torch.manual_seed(1)
        self.alpha = [nn.Parameter(1e-3 * torch.randn(len(EDGES), 8)) for _ in range(2)]
        self.weights = list(self.network.parameters())
        order = torch.contiguous_format if way == "plain" else torch.channels_last
        self.batches = [
            (
                torch.randn(args.batch, 3, args.side, args.side).to(memory_format=order),
                torch.randint(10, (args.batch,)),
            )
            for _ in range(2)
        ]
        self.adam = torch.optim.Adam(self.alpha, lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
        self.sgd = torch.optim.SGD(self.weights, lr=0.025, momentum=0.9, weight_decay=3e-4)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.way == "bfloat16"):
            return F.cross_entropy(self.network(batch[0], self.alpha), batch[1])

    def backward(self, batch: tuple[Tensor, Tensor], wanted: Sequence[nn.Parameter]) -> float:
        for parameter in (*self.weights, *self.alpha):
            parameter.grad = None
            parameter.requires_grad_(not self.ours or any(parameter is other for other in wanted))
        loss = self.loss(batch)
        loss.backward()
        return loss.item()

    def step(self) -> tuple[list[float], list[float]]:
        """Return the two losses and the gradient of alpha."""
        first = self.backward(self.batches[0], self.alpha)
        gradient = torch.cat([cast(Tensor, a.grad).flatten() for a in self.alpha]).tolist()
        self.adam.step()
        second = self.backward(self.batches[1], self.weights)
        nn.utils.clip_grad_norm_(self.weights, CLIP)
        self.sgd.step()
        return [first, second], gradient


def measure(way: str, args: argparse.Namespace) -> Measured:
    """One step to warm up, then ``args.repeats`` that count."""
    torch.set_num_threads(1)
    before = peak_megabytes()
    search = Search(way, args)
    losses, gradient = search.step()
    seconds = []
    for _ in range(args.repeats):
        began = time.process_time()
        search.step()
        seconds.append(time.process_time() - began)
    return Measured(statistics.median(seconds), peak_megabytes() - before, losses, gradient)


def in_own_process(way: str, argv: Sequence[str]) -> Measured:
    command = [sys.executable, __file__, *argv, "--only", way]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Measured(**cast(dict[str, Any], json.loads(out.splitlines()[-1])))


def report(way: str, found: Measured, plain: Measured) -> None:
    losses = max(abs(a - b) for a, b in zip(found.losses, plain.losses, strict=True))
    gradient = max(abs(a - b) for a, b in zip(found.alpha_grad, plain.alpha_grad, strict=True))
    largest = max(map(abs, plain.alpha_grad))
    print(
        f"{way:13} {found.seconds:7.2f} s CPU ({found.seconds / plain.seconds:.2f})   {found.megabytes:6.0f} MB "
        f"({found.megabytes / plain.megabytes:.2f})   losses differ by {losses:.1e}, alpha gradients by {gradient:.1e} "
        f"of {largest:.1e}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--side", type=int, default=32, help="height and width of the images")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=["channels_last", "fast", "bfloat16"], help="compared with plain")
    parser.add_argument("--only", help="run one way in this process and print what was measured as JSON")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(asdict(measure(args.only, args))))
        return
    argv = [f"--{name}={getattr(args, name)}" for name in ("batch", "channels", "cells", "side", "repeats")]
    plain = in_own_process("plain", argv)
    report("plain", plain, plain)
    ratios = {}
    for way in args.ways:
        found = in_own_process(way, argv)
        report(way, found, plain)
        ratios[f"{way} time"], ratios[f"{way} memory"] = (
            found.seconds / plain.seconds,
            found.megabytes / plain.megabytes,
        )
    print(json.dumps({"ratios": ratios}))


if __name__ == "__main__":
    main()
