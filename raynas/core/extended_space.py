"""ExtendedSpace: a search space with further decisions, which do not change its networks."""

import hashlib
from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.cell_graph import CellGraph
from raynas.core.coded_decisions import CodedDecisions, Codes
from raynas.core.decision import Decision
from raynas.core.features import encode, encoded
from raynas.core.inputs import Inputs, InputSpec
from raynas.core.operation_graph import OperationGraph
from raynas.core.space import SearchSpace


class ExtendedSpace(SearchSpace):
    """The decisions of a space, and after them further ones; a subclass gives ``own_decisions``.

    Args:
        space: gives the networks.
    """

    GROUP: ClassVar[str]
    """The name of the further decisions among the features."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.input_shape = space.input_shape

    @property
    @abstractmethod
    def own_decisions(self) -> Sequence[Decision]:
        """The further decisions."""

    @abstractmethod
    def around(self, space: SearchSpace) -> "ExtendedSpace":
        """Return the same further decisions after those of another space."""

    @cached_property
    def decisions(self) -> Sequence[Decision]:
        return [*self.space.decisions, *self.own_decisions]

    @property
    def name(self) -> str:
        return self.space.name

    @property
    def fingerprint(self) -> str:
        # The sizes of the networks are fields of the space inside.
        own = super().fingerprint
        return hashlib.sha256(f"{self.space.fingerprint} {own}".encode()).hexdigest()[:16]

    @property
    def weights_fingerprint(self) -> str:
        return self.space.weights_fingerprint

    @property
    def code(self) -> Sequence[object]:
        return self.space.code

    @property
    def inputs(self) -> InputSpec:
        return self.space.inputs

    def example_input(self, batch_size: int = 1, device: str | torch.device = "cpu") -> Inputs:
        return self.space.example_input(batch_size, device)

    @cached_property
    def _own_names(self) -> frozenset[str]:
        return frozenset(decision.name for decision in self.own_decisions)

    def inside(self, point: Mapping[str, Option]) -> Architecture:
        """Return the point of the space inside: without the further decisions."""
        return Architecture({name: option for name, option in point.items() if name not in self._own_names})

    def features(self, arch: Architecture) -> Mapping[str, NDArray[np.float64]]:
        """Return the features of the space inside, and a group of the further decisions."""
        return {**self.space.features(self.inside(arch)), self.GROUP: encode(self.own_decisions, arch)}

    def features_of(self, codes: Codes) -> Mapping[str, NDArray[np.float64]]:
        n_inside = codes.shape[1] - len(self.own_decisions)
        own = encoded(CodedDecisions(self.own_decisions), codes[:, n_inside:])
        return {**self.space.features_of(codes[:, :n_inside]), self.GROUP: own}

    @property
    def has_twins(self) -> bool:
        return self.space.has_twins

    def function_key(self, arch: Architecture) -> Hashable:
        """Return a key that points of the same function share, if their further decisions are the same."""
        own = tuple(arch[decision.name] for decision in self.own_decisions)
        return self.space.function_key(self.inside(arch)), own

    def operation_graph(self, arch: Mapping[str, Option]) -> OperationGraph:
        """Return the graph of the space inside, and an isolated node for each further decision."""
        point = self.canonical(arch)
        inner = self.space.operation_graph(self.inside(point))
        own = [decision.label(point[decision.name]) for decision in self.own_decisions]
        return OperationGraph((*inner.labels, *own), inner.edges)

    def cell_graphs(self, arch: Mapping[str, Option]) -> Sequence[CellGraph]:
        return self.space.cell_graphs(self.inside(arch))

    def summary(self, max_rows: int | None = None) -> str:
        return self.space.summary(max_rows)

    def build(self, arch: Architecture) -> nn.Module:
        return self.space.build(self.inside(arch))


def network_space(space: SearchSpace) -> SearchSpace:
    """Return the space of the networks alone: the space itself, unless it has further decisions."""
    return network_space(space.space) if isinstance(space, ExtendedSpace) else space


def network_part(space: SearchSpace, point: Architecture) -> Architecture:
    """Return the part of a point that decides its network: all of it, unless the space has further decisions."""
    return network_part(space.space, space.inside(point)) if isinstance(space, ExtendedSpace) else point
