"""NSGA-II: non-dominated sort, crowding distance, binary tournaments, and the best of parents and children survive.

Deb, Pratap, Agarwal and Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II" (IEEE Transactions on
Evolutionary Computation 6(2), 2002). Deviations: decisions are categories, so crossover is uniform and mutation draws
another option, where the paper has real numbers; nothing is evaluated twice; and the defaults are for searches of
hundreds of evaluations, not of 25,000: more random architectures start the search than survive of them, the population
is small, it changes after every child (Durillo et al., "On the Effect of the Steady-State Selection Scheme in
Multi-Objective Genetic Algorithms", EMO 2009), and most children are their parent with one decision changed. Where all
objectives but one are costs that follow from the architecture alone, a child that computes a function which was
evaluated before, at costs of which none was higher, is made again instead of being evaluated. The paper's settings are
``NSGA2(population_size=100, n_children=100, crossover_prob=0.9, mutation_prob=None)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.base import Strategy, require_probabilities
from raynas.strategies.evolution.generations import GenerationalSearcher
from raynas.strategies.evolution.known_functions import KnownFunctions

_SMALLEST, _LARGEST = 4, 100
"""Sizes of a population that is chosen by the number of trials."""


@dataclass(frozen=True, kw_only=True)
class NSGA2(Strategy):
    """Search the whole Pareto front of several objectives; with one objective, an elitist genetic algorithm.

    Args:
        population_size: N, size of the population; at least 2. If None, one for every 25 trials, from 4 to 100; 4 where
            the number of trials is not known.
        n_initial: number of random architectures that start the search, of which the best N survive; N where that is
            more, as in the paper; at least 1.
        n_children: number of children between two selections of survivors; at least 1, and N in the paper.
        crossover_prob: probability that a child has two parents before it is mutated; in [0, 1]. Parents from two ends
            of a front rarely have good children.
        mutation_prob: probability that a decision of a child changes; in [0, 1]; 1 / number of decisions, as in the
            paper, if None. With 0 a child that was evaluated before, as a copy of its parent was, has one decision
            changed.
    """

    population_size: int | None = None
    n_initial: int = 12
    n_children: int = 1
    crossover_prob: float = 0.25
    mutation_prob: float | None = 0.0

    def __post_init__(self) -> None:
        if self.population_size is not None and self.population_size < 2:
            raise SettingError(f"NSGA2 needs population_size >= 2, got {self.population_size}")
        if self.n_initial < 1 or self.n_children < 1:
            raise SettingError(
                f"NSGA2 needs n_initial >= 1 and n_children >= 1, got {self.n_initial} and {self.n_children}"
            )
        require_probabilities(self, "crossover_prob", "mutation_prob")

    def for_budget(self, n_trials: int) -> "NSGA2":
        """Return the same strategy with a population for so many trials, unless its size is set already."""
        if self.population_size is not None:
            return self
        return replace(self, population_size=min(max(n_trials // 25, _SMALLEST), _LARGEST))

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
            n_initial=self.settings.n_initial,
            **options,
        )
        self._functions = KnownFunctions(space, self.goal, self.costs)

    def observe(self, evaluation: Evaluation) -> None:
        self._functions.add(evaluation)
        super().observe(evaluation)

    def is_useless(self, child: Architecture) -> bool:
        return self._functions.has_as_cheap(child)

    def survivors(self, population: Sequence[Evaluation], children: Sequence[Evaluation]) -> list[Evaluation]:
        everyone = [*population, *children]
        best = self.goal.order(everyone)[: self._population_size]
        # Sorted again within the new population, where neighbours that were dropped no longer crowd.
        kept = [everyone[i] for i in best]
        return [kept[i] for i in self.goal.order(kept)]
