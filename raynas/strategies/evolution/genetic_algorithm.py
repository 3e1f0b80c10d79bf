"""Genetic algorithm: each generation replaces the one before by crossover and mutation, except for its best.

After Xie and Yuille, "Genetic CNN" (ICCV 2017, arXiv:1703.01513). Deviations: tournaments choose the parents, where the
paper draws them in proportion to their accuracy, because a place does not depend on the unit of the objective and there
are places for several objectives too; and the best survive (De Jong, 1975), where the paper may lose them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.strategies.base import Strategy
from raynas.strategies.evolution.generations import GenerationalSearcher


@dataclass(frozen=True, kw_only=True)
class GeneticAlgorithm(Strategy):
    """Generations of crossover and mutation, with elitism; several objectives are compared as in NSGA-II.

    Args:
        population_size: how many live; also how many random architectures start it. At least 2.
        n_elites: how many of the best live on unchanged; from 0 to less than ``population_size``.
        tournament_size: how many compete to be a parent; at least 1.
        crossover_prob: how often a child has two parents; in [0, 1].
        mutation_prob: how likely each decision of a child changes; in [0, 1]; one decision in the mean if None.
    """

    population_size: int = 20
    n_elites: int = 1
    tournament_size: int = 3
    crossover_prob: float = 0.5
    mutation_prob: float | None = None

    def __post_init__(self) -> None:
        if self.population_size < 2 or not 0 <= self.n_elites < self.population_size:
            raise ValueError(
                "GeneticAlgorithm needs population_size >= 2 and 0 <= n_elites < population_size, "
                f"got {self.population_size} and {self.n_elites}"
            )
        if self.tournament_size < 1:
            raise ValueError(f"GeneticAlgorithm needs tournament_size >= 1, got {self.tournament_size}")
        for name in ("crossover_prob", "mutation_prob"):
            if (value := getattr(self, name)) is not None and not 0 <= value <= 1:
                raise ValueError(f"GeneticAlgorithm needs {name} in [0, 1], got {value}")

    def make_searcher(self, space: SearchSpace, goal: Goal, **common: Any) -> ArchitectureSearcher:
        return GeneticAlgorithmSearcher(space, goal, settings=self, **common)


class GeneticAlgorithmSearcher(GenerationalSearcher):
    """The searcher of ``GeneticAlgorithm``."""

    def __init__(
        self, space: SearchSpace, goal: Goal | None = None, *, settings: GeneticAlgorithm | None = None, **common: Any
    ) -> None:
        self.settings = settings or GeneticAlgorithm()
        size = self.settings.population_size
        super().__init__(space, goal, population_size=size, n_children=size - self.settings.n_elites, **common)

    def child(self, parents: Sequence[Evaluation]) -> Architecture:
        arch = self._winner(parents)
        if self.rng.random() < self.settings.crossover_prob:
            arch = self.space.crossover(arch, self._winner(parents), self.rng)
        prob = self.settings.mutation_prob
        return self.mutated(arch, 1 / len(arch) if prob is None else prob)

    def survivors(self, population: Sequence[Evaluation], children: Sequence[Evaluation]) -> list[Evaluation]:
        alive = [*population[: self.settings.n_elites], *children]
        return self.goal.sort(alive)

    def _winner(self, parents: Sequence[Evaluation]) -> Architecture:
        """The best of those drawn, with replacement; the population stands best first."""
        return parents[int(self.rng.integers(len(parents), size=self.settings.tournament_size).min())].arch
