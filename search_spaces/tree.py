"""Tree-structured cells (Cai et al., "Path-Level Network Transformation", ICML 2018, arXiv:1806.02639).

A cell is a tree. A node hands its input to one to three branches, each an operation with another node or nothing behind
it, and merges what they return: "add_2" and "add_3" replicate the input and average the outputs, "concat_2" splits the
channels and joins them again, "chain" has one branch, "leaf" none. The branches of the root are the 3x3 convolutions of
the network that the cell is put into; those below are one of seven operations, as deep as three operations in a row.
That makes 3.0e31 trees, or 9.1e7 with ``depth=2``; those that differ in the order of branches count apart.

The network is the DenseNet of the authors' code, its cells in place of the 3x3 convolutions; the default is the small
one to start from, and with ``cells=16`` theirs for CIFAR-10. Deviations: of their base networks (DenseNet, PyramidNet,
CondenseNet) only the first; the tree without any operation below its root is a member; allocation follows from the
merge, which the paper's transformations leave open for the root alone, and there as their code does: split if the
convolution has groups, else replication; an image side that is odd is halved upwards.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from typing import NamedTuple

import torch
from torch import nn

from raynas.core.decision import Categorical, Decision
from raynas.errors import SpaceError
from raynas.nn.choice import Choice
from raynas.nn.factories import ModuleFactory
from raynas.nn.model_space import ModelSpace

N_STAGES = 3


def _bn_relu_conv(n_in: int, n_out: int, kernel: int, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(nn.BatchNorm2d(n_in), nn.ReLU(), conv)


def _separable(kernel: int, channels: int) -> nn.Module:
    depthwise = _bn_relu_conv(channels, channels, kernel, groups=channels)
    return nn.Sequential(*depthwise, nn.Conv2d(channels, channels, 1, bias=False))


OPERATIONS: Mapping[str, Callable[[int], nn.Module]] = {
    "identity": lambda channels: nn.Identity(),
    "conv_1x1": lambda channels: _bn_relu_conv(channels, channels, 1),
    "separable_3x3": partial(_separable, 3),
    "separable_5x5": partial(_separable, 5),
    "separable_7x7": partial(_separable, 7),
    "max_pool_3x3": lambda channels: nn.MaxPool2d(3, stride=1, padding=1),
    "avg_pool_3x3": lambda channels: nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
}
"""Operations of a branch below the root; each is a factory of the number of channels."""


class Merge(NamedTuple):
    """Schemes by which a node splits its input and merges the outputs of its branches."""

    n_branches: int
    is_concat: bool = False


MERGES: Mapping[str, Merge] = {
    "chain": Merge(1),
    "add_2": Merge(2),
    "add_3": Merge(3),
    "concat_2": Merge(2, is_concat=True),
}
"""Kinds of a node with branches."""


def shares(channels: int, n_branches: int) -> list[int]:
    """``channels`` in parts as equal as can be, larger ones first."""
    return [channels // n_branches + (i < channels % n_branches) for i in range(n_branches)]


class Branches(nn.Module):
    """A node: its branches, and how their outputs become one.

    Args:
        branches: what makes each branch.
        splits: the channels that each branch takes; None if each takes all.
        is_concat: whether outputs are joined, rather than averaged.
    """

    def __init__(self, branches: Sequence[ModuleFactory], splits: Sequence[int] | None, is_concat: bool) -> None:
        super().__init__()
        self.splits = splits
        self.is_concat = is_concat
        for i, make in enumerate(branches):
            self.add_module(f"branch_{i}", make())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, n_in, height, width)`` to ``(batch, n_out, height, width)``."""
        branches = list(self.children())
        inputs = [x] * len(branches) if self.splits is None else x.split(list(self.splits), dim=1)
        outputs: list[torch.Tensor] = [branch(part) for branch, part in zip(branches, inputs, strict=True)]
        if self.is_concat:
            return torch.cat(outputs, dim=1)
        return reduce(torch.add, outputs) / len(outputs)


Path = tuple[int, ...]
"""Index of the branch taken at each node from the root on; the path of the root is empty."""


def name_of(kind: str, path: Path) -> str:
    """Return the name of the decision about the "node" at the end of a path, or the "edge" to it."""
    return "_".join((kind, *map(str, path))) if path else "root"


def _node(path: Path, depth: int, channels: int) -> Choice:
    """Return the subtree at the end of a branch: an identity, or further branches that keep the number of channels."""
    options: dict[str, ModuleFactory] = {"leaf": nn.Identity}
    for name, merge in MERGES.items():
        widths = shares(channels, merge.n_branches) if merge.is_concat else [channels] * merge.n_branches
        branches = [partial(_branch, (*path, i), depth, width) for i, width in enumerate(widths)]
        options[name] = partial(Branches, branches, widths if merge.is_concat else None, merge.is_concat)
    return Choice(options, label=name_of("node", path))


def _branch(path: Path, depth: int, channels: int) -> nn.Module:
    operations = {name: partial(make, channels) for name, make in OPERATIONS.items()}
    operation = Choice(operations, label=name_of("edge", path))
    return nn.Sequential(operation, _node(path, depth, channels)) if len(path) < depth else operation


def _root(depth: int, n_in: int, n_out: int, groups: int) -> Choice:
    """Return the cell; its first branches change the number of channels."""
    options: dict[str, ModuleFactory] = {}
    for name, merge in MERGES.items():
        widths = shares(n_out, merge.n_branches) if merge.is_concat else [n_out] * merge.n_branches
        splits = shares(n_in, merge.n_branches) if merge.is_concat and groups > 1 else None
        inputs = [n_in] * merge.n_branches if splits is None else splits
        n_groups = groups if splits is None else groups // merge.n_branches
        ends = enumerate(zip(inputs, widths, strict=True))
        branches = [partial(_root_branch, (i,), depth, before, after, n_groups) for i, (before, after) in ends]
        options[name] = partial(Branches, branches, splits, merge.is_concat)
    return Choice(options, label=name_of("node", ()))


def _root_branch(path: Path, depth: int, n_in: int, n_out: int, groups: int) -> nn.Module:
    conv = _bn_relu_conv(n_in, n_out, 3, groups)
    return nn.Sequential(conv, _node(path, depth, n_out)) if depth > 1 else conv


class DenseLayer(nn.Module):
    """A 1x1 convolution and a cell, whose output is joined to the input.

    Args:
        n_in: channels of the input.
        inside: channels between the convolution and the cell.
        cell: maps these to the channels that are added.
    """

    def __init__(self, n_in: int, inside: int, cell: nn.Module) -> None:
        super().__init__()
        self.bottleneck = _bn_relu_conv(n_in, inside, 1)
        self.cell = cell

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(batch, n_in, height, width)`` to ``(batch, n_in + growth, height, width)``."""
        return torch.cat((x, self.cell(self.bottleneck(x))), dim=1)


@dataclass(frozen=True, kw_only=True)
class Tree(ModelSpace):
    """The tree-structured cells of Cai et al.; every cell of a network is the same.

    Decisions are ``root``: the merge at the root; ``node_0``, ``node_0_1``, …: the merge at the end of the branch that
    these numbers lead to, or "leaf"; ``edge_0_1``, …: the operation on that branch. A branch keeps its operation and
    what hangs on it when the merge before it changes.

    Args:
        input_shape: channels, height and width of an image.
        n_classes: number of outputs.
        growth: channels that a cell adds; a multiple of ``groups``, and at least 2 ** depth.
        cells: number of cells in each of the three dense blocks.
        groups: of the 3x3 convolutions at the root; 1 or an even number.
        depth: most operations in a row, that at the root included.

    Raises:
        SpaceError: if a size is below 1, or ``growth`` or ``groups`` are not as said.
    """

    input_shape: tuple[int, ...] = (3, 32, 32)
    n_classes: int = 10
    growth: int = 48
    cells: int = 1
    groups: int = 2
    depth: int = 3

    def __post_init__(self) -> None:
        sizes = (*self.input_shape, self.n_classes, self.growth, self.cells, self.groups, self.depth)
        if len(self.input_shape) != 3 or min(sizes) < 1:
            raise SpaceError(f"input_shape must be (channels, height, width) and every size at least 1, got {self}")
        if self.groups > 1 and self.groups % 2:
            raise SpaceError(f"groups must be 1 or even, for they are split between two branches, got {self.groups}")
        if self.growth % self.groups or self.growth < 2**self.depth:
            raise SpaceError(
                f"growth must be a multiple of groups={self.groups} and at least 2 ** depth = {2**self.depth}, "
                f"got {self.growth}"
            )

    @cached_property
    def decisions(self) -> Sequence[Decision]:
        """The root, then each branch with what hangs on it."""
        # Not read off the model: there a branch is in several options of the node before it, which itself stands
        # in several of the one before that. What matters is that the node before it has that many branches.
        root = Categorical(name_of("node", ()), tuple(MERGES))
        return (root, *self._below((), root))

    def _below(self, path: Path, node: Categorical) -> Iterator[Decision]:
        for i in range(max(merge.n_branches for merge in MERGES.values())):
            end = (*path, i)
            merges = tuple(name for name, merge in MERGES.items() if merge.n_branches > i)
            active_if = {node.name: merges} if len(merges) < len(node.options) else {}
            if path:
                yield Categorical(name_of("edge", end), tuple(OPERATIONS), active_if=active_if)
            if len(end) < self.depth:
                child = Categorical(name_of("node", end), ("leaf", *MERGES), active_if=active_if)
                yield child
                yield from self._below(end, child)

    def factory(self) -> nn.Module:
        """Return the network with a choice at every node and branch of every cell."""
        width = 2 * self.growth
        layers: list[nn.Module] = [nn.Conv2d(self.input_shape[0], width, 3, padding=1, bias=False)]
        for stage in range(N_STAGES):
            if stage:
                pool = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
                layers += [_bn_relu_conv(width, width // 2, 1), pool]
                width //= 2
            for _ in range(self.cells):
                cell = _root(self.depth, 4 * self.growth, self.growth, self.groups)
                layers.append(DenseLayer(width, 4 * self.growth, cell))
                width += self.growth
        head = (nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(*layers, *head, nn.Linear(width, self.n_classes))
