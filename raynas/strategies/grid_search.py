"""Grid search: every architecture of the space, in order (no paper; the exhaustive baseline)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.strategies.base import Strategy


@dataclass(frozen=True, kw_only=True)
class GridSearch(Strategy):
    """Try every canonical architecture once, the last decision varying fastest.

    Conditional decisions vary only where they are active, so no architecture is tried twice. Where few architectures
    meet the limits on costs, those that do not are repaired, and the order is no longer kept.
    """

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return GridSearcher(space, goal, **options)


class GridSearcher(ArchitectureSearcher):
    """The searcher of ``GridSearch``.

    Raises:
        SpaceError: if a decision is continuous.
    """

    def __init__(self, space: SearchSpace, goal: Goal | None = None, **options: Unpack[SearcherOptions]) -> None:
        super().__init__(space, goal, **options)
        space.enumerate()
        self._n_proposed = 0
        self._architectures: Iterator[Architecture] | None = None

    def propose(self) -> Architecture | None:
        if self._architectures is None:
            self._architectures = islice(self.space.enumerate(), self._n_proposed, None)
        self._n_proposed += 1
        return next(self._architectures, None)

    def observe(self, evaluation: Evaluation) -> None:
        """Learn nothing."""

    def __getstate__(self) -> dict[str, Any]:
        # A generator cannot be pickled; its position can.
        return {**self.__dict__, "_architectures": None}
