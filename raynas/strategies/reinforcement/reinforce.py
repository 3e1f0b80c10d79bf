"""REINFORCE: an LSTM controller is moved towards architectures that are better than a moving baseline.

Zoph and Le, "Neural Architecture Search with Reinforcement Learning" (ICLR 2017, arXiv:1611.01578). Deviations: one
layer of 35 instead of two; the advantage is divided by the rewards' running standard deviation, so that the objective
may have any unit; the learning rate is for hundreds of trials, where the paper has 12,800 and 0.0006.
"""

from dataclasses import dataclass

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

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return ReinforceSearcher(space, goal, settings=self, **options)


class ReinforceSearcher(PolicyGradientSearcher):
    """The searcher of ``Reinforce``."""

    def learn(self, archs: list[Architecture], old_log_probs: Tensor, advantages: Tensor) -> None:
        log_probs, entropies = self.controller.evaluate_many(archs)
        gain = (advantages * log_probs.sum(dim=1)).mean()  # its gradient is the paper's, section 3.2
        self.step(-gain - self._settings.entropy_weight * entropies.sum(dim=1).mean())
