"""NSGA-II: non-dominated sort, crowding distance, binary tournaments, and the best of parents and children survive.

Deb, Pratap, Agarwal and Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II" (IEEE Transactions on
Evolutionary Computation 6(2), 2002). Deviations: decisions are categories, so crossover is uniform and mutation draws
another option, where the paper has real numbers; nothing is evaluated twice.
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
class NSGA2(Strategy):
    """The Pareto front of several objectives, spread out; with one objective an elitist genetic algorithm.

    The paper uses N = 100 for 25,000 evaluations; the default suits some hundred.

    Args:
        population_size: N, how many live and how many children each generation has; at least 2.
        crossover_prob: how often a child has two parents before it is mutated; in [0, 1].
        mutation_prob: how likely each decision of a child changes; in [0, 1]; the paper's one decision in the mean
            (1 / number of decisions) if None.
    """

    population_size: int = 20
    crossover_prob: float = 0.9
    mutation_prob: float | None = None

    def __post_init__(self) -> None:
        if self.population_size < 2:
            raise ValueError(f"NSGA2 needs population_size >= 2, got {self.population_size}")
        for name in ("crossover_prob", "mutation_prob"):
            if (value := getattr(self, name)) is not None and not 0 <= value <= 1:
                raise ValueError(f"NSGA2 needs {name} in [0, 1], got {value}")

    def make_searcher(self, space: SearchSpace, goal: Goal, **common: Any) -> ArchitectureSearcher:
        return NSGA2Searcher(space, goal, settings=self, **common)


class NSGA2Searcher(GenerationalSearcher):
    """The searcher of ``NSGA2``."""

    def __init__(
        self, space: SearchSpace, goal: Goal | None = None, *, settings: NSGA2 | None = None, **common: Any
    ) -> None:
        self.settings = settings or NSGA2()
        n = self.settings.population_size
        super().__init__(space, goal, population_size=n, n_children=n, **common)

    def child(self, parents: Sequence[Evaluation]) -> Architecture:
        arch = self._winner(parents)
        if self.rng.random() < self.settings.crossover_prob:
            arch = self.space.crossover(arch, self._winner(parents), self.rng)
        prob = self.settings.mutation_prob
        return self.mutated(arch, 1 / len(arch) if prob is None else prob)

    def survivors(self, population: Sequence[Evaluation], children: Sequence[Evaluation]) -> list[Evaluation]:
        everyone = [*population, *children]
        best = self.goal.order(everyone)[: self.settings.population_size]
        # Tournaments go by the place within the new population, where neighbours that died no longer crowd.
        kept = [everyone[i] for i in best]
        return [kept[i] for i in self.goal.order(kept)]

    def _winner(self, parents: Sequence[Evaluation]) -> Architecture:
        """Binary tournament by the crowded comparison; the population stands in that order."""
        return parents[int(self.rng.integers(len(parents), size=2).min())].arch
