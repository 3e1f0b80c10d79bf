"""Policy gradients: a controller proposes batches and learns from their rewards.

Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning" (Machine Learning
8, 1992); the basis of REINFORCE and PPO here.
"""

from abc import abstractmethod
from collections import deque
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.nn.controller import Controller
from raynas.strategies.base import Strategy
from raynas.strategies.novelty import RepeatLimit, mutate_until_new
from raynas.strategies.penalized_reward import PenalizedReward

MAX_REPEATS = 3
"""Number of known architectures in a row that the controller may propose; then one is mutated until it is new."""

MAX_RATE = 0.04
"""Largest sum of the learning rates of a batch's steps that follows from a number of trials."""

UNKNOWN_BUDGET = 100
"""Number of trials that the learning rate is for where nobody says how many there will be."""


@dataclass(frozen=True, kw_only=True)
class PolicyGradient(Strategy):
    """Settings of a controller and of its training.

    Args:
        batch_size: number of rewards per update; at least 2.
        learning_rate: of Adam; positive. None for one that follows from the number of trials: the rate of the paper for
            as many as the paper has, in inverse proportion for fewer, so that the controller moves as far, but at most
            0.04 for the steps of a batch together.
        baseline_decay: share of the moving baseline that a reward leaves; in [0, 1).
        entropy_weight: weight of the controller's entropy in the gain; at least 0.
        hidden_size: width of the LSTM; at least 1.
    """

    batch_size: int = 8
    learning_rate: float | None = None
    baseline_decay: float = 0.95
    entropy_weight: float = 0.01
    hidden_size: int = 35

    paper: ClassVar[tuple[int, float]]
    """Number of trials in the paper, and its learning rate."""

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.batch_size < 2 or self.hidden_size < 1:
            raise SettingError(
                f"{name} needs batch_size >= 2 and hidden_size >= 1, got {self.batch_size} and {self.hidden_size}"
            )
        has_rate = self.learning_rate is None or self.learning_rate > 0
        if not has_rate or not self.entropy_weight >= 0 or not 0 <= self.baseline_decay < 1:
            raise SettingError(
                f"{name} needs learning_rate > 0, entropy_weight >= 0 and baseline_decay in [0, 1), "
                f"got {self.learning_rate}, {self.entropy_weight} and {self.baseline_decay}"
            )

    @property
    def steps_per_batch(self) -> int:
        """Number of steps of Adam on each batch."""
        return 1

    def for_budget(self, n_trials: int) -> Strategy:
        """Set the learning rate for a number of trials, unless one is given."""
        return self if self.learning_rate else replace(self, learning_rate=self.rate_for(n_trials))

    def rate_for(self, n_trials: int) -> float:
        """Return the learning rate for a number of trials."""
        paper_trials, paper_rate = self.paper
        return min(MAX_RATE / self.steps_per_batch, paper_rate * max(1.0, paper_trials / n_trials))


class PolicyGradientSearcher(ArchitectureSearcher):
    """Draws batches from its controller and updates it after as many rewards; a subclass gives ``learn``.

    Architectures that the controller did not draw (of another search, the user's points) move only the baseline, as
    they are no samples of its policy. An architecture that it draws again is answered from the archive and learned from
    again.

    Args:
        space: the space to search.
        goal: the goal of the search; one objective.
        settings: of the controller.
        options: of ``ArchitectureSearcher``.

    Raises:
        SettingError: if there are several objectives.
        SpaceError: if a decision is continuous.
    """

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        settings: PolicyGradient,
        **options: Unpack[SearcherOptions],
    ) -> None:
        super().__init__(space, goal, **options)
        self.reward = PenalizedReward(self.goal, type(settings).__name__)
        self.baseline = Baseline(settings.baseline_decay)
        self.controller = Controller(
            space,
            hidden_size=settings.hidden_size,
            tanh_constant=None,
            temperature=1.0,
            init_range=0.08,
            seed=int(self.rng.integers(2**31)),
        )
        rate = settings.learning_rate or settings.rate_for(UNKNOWN_BUDGET)
        self.adam = torch.optim.Adam(self.controller.parameters(), lr=rate)
        self._settings = settings
        self._ready: deque[tuple[Architecture, Tensor]] = deque()
        self._drawn: dict[Architecture, Tensor] = {}
        self._batch: list[tuple[Architecture, Tensor, float]] = []
        self._seen: set[Architecture] = set()
        self._repeats = RepeatLimit(MAX_REPEATS)

    @abstractmethod
    def learn(self, archs: list[Architecture], old_log_probs: Tensor, advantages: Tensor) -> None:
        """Update the controller.

        Args:
            archs: n architectures that it drew.
            old_log_probs: of each decision when it was drawn, ``(n, n_decisions)``, zeros for inactive ones.
            advantages: rewards less the baseline, in running standard deviations, ``(n,)``.
        """

    def propose(self) -> Architecture:
        if not self._ready:
            archs, log_probs = self.controller.sample_many(self._settings.batch_size, self.rng)
            self._ready.extend(zip(archs, log_probs, strict=True))
        point, log_probs = self._ready.popleft()
        if self._repeats.is_exceeded(point in self._seen):
            return mutate_until_new(self.space, point, self._seen, self.running, rng=self.rng)
        self._drawn[point] = log_probs
        return point

    def observe(self, evaluation: Evaluation) -> None:
        self._seen.add(evaluation.arch)
        log_probs = self._drawn.pop(evaluation.arch, None)
        reward = self.reward(self.goal, evaluation)
        if reward is None:
            return
        if log_probs is None:
            self.baseline.update([reward])
            return
        self._batch.append((evaluation.arch, log_probs, reward))
        if len(self._batch) >= self._settings.batch_size:
            self._update()

    def step(self, loss: Tensor) -> None:
        """Take one step of Adam."""
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()

    def _update(self) -> None:
        archs, old_log_probs, rewards = zip(*self._batch, strict=True)
        advantages = self.baseline.advantages(list(rewards))
        self.baseline.update(list(rewards))
        self.learn(list(archs), torch.stack(old_log_probs), torch.tensor(advantages))
        # Earlier draws are not from the updated policy.
        self._batch, self._ready = [], deque()


class Baseline:
    """Moving averages of the rewards and of their variance.

    Args:
        decay: share of an average that a reward leaves.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.mean: float | None = None
        self.variance = 0.0

    def update(self, rewards: list[float]) -> None:
        """Add rewards, oldest first; the first ones initialise the averages."""
        if self.mean is None:
            self.mean, self.variance = self._first(rewards)
            return
        for reward in rewards:
            self.variance += (1 - self.decay) * ((reward - self.mean) ** 2 - self.variance)
            self.mean += (1 - self.decay) * (reward - self.mean)

    def advantages(self, rewards: list[float]) -> list[float]:
        """Return the rewards less the average of earlier ones, in standard deviations, so that units do not matter.

        The rewards themselves do not enter the average (it would bias the gradient), except for the very first ones.
        """
        mean, variance = self._first(rewards) if self.mean is None else (self.mean, self.variance)
        return [(reward - mean) / max(variance**0.5, 1e-12) for reward in rewards]

    @staticmethod
    def _first(rewards: list[float]) -> tuple[float, float]:
        mean = sum(rewards) / len(rewards)
        return mean, sum((reward - mean) ** 2 for reward in rewards) / len(rewards)
