"""Genetic algorithm: each generation replaces the one before by crossover and mutation, except for its best.

After Xie and Yuille, "Genetic CNN" (ICCV 2017, arXiv:1703.01513). Deviations: tournaments choose the parents, where the
paper draws them in proportion to their accuracy, because a rank does not depend on the unit of the objective and exists
for several objectives too; and the best survive (De Jong, 1975), where the paper may lose them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import Unpack

from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.base import Strategy, require_probabilities
from raynas.strategies.evolution.generations import GenerationalSearcher


@dataclass(frozen=True, kw_only=True)
class GeneticAlgorithm(Strategy):
    """Evolve generations by crossover and mutation, with elitism; several objectives are compared as in NSGA-II.

    Args:
        population_size: size of the population, and number of random architectures that start it; at least 2.
        n_elites: number of the best that survive; from 0 to less than ``population_size``.
        tournament_size: number of members that compete to be a parent; at least 1.
        crossover_prob: probability that a child has two parents; in [0, 1].
        mutation_prob: probability that a decision of a child changes; in [0, 1]; 1 / number of decisions if None.
    """

    population_size: int = 20
    n_elites: int = 1
    tournament_size: int = 3
    crossover_prob: float = 0.5
    mutation_prob: float | None = None

    def __post_init__(self) -> None:
        if self.population_size < 2 or not 0 <= self.n_elites < self.population_size:
            raise SettingError(
                "GeneticAlgorithm needs population_size >= 2 and 0 <= n_elites < population_size, "
                f"got {self.population_size} and {self.n_elites}"
            )
        if self.tournament_size < 1:
            raise SettingError(f"GeneticAlgorithm needs tournament_size >= 1, got {self.tournament_size}")
        require_probabilities(self, "crossover_prob", "mutation_prob")

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return GeneticAlgorithmSearcher(space, goal, settings=self, **options)


class GeneticAlgorithmSearcher(GenerationalSearcher):
    """The searcher of ``GeneticAlgorithm``."""

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        settings: GeneticAlgorithm | None = None,
        **options: Unpack[SearcherOptions],
    ) -> None:
        self.settings = settings or GeneticAlgorithm()
        size = self.settings.population_size
        super().__init__(
            space,
            goal,
            population_size=size,
            n_children=size - self.settings.n_elites,
            tournament_size=self.settings.tournament_size,
            crossover_prob=self.settings.crossover_prob,
            mutation_prob=self.settings.mutation_prob,
            **options,
        )

    def survivors(self, population: Sequence[Evaluation], children: Sequence[Evaluation]) -> list[Evaluation]:
        return self.goal.sort([*population[: self.settings.n_elites], *children])
