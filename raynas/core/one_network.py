"""OneNetwork: a network that was given, as a space, so that it is measured as the networks of a search are."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.core.decision import Categorical, Decision
from raynas.core.inputs import Inputs, InputSpec
from raynas.core.space import SearchSpace

GIVEN = Architecture({"network": "given"})
"""Its only architecture."""


class OneNetwork(SearchSpace):
    """The space of one network alone.

    Args:
        network: the network; it is copied, never changed.
        like: a space whose networks take the same inputs, or the description of these inputs, see ``InputSpec``.
    """

    def __init__(self, network: nn.Module, like: SearchSpace | InputSpec) -> None:
        self._network, self._like = network, like
        self.input_shape = like.input_shape if isinstance(like, SearchSpace) else ()

    @property
    def decisions(self) -> Sequence[Decision]:
        return (Categorical("network", ("given",)),)

    def build(self, arch: Architecture) -> nn.Module:
        return copy.deepcopy(self._network).cpu()

    @property
    def inputs(self) -> InputSpec:
        return self._like.inputs if isinstance(self._like, SearchSpace) else self._like

    def example_input(self, batch_size: int = 1, device: str | torch.device = "cpu") -> Inputs:
        if isinstance(self._like, SearchSpace):
            return self._like.example_input(batch_size, device)
        return super().example_input(batch_size, device)
