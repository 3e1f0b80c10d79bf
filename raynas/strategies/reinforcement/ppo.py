"""PPO: several steps per batch, each decision's probability kept near the one it was drawn with.

Schulman et al., "Proximal Policy Optimization Algorithms" (2017, arXiv:1707.06347), equation 7, on the controller of
Zoph and Le (2017), as Zoph et al. (CVPR 2018, NASNet) and Tan et al. (CVPR 2019, MnasNet) search. Deviation: a moving
baseline instead of a value network, as the reward comes only when all is decided.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from raynas.core.architecture import Architecture
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.strategies.reinforcement.policy_gradient import PolicyGradient, PolicyGradientSearcher


@dataclass(frozen=True, kw_only=True)
class PPO(PolicyGradient):
    """Proximal policy optimisation; one objective, no continuous decisions.

    Args:
        clip: epsilon, how far the ratio of new to old probability counts; positive.
        n_epochs: how many steps each batch is used for; at least 1.
    """

    clip: float = 0.2
    n_epochs: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.clip > 0 or self.n_epochs < 1:
            raise ValueError(f"PPO needs clip > 0 and n_epochs >= 1, got {self.clip} and {self.n_epochs}")

    def make_searcher(self, space: SearchSpace, goal: Goal, **common: Any) -> ArchitectureSearcher:
        return PPOSearcher(space, goal, settings=self, **common)


class PPOSearcher(PolicyGradientSearcher):
    """The searcher of ``PPO``."""

    def __init__(
        self, space: SearchSpace, goal: Goal | None = None, *, settings: PPO | None = None, **common: Any
    ) -> None:
        self.settings = settings or PPO()
        super().__init__(space, goal, settings=self.settings, **common)

    def learn(self, archs: list[Architecture], old_log_probs: Tensor, advantages: Tensor) -> None:
        for _ in range(self.settings.n_epochs):
            log_probs, entropies = self.controller.evaluate_many(archs)
            gain = clipped_surrogate(log_probs, old_log_probs, advantages, self.settings.clip)
            self.step(-gain - self.settings.entropy_weight * entropies.sum(dim=1).mean())


def clipped_surrogate(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """What PPO maximises: the pessimistic of the clipped and the unclipped gain, summed over decisions.

    Args:
        log_probs: of what was decided, now, ``(n, n_decisions)``, zeros where a decision is not active.
        old_log_probs: the same when it was drawn.
        advantages: ``(n,)``.
        clip: epsilon.

    Returns:
        The mean over the n architectures, a scalar.
    """
    ratio = (log_probs - old_log_probs).exp()
    gains = torch.minimum(ratio * advantages[:, None], ratio.clamp(1 - clip, 1 + clip) * advantages[:, None])
    return gains.sum(dim=1).mean()
