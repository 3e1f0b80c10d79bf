"""REINFORCE: an LSTM controller is moved towards architectures that are better than a moving baseline.

Zoph and Le, "Neural Architecture Search with Reinforcement Learning" (ICLR 2017, arXiv:1611.01578). As there: an LSTM
of 35 units, initial weights within 0.08, batches of 8, Adam, and 0.0006 as the learning rate for 12,800 trials.
Deviations: one layer instead of two; the rate is larger for fewer trials (see ``PolicyGradient``); the reward is the
objective, not the cube of an accuracy; the advantage is divided by the rewards' running standard deviation, so that the
objective may have any unit; and the entropy is part of the gain.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.strategies.reinforcement.policy_gradient import PolicyGradient, PolicyGradientSearcher


@dataclass(frozen=True, kw_only=True)
class Reinforce(PolicyGradient):
    """Policy gradient with a moving baseline; one objective, no continuous decisions."""

    paper: ClassVar[tuple[int, float]] = (12_800, 0.0006)

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return ReinforceSearcher(space, goal, settings=self, **options)


class ReinforceSearcher(PolicyGradientSearcher):
    """The searcher of ``Reinforce``."""

    def learn(self, archs: list[Architecture], old_log_probs: Tensor, advantages: Tensor) -> None:
        log_probs, entropies = self.controller.evaluate_many(archs)
        gain = (advantages * log_probs.sum(dim=1)).mean()  # its gradient is the paper's, section 3.2
        self.step(-gain - self._settings.entropy_weight * entropies.sum(dim=1).mean())
