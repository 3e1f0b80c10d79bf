"""Regularized evolution: a tournament picks the parent, the oldest dies (Real et al., AAAI 2019, algorithm 1)."""

from collections import deque
from dataclasses import dataclass

from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.base import Strategy


@dataclass(frozen=True, kw_only=True)
class RegularizedEvolution(Strategy):
    """Aging evolution; with several objectives the tournament compares non-dominated rank and crowding distance.

    The paper uses P = 100 and S = 25 for 20,000 evaluations; the defaults are for some hundred.

    Args:
        population_size: P, size of the population, and number of random architectures that start it; at least 2.
        tournament_size: S, number of members drawn, with replacement, to compete to be the parent; from 1 to
            ``population_size``.
        crossover_prob: probability that a child has two parents before it is mutated, in [0, 1]; 0 in the paper.
    """

    population_size: int = 20
    tournament_size: int = 5
    crossover_prob: float = 0.0

    def __post_init__(self) -> None:
        if self.population_size < 2 or not 1 <= self.tournament_size <= self.population_size:
            raise SettingError(
                "RegularizedEvolution needs population_size >= 2 and 1 <= tournament_size <= population_size, "
                f"got {self.population_size} and {self.tournament_size}"
            )
        if not 0 <= self.crossover_prob <= 1:
            raise SettingError(f"crossover_prob must be in [0, 1], got {self.crossover_prob}")

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return RegularizedEvolutionSearcher(space, goal, settings=self, **options)


class RegularizedEvolutionSearcher(ArchitectureSearcher):
    """The searcher of ``RegularizedEvolution``."""

    needs_no_replay = True

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        settings: RegularizedEvolution | None = None,
        **options: Unpack[SearcherOptions],
    ) -> None:
        super().__init__(space, goal, **options)
        self.settings = settings or RegularizedEvolution()
        self.population: deque[Evaluation] = deque(maxlen=self.settings.population_size)

    def propose(self) -> Architecture:
        if len(self.population) + len(self.running) < self.settings.population_size or not self.population:
            return self.sample()
        child = self._parent()
        if self.rng.random() < self.settings.crossover_prob:
            child = self.space.crossover(child, self._parent(), self.rng)
        return self.space.mutate(child, self.rng)

    def observe(self, evaluation: Evaluation) -> None:
        if evaluation.ok:
            self.population.append(evaluation)

    def _parent(self) -> Architecture:
        """Return the best of S members, drawn with replacement ("the element stays in the population")."""
        drawn = {int(i) for i in self.rng.integers(len(self.population), size=self.settings.tournament_size)}
        return self.goal.sort(self.population[i] for i in sorted(drawn))[0].arch
