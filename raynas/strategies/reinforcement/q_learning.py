"""Q-learning (MetaQNN): a table of the values of options in each state, and epsilon-greedy walks.

Baker, Gupta, Naik and Raskar, "Designing Neural Network Architectures using Reinforcement Learning" (ICLR 2017,
arXiv:1611.02167). Their state is the layer chosen last, its depth, and what of the earlier layers decides which layers
may follow (the size of the representation, the number of dense layers). Here it is the decision to be taken, the option
chosen last, and for which later decisions the conditions on earlier ones are not met. So a state and an option
determine the next state, as Q-learning requires. As in the paper, the reward depends on the whole walk all the same.

Deviations: rewards are scaled to [0, 1] by the range seen so far, so that the objective may have any unit; epsilon's
schedule is scaled to the number of trials; and where walks lead to known architectures again and again, one is mutated,
where the paper walks on. Each new evaluation is followed by 100 replays, as in the paper (128 in the authors' program).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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

UNKNOWN_BUDGET = 100
"""Number of evaluations that the schedule is scaled to where nobody says how many there will be."""

State = tuple[str, Option | None, tuple[str, ...]]
"""A decision, the option taken just before it, and the later decisions whose conditions the options do not meet."""

Step = tuple[State, int, State | None]
"""A state, the index of the option taken in it, and the next state; None at the end."""


@dataclass(frozen=True, kw_only=True)
class QLearning(Strategy):
    """Tabular Q-learning over the walk of decisions; one objective, no continuous decisions.

    Args:
        budget: number of evaluations that the schedule of epsilon is scaled to; afterwards it keeps its last value.
            None for the number of trials of the search. At least 1.
        learning_rate: alpha; in (0, 1].
        discount: gamma; in (0, 1].
        n_replays: number of stored evaluations, drawn with replacement, that are replayed after each new one; at least
            1.
        first_value: initial value of every option, in [0, 1].
    """

    budget: int | None = None
    learning_rate: float = 0.01
    discount: float = 1.0
    n_replays: int = 100
    first_value: float = 0.5

    def __post_init__(self) -> None:
        if (self.budget is not None and self.budget < 1) or self.n_replays < 1:
            raise SettingError(
                f"QLearning needs budget >= 1 and n_replays >= 1, got {self.budget} and {self.n_replays}"
            )
        for name in ("learning_rate", "discount"):
            if not 0 < getattr(self, name) <= 1:
                raise SettingError(f"QLearning needs {name} in (0, 1], got {getattr(self, name)}")
        if not 0 <= self.first_value <= 1:
            raise SettingError(f"QLearning needs first_value in [0, 1], got {self.first_value}")

    def for_budget(self, n_trials: int) -> "QLearning":
        """Scale the schedule of epsilon to a number of trials, unless ``budget`` says another one."""
        return self if self.budget else replace(self, budget=n_trials)

    def epsilon(self, n_evaluated: int) -> float:
        """Return the probability of a random step after a number of evaluations."""
        budget = self.budget or UNKNOWN_BUDGET
        total = sum(n for _, n in SCHEDULE)
        seen = 0
        for epsilon, n in SCHEDULE:
            seen += n
            if n_evaluated * total < seen * budget:
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
        refuse_continuous(space, "a table of values cannot hold")
        self._decisions = {decision.name: decision for decision in space.decisions}
        self._later = later_conditions(space.decisions)
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
            for i in self.rng.integers(len(self.memory), size=self.settings.n_replays):
                self._learn_from(int(i))
        self._seen.add(evaluation.arch)

    def steps(self, arch: Architecture) -> Sequence[Step]:
        """Return the walk that leads to an architecture, first step first."""
        taken = [decision for name, decision in self._decisions.items() if name in arch]
        states: list[State | None] = []
        before: Option | None = None
        for decision in taken:
            states.append(self._state(decision.name, before, arch))
            before = arch[decision.name]
        indices = [decision.options.index(arch[decision.name]) for decision in taken]
        following = [*states[1:], None]
        return [(s, i, after) for s, i, after in zip(states, indices, following, strict=True) if s is not None]

    def _state(self, name: str, before: Option | None, options: Mapping[str, Option]) -> State:
        return name, before, tuple(later.name for later in self._later[name] if not later.is_active(options))

    def _walk(self, epsilon: float) -> Architecture:
        options: dict[str, Option] = {}
        before: Option | None = None
        for name, decision in self._decisions.items():
            if decision.is_active(options):
                i = self._taken(self._state(name, before, options), len(decision.options), epsilon)
                before = options[name] = decision.options[i]
        return Architecture(options)

    def _taken(self, state: State, n_options: int, epsilon: float) -> int:
        values = self.values.get(state)
        if values is None or self.rng.random() < epsilon:
            return int(self.rng.integers(n_options))
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
            self.values[state] = [self.settings.first_value] * len(self._decisions[state[0]].options)
        return self.values[state]


def later_conditions(decisions: Sequence[Decision]) -> dict[str, list[Decision]]:
    """Return for each decision the later ones that depend on earlier ones, with their conditions on those alone."""
    return {
        decision.name: [
            replace(later, active_if=known)
            for later in decisions[i + 1 :]
            if (known := {e.name: later.active_if[e.name] for e in decisions[:i] if e.name in later.active_if})
        ]
        for i, decision in enumerate(decisions)
    }
