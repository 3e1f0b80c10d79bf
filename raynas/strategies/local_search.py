"""Local search: evaluate the neighbours of the best, move to a better one, restart at a local optimum.

White, Nolen and Savani, "Exploring the Loss Landscape in Neural Architecture Search" (UAI 2021, arXiv:2005.02960).
"""

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
class LocalSearch(Strategy):
    """Hill climbing over architectures that differ in one decision.

    Args:
        n_initial: random architectures before a climb, which starts from the best of them; at least 1.
        first_improvement: move to the first better neighbour found, instead of the best of all neighbours
            (the paper's "query until lower" variant, better for small budgets).
    """

    n_initial: int = 5
    first_improvement: bool = True

    def __post_init__(self) -> None:
        if self.n_initial < 1:
            raise SettingError(f"LocalSearch needs n_initial >= 1, got {self.n_initial}")

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return LocalSearcher(space, goal, settings=self, **options)


class LocalSearcher(ArchitectureSearcher):
    """The searcher of ``LocalSearch``: samples, a climb, new samples at a local optimum."""

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        settings: LocalSearch | None = None,
        **options: Unpack[SearcherOptions],
    ) -> None:
        super().__init__(space, goal, **options)
        self.settings = settings or LocalSearch()
        self.centre: Evaluation | None = None
        self._climb: list[Evaluation] = []
        self._n_drawn = 0
        self._untried: list[Architecture] = []

    def propose(self) -> Architecture | None:
        # Evaluations of an earlier search replace samples.
        if self.centre is None and max(self._n_drawn, len(self._climb)) < self.settings.n_initial:
            self._n_drawn += 1
            return self.sample()
        if self._untried and (not self.settings.first_improvement or not self._better()):
            return self._untried.pop()
        if self.running:
            return None
        self._move()
        return self.propose()

    def observe(self, evaluation: Evaluation) -> None:
        if evaluation.ok:
            self._climb.append(evaluation)

    def _better(self) -> Evaluation | None:
        """Return the best evaluation of this climb, if it is better than the centre."""
        best = self.goal.sort(e for e in [self.centre, *self._climb] if e is not None)[:1]
        return best[0] if best and best[0] is not self.centre else None

    def _move(self) -> None:
        """Move to the best of this climb; from a local optimum, restart."""
        self.centre, self._climb = self._better(), []
        self._n_drawn = 0
        neighbours = list(self.space.neighbours(self.centre.arch)) if self.centre else []
        self._untried = [neighbours[i] for i in self.rng.permutation(len(neighbours))]
