"""PPO: several steps per batch, with the probability of each decision kept near that of the draw.

Schulman et al., "Proximal Policy Optimization Algorithms" (2017, arXiv:1707.06347), equation 7, on the controller of
Zoph and Le (2017), as Zoph et al. (CVPR 2018, NASNet) and Tan et al. (CVPR 2019, MnasNet) search. As in NASNet: one
layer of LSTM, a moving baseline with a decay of 0.95 instead of a value network, as the reward follows only the last
decision, and 0.00035 as the learning rate for 20,000 trials; Adam, where NASNet names no optimiser. Deviations from
NASNet: 35 units instead of 100 and batches of 8 instead of 20, since there are few trials; initial weights within 0.08
instead of 0.1; the rate is larger for fewer trials (see ``PolicyGradient``); the advantage is divided by the rewards'
running standard deviation, so that the objective may have any unit, and the weight of the entropy, in that unit, is
0.01 instead of 0.00001.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.reinforcement.policy_gradient import PolicyGradient, PolicyGradientSearcher


@dataclass(frozen=True, kw_only=True)
class PPO(PolicyGradient):
    """Proximal policy optimisation; one objective, no continuous decisions.

    Args:
        clip: epsilon, the largest change of the ratio of new to old probability that counts; positive.
        n_epochs: number of steps per batch; at least 1.
    """

    paper: ClassVar[tuple[int, float]] = (20_000, 0.00035)

    clip: float = 0.2
    n_epochs: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.clip > 0 or self.n_epochs < 1:
            raise SettingError(f"PPO needs clip > 0 and n_epochs >= 1, got {self.clip} and {self.n_epochs}")

    @property
    def steps_per_batch(self) -> int:
        """Number of steps of Adam on each batch."""
        return self.n_epochs

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return PPOSearcher(space, goal, settings=self, **options)


class PPOSearcher(PolicyGradientSearcher):
    """The searcher of ``PPO``."""

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        settings: PPO | None = None,
        **options: Unpack[SearcherOptions],
    ) -> None:
        self.settings = settings or PPO()
        super().__init__(space, goal, settings=self.settings, **options)

    def learn(self, archs: list[Architecture], old_log_probs: Tensor, advantages: Tensor) -> None:
        for _ in range(self.settings.n_epochs):
            log_probs, entropies = self.controller.evaluate_many(archs)
            gain = clipped_surrogate(log_probs, old_log_probs, advantages, self.settings.clip)
            self.step(-gain - self.settings.entropy_weight * entropies.sum(dim=1).mean())


def clipped_surrogate(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Compute the gain that PPO maximises: the minimum of clipped and unclipped, summed over decisions.

    Args:
        log_probs: of the decisions, now, ``(n, n_decisions)``, zeros for inactive ones.
        old_log_probs: the same at the time of the draw.
        advantages: ``(n,)``.
        clip: epsilon.

    Returns:
        The mean over the n architectures, a scalar.
    """
    ratio = (log_probs - old_log_probs).exp()
    gains = torch.minimum(ratio * advantages[:, None], ratio.clamp(1 - clip, 1 + clip) * advantages[:, None])
    return gains.sum(dim=1).mean()
