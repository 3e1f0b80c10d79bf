"""A space of tiny networks, and scorers for it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from raynas import Architecture, SearchSpace
from raynas.core.decision import Categorical, Decision


class Widths(SearchSpace):
    """Three linear layers of different widths: 125 networks that take no time."""

    input_shape = (4,)

    @property
    def decisions(self) -> list[Decision]:
        return [Categorical(f"width_{i}", (1, 2, 4, 8, 16)) for i in range(3)]

    def build(self, arch: Architecture) -> nn.Module:
        a, b, c = (int(arch[f"width_{i}"]) for i in range(3))
        return nn.Sequential(nn.Linear(4, a), nn.Linear(a, b), nn.Linear(b, c))


SPACE = Widths()
ARCHS = [SPACE.sample(np.random.default_rng(i)) for i in range(30)]


class Total:
    """The sum of the widths; counts how often it was asked."""

    def __init__(self) -> None:
        self.n_asked = 0

    def run(self, config: Mapping[str, Any]) -> dict[str, Any]:
        self.n_asked += 1
        accuracy = sum(config["arch"].values()) / 48
        return {"accuracy": accuracy, "training_iteration": 1, "complete": 1, "failed": 0, "error": ""}
