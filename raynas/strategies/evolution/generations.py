"""What genetic algorithms share: a population, its children, and the step to the next generation."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.strategies.fresh import new_near


class GenerationalSearcher(ArchitectureSearcher):
    """A population and its children; when there are enough children, some of both are the next population.

    With several trials at a time there is no barrier: while the last children of a generation are in training, further
    ones are made from the same parents, and count for the next generation. Failures are no members. A child that was
    evaluated before is mutated until it is new, so that a population cannot fill up with copies.

    Args:
        space: what to search.
        goal: what to search for.
        population_size: how many there are in a generation; so many random architectures start the search.
        n_children: how many are born before the next generation; all of the first generation are.
        common: goes to ``ArchitectureSearcher``.
    """

    def __init__(
        self, space: SearchSpace, goal: Goal | None = None, *, population_size: int, n_children: int, **common: Any
    ) -> None:
        super().__init__(space, goal, **common)
        self.population: Sequence[Evaluation] = ()
        self.children: list[Evaluation] = []
        self._population_size = population_size
        self._n_children = n_children
        self._decisions = tuple(space.decisions)
        self._seen: set[Architecture] = set()

    @abstractmethod
    def child(self, parents: Sequence[Evaluation]) -> Architecture:
        """A new architecture from members of the population, best first; it may be known already."""

    @abstractmethod
    def survivors(self, population: Sequence[Evaluation], children: Sequence[Evaluation]) -> list[Evaluation]:
        """The next population, best first."""

    def propose(self) -> Architecture:
        if not self.population and (not self.children or self._n_coming < self._population_size):
            return self.space.sample(self.rng)
        child = self.child(self.population or self.survivors((), self.children))
        return new_near(self.space, child, self._seen, self.running, rng=self.rng)

    @property
    def _n_coming(self) -> int:
        return len(self.children) + len(self.running)

    def observe(self, evaluation: Evaluation) -> None:
        if evaluation.ok and evaluation.arch not in self._seen:
            self.children.append(evaluation)
        self._seen.add(evaluation.arch)
        if len(self.children) >= (self._n_children if self.population else self._population_size):
            self.population, self.children = self.survivors(self.population, self.children), []

    def mutated(self, arch: Architecture, prob: float) -> Architecture:
        """Change each decision that has another option with probability ``prob``; those this activates are drawn."""
        options = dict(arch)
        for decision in self._decisions:
            if decision.name not in arch:
                options[decision.name] = decision.sample(self.rng)
            elif len(decision.options) != 1 and self.rng.random() < prob:
                options[decision.name] = decision.resample(arch[decision.name], self.rng)
        return self.space.canonical(options)
