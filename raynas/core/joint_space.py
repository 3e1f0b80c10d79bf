"""JointSpace: a search space and the user's own hyperparameters, searched as one."""

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.tune.search import sample
from torch import nn

from raynas.core.architecture import Architecture, Config, Option
from raynas.core.decision import Decision
from raynas.core.features import encode
from raynas.core.inputs import Inputs, InputSpec
from raynas.core.operation_graph import OperationGraph
from raynas.core.space import SearchSpace
from raynas.core.tune_domains import decision_of
from raynas.errors import SpaceError


class JointSpace(SearchSpace):
    """The decisions of a space beside Tune domains such as ``{"lr": tune.loguniform(1e-4, 1e-1)}``.

    A point of it is an ``Architecture`` that holds the hyperparameters too; ``to_config`` takes them apart again.

    Args:
        space: the architectures.
        hyperparameters: Tune domains and constants by name, one level deep.

    Raises:
        SpaceError: if a name is also a decision's, or a domain cannot be mutated and encoded.
    """

    def __init__(self, space: SearchSpace, hyperparameters: Mapping[str, object]) -> None:
        if "arch" in hyperparameters:
            raise SpaceError("hyperparameter 'arch' is where the architecture stands; choose another name")
        self.space = space
        self.input_shape = space.input_shape
        self.hyperparameters = dict(hyperparameters)
        self._constants = {n: d for n, d in hyperparameters.items() if not isinstance(d, sample.Domain | dict)}
        self._own = [decision_of(n, d) for n, d in hyperparameters.items() if n not in self._constants]
        self._names = {decision.name for decision in self._own}
        for name, value in self._constants.items():
            _check_constant(name, value)
        if both := {decision.name for decision in self.space.decisions} & self.hyperparameters.keys():
            raise SpaceError(f"hyperparameter {min(both)!r} has the name of a decision of {self.space.name}; rename it")

    @cached_property
    def decisions(self) -> Sequence[Decision]:
        return [*self.space.decisions, *self._own]

    @property
    def name(self) -> str:
        return self.space.name

    @property
    def fingerprint(self) -> str:
        # The sizes of the networks are fields of the space inside.
        own = super().fingerprint
        return hashlib.sha256(f"{self.space.fingerprint} {own}".encode()).hexdigest()[:16]

    @property
    def inputs(self) -> InputSpec:
        return self.space.inputs

    def example_input(self, batch_size: int = 1, device: str | torch.device = "cpu") -> Inputs:
        return self.space.example_input(batch_size, device)

    @property
    def architecture_space(self) -> SearchSpace:
        return self.space

    def architecture(self, point: Architecture) -> Architecture:
        return Architecture({name: option for name, option in point.items() if name not in self._names})

    def features(self, arch: Architecture) -> Mapping[str, NDArray[np.float64]]:
        """Return the features of the architecture, and a group of the hyperparameters."""
        return {**self.space.features(self.architecture(arch)), "hyperparameters": encode(self._own, arch)}

    def function_key(self, arch: Architecture) -> Hashable:
        """Return a key that architectures of the same function share, if they are trained alike."""
        return self.space.function_key(self.architecture(arch)), tuple(arch[decision.name] for decision in self._own)

    def operation_graph(self, arch: Mapping[str, Option]) -> OperationGraph:
        """Return the architecture's graph, and an isolated node for each hyperparameter."""
        point = self.canonical(arch)
        inside = self.space.operation_graph(self.architecture(point))
        own = [decision.label(point[decision.name]) for decision in self._own]
        return OperationGraph((*inside.labels, *own), inside.edges)

    def build(self, arch: Architecture) -> nn.Module:
        return self.space.build(self.architecture(arch))

    def param_space(self) -> dict[str, Any]:
        """Return the architecture's domains under "arch", the hyperparameters beside it."""
        return {"arch": self.space.param_space(), **self.hyperparameters}

    def to_config(self, arch: Architecture) -> Config:
        own = {name: option for name, option in arch.items() if name in self._names}
        return {"arch": self.architecture(arch).to_config(), **own, **self._constants}

    def from_config(self, config: Mapping[str, object]) -> Architecture:
        own = {name: config[name] for name in self._names if name in config}
        return self.canonical({**Architecture.from_config(config), **Architecture.from_config({"arch": own})})


def _check_constant(name: str, value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SpaceError(
            f"hyperparameter {name!r} must be a Tune domain or a constant that JSON can hold: {error}"
        ) from None
