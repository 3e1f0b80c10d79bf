"""What REINFORCE and PPO share: a controller that is asked for batches and learns from their rewards."""

from abc import abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.nn.controller import Controller
from raynas.strategies.base import Strategy
from raynas.strategies.fresh import new_near
from raynas.strategies.reward import Reward

MAX_REPEATS = 3
"""How many known architectures in a row the controller may propose; then it is helped to one near by that is new."""


@dataclass(frozen=True, kw_only=True)
class PolicyGradient(Strategy):
    """Settings of a controller and of how it learns.

    Args:
        batch_size: how many rewards one update learns from; at least 2.
        learning_rate: of Adam; positive.
        baseline_decay: how much of the moving baseline stays at each reward; in [0, 1).
        entropy_weight: how strongly the controller is kept undecided; at least 0.
        hidden_size: width of the LSTM; at least 1.
    """

    batch_size: int = 8
    learning_rate: float = 0.02
    baseline_decay: float = 0.95
    entropy_weight: float = 0.01
    hidden_size: int = 35

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.batch_size < 2 or self.hidden_size < 1:
            raise ValueError(
                f"{name} needs batch_size >= 2 and hidden_size >= 1, got {self.batch_size} and {self.hidden_size}"
            )
        if not self.learning_rate > 0 or not self.entropy_weight >= 0 or not 0 <= self.baseline_decay < 1:
            raise ValueError(
                f"{name} needs learning_rate > 0, entropy_weight >= 0 and baseline_decay in [0, 1), "
                f"got {self.learning_rate}, {self.entropy_weight} and {self.baseline_decay}"
            )


class PolicyGradientSearcher(ArchitectureSearcher):
    """Asks its controller for a batch, and lets it learn when as many rewards have come back.

    What the controller did not draw (architectures of another search, the user's points) moves the baseline only: it
    says nothing about the controller's own choices. An architecture that it draws again is answered from the archive
    and learned from again.

    Args:
        space: what to search.
        goal: what to search for; one objective.
        settings: of the controller.
        seed: of the one generator that all randomness comes from, the controller's first weights too.
        common: goes to ``ArchitectureSearcher``.

    Raises:
        ValueError: if there are several objectives.
        SpaceError: if a decision is continuous.
    """

    def __init__(
        self, space: SearchSpace, goal: Goal | None = None, *, settings: PolicyGradient, seed: int = 0, **common: Any
    ) -> None:
        super().__init__(space, goal, seed=seed, **common)
        self.reward = Reward(self.goal, type(settings).__name__)
        self.baseline = Baseline(settings.baseline_decay)
        self.controller = Controller(
            space,
            hidden_size=settings.hidden_size,
            tanh_constant=None,
            temperature=1.0,
            init_range=0.08,
            seed=int(self.rng.integers(2**31)),
        )
        self.adam = torch.optim.Adam(self.controller.parameters(), lr=settings.learning_rate)
        self._settings = settings
        self._ready: deque[tuple[Architecture, Tensor]] = deque()
        self._drawn: dict[Architecture, Tensor] = {}
        self._batch: list[tuple[Architecture, Tensor, float]] = []
        self._seen: set[Architecture] = set()
        self._n_repeats = 0

    @abstractmethod
    def learn(self, archs: list[Architecture], old_log_probs: Tensor, advantages: Tensor) -> None:
        """Update the controller.

        Args:
            archs: what it drew; n of them.
            old_log_probs: of each decision when it was drawn, ``(n, n_decisions)``, zeros where it was not active.
            advantages: how much better than usual each was, ``(n,)``, in running standard deviations.
        """

    def propose(self) -> Architecture:
        if not self._ready:
            archs, log_probs = self.controller.sample_many(self._settings.batch_size, self.rng)
            self._ready.extend(zip(archs, log_probs, strict=True))
        point, log_probs = self._ready.popleft()
        self._n_repeats = self._n_repeats + 1 if point in self._seen else 0
        if self._n_repeats > MAX_REPEATS:
            self._n_repeats = 0
            return new_near(self.space, point, self._seen, self.running, rng=self.rng)
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
        """One step of Adam."""
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()

    def _update(self) -> None:
        archs, old_log_probs, rewards = zip(*self._batch, strict=True)
        advantages = self.baseline.advantages(list(rewards))
        self.baseline.update(list(rewards))
        self.learn(list(archs), torch.stack(old_log_probs), torch.tensor(advantages))
        # What was drawn before is not what the controller would draw now.
        self._batch, self._ready = [], deque()


class Baseline:
    """Moving averages of the rewards and of their spread.

    Args:
        decay: how much of an average stays at each reward.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.mean: float | None = None
        self.variance = 0.0

    def update(self, rewards: list[float]) -> None:
        """Take in rewards, oldest first; the first ones make the first averages."""
        if self.mean is None:
            self.mean, self.variance = self._first(rewards)
            return
        for reward in rewards:
            self.variance += (1 - self.decay) * ((reward - self.mean) ** 2 - self.variance)
            self.mean += (1 - self.decay) * (reward - self.mean)

    def advantages(self, rewards: list[float]) -> list[float]:
        """By how many standard deviations each is better than the average of those before, so that units do not matter.

        The rewards themselves have no say in the average (it would bias the gradient), except for the very first ones.
        """
        mean, variance = self._first(rewards) if self.mean is None else (self.mean, self.variance)
        return [(reward - mean) / max(variance**0.5, 1e-12) for reward in rewards]

    @staticmethod
    def _first(rewards: list[float]) -> tuple[float, float]:
        mean = sum(rewards) / len(rewards)
        return mean, sum((reward - mean) ** 2 for reward in rewards) / len(rewards)
