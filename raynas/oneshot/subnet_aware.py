"""Training of shared weights that heeds which subnet a step trains (Jeon et al., CVPR 2025, arXiv:2503.10740).

"Subnet-Aware Dynamic Supernet Training for Neural Architecture Search": a learning rate that falls later for subnets
with more parameters, and a momentum for each group of subnets.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from raynas.core.architecture import Architecture, Option
from raynas.errors import SettingError, SpaceError
from raynas.metrics.cost import MetaModels, count_params
from raynas.nn.supernet import Supernet
from raynas.oneshot.base import Setup
from raynas.oneshot.extremes import largest, smallest
from raynas.seeds import seed_of

MAX_KNOWN = 100_000
"""Number of subnets whose parameters are remembered."""


class ComplexityAwareRate:
    """The learning rate of a step: ``lr * (1 - progress) ** gamma`` with a gamma that follows from the subnet.

    Gamma falls linearly in the logarithm of the number of parameters, from ``gamma_max`` for the smallest subnet to
    ``1 / gamma_max`` for the largest, as in the authors' program.

    Args:
        supernet: whose subnets are trained.
        gamma_max: above 1; 4 in the paper.
    """

    def __init__(self, supernet: Supernet, gamma_max: float) -> None:
        self._models, self._known = MetaModels(supernet.space), dict[Architecture, float]()
        self._gamma_max = gamma_max
        self._low, self._high = (self._complexity(extreme(supernet)) for extreme in (smallest, largest))

    def gamma(self, arch: Architecture) -> float:
        """Return the exponent for a subnet."""
        if self._high <= self._low:
            return 1.0
        share = (self._complexity(arch) - self._low) / (self._high - self._low)
        return self._gamma_max - (self._gamma_max - 1 / self._gamma_max) * min(max(share, 0.0), 1.0)

    def factor(self, arch: Architecture, progress: float) -> float:
        """Return the factor on the highest learning rate, given the share of the training that is done."""
        return float((1 - progress) ** self.gamma(arch))

    def _complexity(self, arch: Architecture) -> float:
        if arch not in self._known:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[arch] = math.log(max(count_params(self._models(arch)), 1))
        return self._known[arch]


class SeparateMomenta:
    """States of the optimizer for each group of subnets: those with the same option of one decision.

    The decision is drawn once from the seed, as the authors draw an edge of NAS-Bench-201; it is one that is always
    active.

    Args:
        setup: has the optimizer.

    Raises:
        SpaceError: if no decision is always active.
    """

    def __init__(self, setup: Setup) -> None:
        always = [decision for decision in setup.supernet.space.decisions if not decision.active_if]
        if not always:
            raise SpaceError(f"{setup.supernet.space.name} has no decision that is always active, to group subnets by")
        rng = np.random.default_rng(seed_of(setup.seed, "momentum"))
        self.decision = always[int(rng.integers(len(always)))]
        self._optimizer = setup.optimizer
        self._states: dict[int, Any] = {}

    def group(self, option: Option) -> int:
        """Return the number of the group of an option."""
        return list(self.decision.options).index(option)

    def choose(self, arch: Architecture) -> None:
        """Let the optimizer work with the state of a subnet's group."""
        number = self.group(arch[self.decision.name])
        if number not in self._states:
            self._states[number] = type(self._optimizer.state)(dict)
        self._optimizer.state = self._states[number]

    def state_dict(self) -> dict[int, Any]:
        """Return the states by group."""
        found = {}
        for number, state in self._states.items():
            self._optimizer.state = state
            found[number] = self._optimizer.state_dict()
        return found

    def load_state_dict(self, states: Mapping[int, Any]) -> None:
        """Restore the states.

        Raises:
            Exception: if they are another optimizer's.
        """
        for number, state in states.items():
            self._optimizer.load_state_dict(state)
            self._states[int(number)] = self._optimizer.state


def check_gamma(gamma_max: float | None) -> None:
    """Check the largest exponent.

    Raises:
        SettingError: if it is not above 1.
    """
    if gamma_max is not None and not 1 < gamma_max <= 100:
        raise SettingError(f"complexity_aware_lr must be above 1 and at most 100, such as 4, got {gamma_max}")
