"""The topology space of NAS-Bench-201 (Dong and Yang, "NAS-Bench-201", ICLR 2020, arXiv:2001.00326).

A cell of four nodes and six edges, each with one of five operations, is repeated in three stages of a fixed network. At
the default size parameters and multiply-adds are those of the benchmark's table for CIFAR-10. One deviation: an image
side that is odd is halved upwards, where the original fails.
"""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.blocks import Block
from raynas.core.cell_graph import CellEdge, CellGraph, State
from raynas.errors import SpaceError
from raynas.nn.choice import Choice
from raynas.nn.model_space import ModelSpace
from raynas.nn.operations import average_pool, relu_conv_bn
from raynas.search_spaces.operation_paths import all_paths, cell_function, path_counts, path_shape

EDGES = tuple((source, target) for target in range(1, 4) for source in range(target))
"""The edges of a cell in the order of the benchmark's notation, from a lower node to a higher one."""


class Zero(nn.Module):
    """The operation "none": zeros of the input's shape."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Zeros like ``x``."""
        return x * 0.0  # As published: what lies before gets a gradient, which distributed training waits for.


def _average_pool(channels: int, affine: bool) -> nn.Module:
    return average_pool(3)


def _zero(channels: int, affine: bool) -> nn.Module:
    return Zero()


def _identity(channels: int, affine: bool) -> nn.Module:
    return nn.Identity()


def _conv(kernel: int, channels: int, affine: bool) -> nn.Module:
    return relu_conv_bn(channels, channels, kernel, affine=affine)


OPERATIONS: Mapping[str, Callable[[int, bool], nn.Module]] = {
    "none": _zero,
    "skip_connect": _identity,
    "nor_conv_1x1": partial(_conv, 1),
    "nor_conv_3x3": partial(_conv, 3),
    "avg_pool_3x3": _average_pool,
}
"""Operations of an edge by the benchmark's names; each is a factory of the number of channels, and
whether batch norms have weights."""


class Cell(nn.Module):
    """Four nodes: the first is the input, each other the sum of the edges from those before it, the last the output."""

    def __init__(self, channels: int, affine: bool, operations: Sequence[str]) -> None:
        super().__init__()

        def candidates(k: int) -> dict[str, Callable[[], nn.Module]]:
            """Those for 1/k of the channels."""
            return {name: partial(OPERATIONS[name], channels // k, affine) for name in operations}

        for edge in EDGES:
            self.add_module(edge_name(*edge), Choice(candidates(1), label=edge_name(*edge), narrow=candidates))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``x`` of shape ``(batch, channels, height, width)`` to the same shape."""
        nodes = [x]
        for target in range(1, 4):
            incoming = [getattr(self, edge_name(source, target))(nodes[source]) for source in range(target)]
            nodes.append(reduce(torch.add, incoming))
        return nodes[-1]


class ReductionBlock(nn.Module):
    """The residual block between stages: twice the channels, half the height and width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.body = nn.Sequential(relu_conv_bn(channels, wide, 3, stride=2), relu_conv_bn(wide, wide, 3))
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False), nn.Conv2d(channels, wide, 1, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, channels, height, width)`` to ``(batch, 2 * channels, height / 2, width / 2)``."""
        out: torch.Tensor = self.body(x) + self.shortcut(x)
        return out


@dataclass(frozen=True, kw_only=True)
class NASBench201(ModelSpace):
    """The 15,625 cells of NAS-Bench-201; every cell of a network is the same.

    Decisions are ``edge_0_1``, ``edge_0_2``, …: the operation between two nodes.

    Args:
        input_shape: channels, height and width of an image.
        n_classes: number of outputs.
        channels: width of the first stage; each further stage has twice as many.
        cells: number of cells in each stage.
        stages: number of stages; the benchmark has three.
        affine: whether the batch norms of the cells have weights; the benchmark's differentiable searches go without.
        operations: what an edge can be; fewer than the benchmark's five make a smaller space.

    Raises:
        SpaceError: if a size is below 1, or the operations are not two or more different ones of the benchmark's.
    """

    input_shape: tuple[int, ...] = (3, 32, 32)
    n_classes: int = 10
    channels: int = 16
    cells: int = 5
    stages: int = 3
    affine: bool = True
    operations: tuple[str, ...] = tuple(OPERATIONS)

    def __post_init__(self) -> None:
        sizes = (*self.input_shape, self.n_classes, self.channels, self.cells, self.stages)
        if len(self.input_shape) != 3 or min(sizes) < 1:
            raise SpaceError(f"input_shape must be (channels, height, width) and every size at least 1, got {self}")
        known = set(self.operations) <= OPERATIONS.keys()
        if not known or len(set(self.operations)) < len(self.operations) or len(self.operations) < 2:
            raise SpaceError(
                f"operations must be two or more of {', '.join(OPERATIONS)}, each once, got {list(self.operations)}"
            )

    def factory(self) -> nn.Module:
        """Return the network with a choice on every edge of every cell."""
        stem = nn.Conv2d(self.input_shape[0], self.channels, 3, padding=1, bias=False)
        layers: list[nn.Module] = [stem, nn.BatchNorm2d(self.channels)]
        for stage in range(self.stages):
            width = self.channels * 2**stage
            if stage:
                layers.append(ReductionBlock(width // 2))
            layers.extend(Cell(width, self.affine, self.operations) for _ in range(self.cells))
        head = (nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(*layers, *head, nn.Linear(width, self.n_classes))

    def cell_graphs(self, arch: Mapping[str, Option]) -> Sequence[CellGraph]:
        """Return the cell that every stage repeats."""
        options = self.canonical(arch)
        states = [State("0", "input", "input"), State("1"), State("2"), State("3", "output", "output")]
        operations = {edge: str(options[edge_name(*edge)]) for edge in EDGES}
        edges = [CellEdge(str(s), str(t), operation, operation == "none") for (s, t), operation in operations.items()]
        return (CellGraph(states, edges),)

    def blocks(self) -> Sequence[Block]:
        """Return each node with the edges into it; a cell of fewer nodes hands the last of them on to the output."""
        names = [[edge_name(*edge) for edge in EDGES if edge[1] == node] for node in (1, 2, 3)]
        if not {"none", "skip_connect"} <= set(self.operations):
            return [Block(names=tuple(edges)) for edges in names]
        return [
            Block(
                names=tuple(edges),
                rest={name: "none" for later in names[node:] for name in later}
                | ({edge_name(node, 3): "skip_connect"} if node < 3 else {}),
            )
            for node, edges in enumerate(names, 1)
        ]

    def features(self, arch: Architecture) -> Mapping[str, NDArray[np.float64]]:
        """Return the encoding, the counts of operation paths from input to output of the cell, and their summary."""
        operations = _operations(arch)
        return {
            **super().features(arch),
            "paths": path_counts(operations, _PATHS),
            "shape": path_shape(operations, _WORKING),
        }

    def function_key(self, arch: Architecture) -> Hashable:
        """Return a key of the function that the cell computes, up to a constant per channel.

        The 15,625 cells are 4,930 functions, fewer than the paper's 6,466, which does not merge cells that differ only
        in an edge of zeros.
        """
        return cell_function(_operations(arch))


def edge_name(source: int, target: int) -> str:
    """Return the name of the decision about the edge between two nodes."""
    return f"edge_{source}_{target}"


def _operations(arch: Mapping[str, Option]) -> dict[tuple[int, int], str]:
    return {edge: str(arch[edge_name(*edge)]) for edge in EDGES}


_PATHS = {path: i for i, path in enumerate(all_paths([name for name in OPERATIONS if name != "none"], max_length=3))}

_WORKING = [name for name in OPERATIONS if name not in ("none", "skip_connect")]

_OPERATION = "|".join(OPERATIONS)
_ARCH_STR = re.compile(
    r"\+".join(r"\|" + "".join(rf"({_OPERATION})~{source}\|" for source in range(target)) for target in range(1, 4))
)


def from_arch_str(text: str) -> Architecture:
    """Read the benchmark's notation, e.g. ``|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|``.

    Raises:
        SpaceError: if ``text`` is not of that form.
    """
    match = _ARCH_STR.fullmatch(text)
    if not match:
        raise SpaceError(
            f"cannot read {text!r}: write |OP~0|+|OP~0|OP~1|+|OP~0|OP~1|OP~2| with OP one of {', '.join(OPERATIONS)}"
        )
    return Architecture({edge_name(*edge): operation for edge, operation in zip(EDGES, match.groups(), strict=True)})


def to_arch_str(arch: Mapping[str, Option]) -> str:
    """Write ``arch`` in the benchmark's notation.

    Raises:
        SpaceError: if ``arch`` is not a member of the space.
    """
    if set(arch) != {edge_name(*edge) for edge in EDGES} or not set(arch.values()) <= set(OPERATIONS):
        raise SpaceError(f"{dict(arch)} is not an architecture of NAS-Bench-201")
    nodes = (
        "|" + "".join(f"{arch[edge_name(source, target)]}~{source}|" for source in range(target))
        for target in range(1, 4)
    )
    return "+".join(nodes)
