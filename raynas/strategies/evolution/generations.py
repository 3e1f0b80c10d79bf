"""Populations in generations: children by tournament, crossover and mutation, and the step to the next generation."""

from abc import abstractmethod
from collections.abc import Sequence

from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.strategies.novelty import mutate_until_new

MAX_CHILDREN = 20
"""Maximum number of children that are made for one proposal."""


class GenerationalSearcher(ArchitectureSearcher):
    """A population and its children; a subclass selects the ``survivors`` among them.

    With several trials at a time there is no barrier: while the last children of a generation are in training, further
    ones are made from the same parents, and count for the next generation. Failures do not become members. A child that
    was evaluated before is mutated until it is new, so that a population cannot fill up with copies. A child that
    ``is_useless`` is made again, at most ``MAX_CHILDREN`` times.

    Args:
        space: the space to search.
        goal: the goal of the search.
        population_size: size of a generation.
        n_initial: number of random architectures that start the search; ``population_size`` if None or less.
        n_children: number of children between two generations; all of the first generation are children.
        tournament_size: number of members drawn, with replacement, to compete to be a parent.
        crossover_prob: probability that a child has two parents.
        mutation_prob: probability that a decision of a child changes; 1 / number of decisions if None. With 0 a child
            that was evaluated before, as a copy of its parent was, has one decision changed.
        options: of ``ArchitectureSearcher``.
    """

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        population_size: int,
        n_children: int,
        tournament_size: int,
        crossover_prob: float,
        mutation_prob: float | None,
        n_initial: int | None = None,
        **options: Unpack[SearcherOptions],
    ) -> None:
        super().__init__(space, goal, **options)
        self.population: Sequence[Evaluation] = ()
        self.children: list[Evaluation] = []
        self._population_size, self._n_children = population_size, n_children
        self._n_initial = max(n_initial or 0, population_size)
        self._tournament_size = tournament_size
        self._crossover_prob, self._mutation_prob = crossover_prob, mutation_prob
        self._decisions = tuple(space.decisions)
        self._seen: set[Architecture] = set()

    @abstractmethod
    def survivors(self, population: Sequence[Evaluation], children: Sequence[Evaluation]) -> list[Evaluation]:
        """Select the next population, best first."""

    def is_useless(self, child: Architecture) -> bool:
        """Return True for a child that is not worth an evaluation; none by default."""
        return False

    def propose(self) -> Architecture:
        n_children = len(self.children) + len(self.running)
        if not self.population and (not self.children or n_children < self._n_initial):
            return self.sample()
        parents = self.population or self.survivors((), self.children)
        for _ in range(MAX_CHILDREN):
            child = mutate_until_new(self.space, self.child(parents), self._seen, self.running, rng=self.rng)
            if not self.is_useless(child):
                break
        return child

    def observe(self, evaluation: Evaluation) -> None:
        if evaluation.ok and evaluation.arch not in self._seen:
            self.children.append(evaluation)
        self._seen.add(evaluation.arch)
        if len(self.children) >= (self._n_children if self.population else self._n_initial):
            self.population, self.children = self.survivors(self.population, self.children), []

    def child(self, parents: Sequence[Evaluation]) -> Architecture:
        """Make an architecture from members of the population, best first; it may have been evaluated before."""
        arch = self.winner(parents)
        if self.rng.random() < self._crossover_prob:
            arch = self.space.crossover(arch, self.winner(parents), self.rng)
        return self.mutated(arch, 1 / len(arch) if self._mutation_prob is None else self._mutation_prob)

    def winner(self, parents: Sequence[Evaluation]) -> Architecture:
        """Return the winner of a tournament; members are sorted, so that the smallest index drawn wins."""
        return parents[int(self.rng.integers(len(parents), size=self._tournament_size).min())].arch

    def mutated(self, arch: Architecture, prob: float) -> Architecture:
        """Change each decision that has another option with probability ``prob``; draw those that this activates."""
        options = dict(arch)
        for decision in self._decisions:
            if decision.name not in arch:
                options[decision.name] = decision.sample(self.rng)
            elif len(decision.options) != 1 and self.rng.random() < prob:
                options[decision.name] = decision.resample(arch[decision.name], self.rng)
        return self.space.canonical(options)
