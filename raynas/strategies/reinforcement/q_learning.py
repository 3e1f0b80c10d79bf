"""Q-learning (MetaQNN): a table of what each option is worth after the one before, and epsilon-greedy walks.

Baker, Gupta, Naik and Raskar, "Designing Neural Network Architectures using Reinforcement Learning" (ICLR 2017,
arXiv:1611.02167). A state is the decision to be taken and the option taken just before, as the paper's is a layer and
its depth. Deviations: rewards are scaled to [0, 1] by the range seen so far, so that the objective may have any unit;
epsilon's schedule is scaled to the budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Decision
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.strategies.base import Strategy
from raynas.strategies.fresh import new_near
from raynas.strategies.reward import Reward

SCHEDULE = ((1.0, 1500), (0.9, 100), (0.8, 100), (0.7, 100), *((tenths / 10, 150) for tenths in range(6, 0, -1)))
"""Epsilon, and how many models the paper trains with it (table 2)."""

MAX_REPEATS = 20
"""How many known architectures in a row the walks may lead to; then they are helped to one near by that is new."""

State = tuple[str, Option | None]
Step = tuple[State, int, State | None]
"""A state, the index of the option taken in it, and the state this led to; None at the end."""


@dataclass(frozen=True, kw_only=True)
class QLearning(Strategy):
    """Tabular Q-learning over the walk of decisions; one objective, no continuous decisions.

    Args:
        budget: how many evaluations the schedule of epsilon is stretched over; afterwards it stays at its last value.
        learning_rate: alpha; in (0, 1].
        discount: gamma; in (0, 1].
        n_replays: how many remembered evaluations are learned from after each new one; at least 1.
        first_value: what every option is worth at the start, in [0, 1].
    """

    budget: int = 100
    learning_rate: float = 0.01
    discount: float = 1.0
    n_replays: int = 100
    first_value: float = 0.5

    def __post_init__(self) -> None:
        if self.budget < 1 or self.n_replays < 1:
            raise ValueError(f"QLearning needs budget >= 1 and n_replays >= 1, got {self.budget} and {self.n_replays}")
        for name in ("learning_rate", "discount"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"QLearning needs {name} in (0, 1], got {getattr(self, name)}")
        if not 0 <= self.first_value <= 1:
            raise ValueError(f"QLearning needs first_value in [0, 1], got {self.first_value}")

    def epsilon(self, n_evaluated: int) -> float:
        """How likely a step is random after so many evaluations."""
        total = sum(n for _, n in SCHEDULE)
        seen = 0
        for epsilon, n in SCHEDULE:
            seen += n
            if n_evaluated * total < seen * self.budget:
                return epsilon
        return SCHEDULE[-1][0]

    def make_searcher(self, space: SearchSpace, goal: Goal, **common: Any) -> ArchitectureSearcher:
        return QLearningSearcher(space, goal, settings=self, **common)


class QLearningSearcher(ArchitectureSearcher):
    """The searcher of ``QLearning``; it learns from every evaluation, whoever asked for it.

    Raises:
        ValueError: if there are several objectives.
        SpaceError: if a decision is continuous.
    """

    def __init__(
        self, space: SearchSpace, goal: Goal | None = None, *, settings: QLearning | None = None, **common: Any
    ) -> None:
        super().__init__(space, goal, **common)
        self.settings = settings or QLearning()
        self.reward = Reward(self.goal, "QLearning")
        self._decisions = tuple(space.decisions)
        if continuous := [d.name for d in self._decisions if not d.options]:
            raise SpaceError(f"a table of values cannot hold continuous decisions such as {continuous[0]!r}")
        self.values: dict[State, list[float]] = {}
        self.memory: list[tuple[Sequence[Step], float]] = []
        self._highest = float("-inf")
        self._seen: set[Architecture] = set()
        self._n_repeats = 0

    def propose(self) -> Architecture:
        point = self._walk(self.settings.epsilon(len(self._seen)))
        self._n_repeats = self._n_repeats + 1 if point in self._seen else 0
        if self._n_repeats <= MAX_REPEATS:
            return point
        self._n_repeats = 0
        return new_near(self.space, point, self._seen, self.running, rng=self.rng)

    def observe(self, evaluation: Evaluation) -> None:
        reward = self.reward(self.goal, evaluation)
        if reward is not None and evaluation.arch not in self._seen:
            self._highest = max(self._highest, reward)
            self.memory.append((self.steps(evaluation.arch), reward))
            self._learn_from(len(self.memory) - 1)
            for i in self._replayed():
                self._learn_from(i)
        self._seen.add(evaluation.arch)

    def steps(self, arch: Architecture) -> Sequence[Step]:
        """The walk that leads to an architecture, first step first."""
        taken = [decision for decision in self._decisions if decision.name in arch]
        options: list[Option | None] = [None, *(arch[decision.name] for decision in taken)]
        states: list[State | None] = [*((d.name, before) for d, before in zip(taken, options, strict=False)), None]
        indices = [decision.options.index(arch[decision.name]) for decision in taken]
        return [(s, i, after) for s, i, after in zip(states, indices, states[1:], strict=False) if s is not None]

    def _walk(self, epsilon: float) -> Architecture:
        options: dict[str, Option] = {}
        before: Option | None = None
        for decision in self._decisions:
            if decision.is_active(options):
                before = options[decision.name] = decision.options[self._taken(decision, before, epsilon)]
        return Architecture(options)

    def _taken(self, decision: Decision, before: Option | None, epsilon: float) -> int:
        values = self.values.get((decision.name, before))
        if values is None or self.rng.random() < epsilon:
            return int(self.rng.integers(len(decision.options)))
        best = max(values)
        ties = [i for i, value in enumerate(values) if value == best]
        return ties[int(self.rng.integers(len(ties)))]

    def _replayed(self) -> list[int]:
        """Which evaluations are learned from again."""
        return [int(i) for i in self.rng.integers(len(self.memory), size=self.settings.n_replays)]

    def _learn_from(self, index: int) -> None:
        """Bellman's equation along one walk, last step first, as the paper does it."""
        steps, reward = self.memory[index]
        span = self._highest - self.reward.lowest
        scaled = (reward - self.reward.lowest) / span if span > 0 else self.settings.first_value
        alpha, gamma = self.settings.learning_rate, self.settings.discount
        for state, i, after in reversed(steps):
            values = self._values(state)
            target = scaled if after is None else gamma * max(self._values(after))
            values[i] += alpha * (target - values[i])

    def _values(self, state: State) -> list[float]:
        if state not in self.values:
            decision = next(d for d in self._decisions if d.name == state[0])
            self.values[state] = [self.settings.first_value] * len(decision.options)
        return self.values[state]
