"""NSGA-II: non-dominated sort, crowding distance, binary tournaments, and the best of parents and children survive.

Deb, Pratap, Agarwal and Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II" (IEEE Transactions on
Evolutionary Computation 6(2), 2002). Deviations: decisions are categories, so crossover is uniform and mutation draws
another option, where the paper has real numbers; nothing is evaluated twice; and by default the population is small,
changes after every child (Durillo et al., "On the Effect of the Steady-State Selection Scheme in Multi-Objective
Genetic Algorithms", EMO 2009) and is mostly mutated, since searches have hundreds of evaluations, not 25,000. The
paper's settings are ``NSGA2(population_size=100, n_children=100, crossover_prob=0.9)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from typing_extensions import Unpack

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.base import Strategy, require_probabilities
from raynas.strategies.evolution.generations import GenerationalSearcher

_SMALLEST, _LARGEST = 6, 100
"""Sizes of a population that is chosen by the number of trials."""


@dataclass(frozen=True, kw_only=True)
class NSGA2(Strategy):
    """Search the whole Pareto front of several objectives; with one objective, an elitist genetic algorithm.

    Args:
        population_size: N, size of the population, and number of random architectures that start it; at least 2. If
            None, a sixteenth of the number of trials, from 6 to 100; 6 where that number is not known.
        n_children: number of children between two selections of survivors; at least 1, and N in the paper.
        crossover_prob: probability that a child has two parents before it is mutated; in [0, 1]. Parents from two ends
            of a front rarely have good children.
        mutation_prob: probability that a decision of a child changes; in [0, 1]; 1 / number of decisions, as in the
            paper, if None.
    """

    population_size: int | None = None
    n_children: int = 1
    crossover_prob: float = 0.25
    mutation_prob: float | None = None

    def __post_init__(self) -> None:
        if self.population_size is not None and self.population_size < 2:
            raise SettingError(f"NSGA2 needs population_size >= 2, got {self.population_size}")
        if self.n_children < 1:
            raise SettingError(f"NSGA2 needs n_children >= 1, got {self.n_children}")
        require_probabilities(self, "crossover_prob", "mutation_prob")

    def for_budget(self, n_trials: int) -> "NSGA2":
        """Return the same strategy with a population for so many trials, unless its size is set already."""
        if self.population_size is not None:
            return self
        return replace(self, population_size=min(max(n_trials // 16, _SMALLEST), _LARGEST))

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return NSGA2Searcher(space, goal, settings=self, **options)


class NSGA2Searcher(GenerationalSearcher):
    """The searcher of ``NSGA2``."""

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        settings: NSGA2 | None = None,
        **options: Unpack[SearcherOptions],
    ) -> None:
        self.settings = settings or NSGA2()
        super().__init__(
            space,
            goal,
            population_size=self.settings.population_size or _SMALLEST,
            n_children=self.settings.n_children,
            tournament_size=2,  # by the crowded comparison
            crossover_prob=self.settings.crossover_prob,
            mutation_prob=self.settings.mutation_prob,
            **options,
        )

    def survivors(self, population: Sequence[Evaluation], children: Sequence[Evaluation]) -> list[Evaluation]:
        everyone = [*population, *children]
        best = self.goal.order(everyone)[: self._population_size]
        # Sorted again within the new population, where neighbours that were dropped no longer crowd.
        kept = [everyone[i] for i in best]
        return [kept[i] for i in self.goal.order(kept)]
