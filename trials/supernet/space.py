"""SupernetSpace: the space whose only member is the supernet of another, so that training one is a search."""

from collections.abc import Sequence

import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.decision import Categorical, Decision
from raynas.core.goal import Goal
from raynas.core.inputs import Inputs, InputSpec
from raynas.core.space import SearchSpace
from raynas.metrics.cost import count_params
from raynas.nn import ModelSpace, Supernet
from raynas.oneshot import OneShot


class SupernetSpace(SearchSpace):
    """The space whose only member is the supernet of another: training one is a search with a single trial.

    Args:
        space: the space whose networks share weights.
        method: the method that trains them.
        goal: has hard limits on costs of the networks, see ``OneShot``.
    """

    def __init__(self, space: SearchSpace, method: OneShot, goal: Goal | None = None) -> None:
        self.space, self.method, self.goal = space, method, goal
        self.input_shape = space.input_shape

    @property
    def name(self) -> str:
        """Name of the supernet, with the limits."""
        limits = ", ".join(map(str, self.goal.hard)) if self.goal else ""
        return f"the supernet of {self.space.name}" + (f", within {limits}" if limits else "")

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the space."""
        return self.space.fingerprint

    @property
    def inputs(self) -> InputSpec:
        """Description of the inputs of the networks."""
        return self.space.inputs

    def example_input(self, batch_size: int = 1, device: str | torch.device = "cpu") -> Inputs:
        """Return a batch of examples of the space."""
        return self.space.example_input(batch_size, device)

    @property
    def derived_space(self) -> SearchSpace:
        """The space whose networks share the weights."""
        return self.space

    @property
    def decisions(self) -> Sequence[Decision]:
        """A single decision, the method, with a single option."""
        return (Categorical("method", choices=(type(self.method).__name__,)),)

    def build(self, arch: Architecture) -> nn.Module:
        """Make the supernet."""
        assert isinstance(self.space, ModelSpace)
        return Supernet(self.space, partial_channels=self.method.partial_channels)

    def params(self, arch: Architecture) -> float:
        """Count the parameters of the supernet, without memory for them."""
        with torch.device("meta"):
            return count_params(self.build(arch))
