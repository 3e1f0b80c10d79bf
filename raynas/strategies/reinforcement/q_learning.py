"""Q-learning (MetaQNN): a table of the values of options after the option before, and epsilon-greedy walks.

Baker, Gupta, Naik and Raskar, "Designing Neural Network Architectures using Reinforcement Learning" (ICLR 2017,
arXiv:1611.02167). A state is the decision to be taken and the option taken just before, as the paper's is a layer and
its depth. Deviations: rewards are scaled to [0, 1] by the range seen so far, so that the objective may have any unit;
epsilon's schedule is scaled to the budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import Unpack

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Decision
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.base import Strategy, refuse_continuous
from raynas.strategies.novelty import RepeatLimit, mutate_until_new
from raynas.strategies.penalized_reward import PenalizedReward

SCHEDULE = ((1.0, 1500), (0.9, 100), (0.8, 100), (0.7, 100), *((tenths / 10, 150) for tenths in range(6, 0, -1)))
"""Epsilon, and the number of models that the paper trains with it (table 2)."""

MAX_REPEATS = 20
"""Number of known architectures in a row that walks may lead to; then one is mutated until it is new."""

State = tuple[str, Option | None]
Step = tuple[State, int, State | None]
"""A state, the index of the option taken in it, and the next state; None at the end."""


@dataclass(frozen=True, kw_only=True)
class QLearning(Strategy):
    """Tabular Q-learning over the walk of decisions; one objective, no continuous decisions.

    Args:
        budget: number of evaluations that the schedule of epsilon is scaled to; afterwards it keeps its last value.
        learning_rate: alpha; in (0, 1].
        discount: gamma; in (0, 1].
        n_replays: number of stored evaluations replayed after each new one; at least 1.
        first_value: initial value of every option, in [0, 1].
    """

    budget: int = 100
    learning_rate: float = 0.01
    discount: float = 1.0
    n_replays: int = 100
    first_value: float = 0.5

    def __post_init__(self) -> None:
        if self.budget < 1 or self.n_replays < 1:
            raise SettingError(
                f"QLearning needs budget >= 1 and n_replays >= 1, got {self.budget} and {self.n_replays}"
            )
        for name in ("learning_rate", "discount"):
            if not 0 < getattr(self, name) <= 1:
                raise SettingError(f"QLearning needs {name} in (0, 1], got {getattr(self, name)}")
        if not 0 <= self.first_value <= 1:
            raise SettingError(f"QLearning needs first_value in [0, 1], got {self.first_value}")

    def epsilon(self, n_evaluated: int) -> float:
        """Return the probability of a random step after a number of evaluations."""
        total = sum(n for _, n in SCHEDULE)
        seen = 0
        for epsilon, n in SCHEDULE:
            seen += n
            if n_evaluated * total < seen * self.budget:
                return epsilon
        return SCHEDULE[-1][0]

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return QLearningSearcher(space, goal, settings=self, **options)


class QLearningSearcher(ArchitectureSearcher):
    """The searcher of ``QLearning``; it learns from every evaluation, also of other searches.

    Raises:
        SettingError: if there are several objectives.
        SpaceError: if a decision is continuous.
    """

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        settings: QLearning | None = None,
        **options: Unpack[SearcherOptions],
    ) -> None:
        super().__init__(space, goal, **options)
        self.settings = settings or QLearning()
        self.reward = PenalizedReward(self.goal, "QLearning")
        self._decisions = tuple(space.decisions)
        refuse_continuous(space, "a table of values cannot hold")
        self.values: dict[State, list[float]] = {}
        self.memory: list[tuple[Sequence[Step], float]] = []
        self._highest = float("-inf")
        self._seen: set[Architecture] = set()
        self._repeats = RepeatLimit(MAX_REPEATS)

    def propose(self) -> Architecture:
        point = self._walk(self.settings.epsilon(len(self._seen)))
        if not self._repeats.is_exceeded(point in self._seen):
            return point
        return mutate_until_new(self.space, point, self._seen, self.running, rng=self.rng)

    def observe(self, evaluation: Evaluation) -> None:
        reward = self.reward(self.goal, evaluation)
        if reward is not None and evaluation.arch not in self._seen:
            self._highest = max(self._highest, reward)
            self.memory.append((self.steps(evaluation.arch), reward))
            self._learn_from(len(self.memory) - 1)
            for i in self.rng.integers(len(self.memory), size=self.settings.n_replays):
                self._learn_from(int(i))
        self._seen.add(evaluation.arch)

    def steps(self, arch: Architecture) -> Sequence[Step]:
        """Return the walk that leads to an architecture, first step first."""
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

    def _learn_from(self, index: int) -> None:
        """Apply Bellman's equation along one walk, last step first, as in the paper."""
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
