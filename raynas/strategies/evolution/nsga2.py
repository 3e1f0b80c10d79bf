"""NSGA-II: non-dominated sort, crowding distance, binary tournaments, and the best of parents and children survive.

Deb, Pratap, Agarwal and Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II" (IEEE Transactions on
Evolutionary Computation 6(2), 2002). Deviations: decisions are categories, so crossover is uniform and mutation draws
another option, where the paper has real numbers; nothing is evaluated twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import Unpack

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.base import Strategy
from raynas.strategies.evolution.generations import GenerationalSearcher, require_probabilities


@dataclass(frozen=True, kw_only=True)
class NSGA2(Strategy):
    """Search the whole Pareto front of several objectives; with one objective, an elitist genetic algorithm.

    The paper uses N = 100 for 25,000 evaluations; the default is for some hundred.

    Args:
        population_size: N, size of the population and number of children per generation; at least 2.
        crossover_prob: probability that a child has two parents before it is mutated; in [0, 1].
        mutation_prob: probability that a decision of a child changes; in [0, 1]; 1 / number of decisions, as in the
            paper, if None.
    """

    population_size: int = 20
    crossover_prob: float = 0.9
    mutation_prob: float | None = None

    def __post_init__(self) -> None:
        if self.population_size < 2:
            raise SettingError(f"NSGA2 needs population_size >= 2, got {self.population_size}")
        require_probabilities(self, "crossover_prob", "mutation_prob")

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
        n = self.settings.population_size
        super().__init__(
            space,
            goal,
            population_size=n,
            n_children=n,
            tournament_size=2,  # by the crowded comparison
            crossover_prob=self.settings.crossover_prob,
            mutation_prob=self.settings.mutation_prob,
            **options,
        )

    def survivors(self, population: Sequence[Evaluation], children: Sequence[Evaluation]) -> list[Evaluation]:
        everyone = [*population, *children]
        best = self.goal.order(everyone)[: self.settings.population_size]
        # Sorted again within the new population, where neighbours that were dropped no longer crowd.
        kept = [everyone[i] for i in best]
        return [kept[i] for i in self.goal.order(kept)]
