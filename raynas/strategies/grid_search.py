"""Grid search: every architecture of the space, in order (no paper; the exhaustive baseline)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.feasible_region import N_ERRORS
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.strategies.base import Strategy

MAX_SKIPPED, N_AT_ONCE = 100_000, 500
"""Maximum number of architectures that are skipped in a row, and number of those whose costs are predicted at once."""


@dataclass(frozen=True, kw_only=True)
class GridSearch(Strategy):
    """Try every canonical architecture once, the last decision varying fastest.

    Conditional decisions vary only where they are active, so no architecture is tried twice. Where few architectures
    meet the limits on costs, those that surely do not are skipped. Only where costs have to be timed, which nothing
    known of the first members tells of later ones, and after ``MAX_SKIPPED`` in a row, are others repaired instead, and
    the order is no longer kept.
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
        self._n_seen = self._n_skipped = 0
        self._architectures: Iterator[Architecture] | None = None

    def propose(self) -> Architecture | None:
        if self._architectures is None:
            self._architectures = self._following()
        return next(self._architectures, None)

    def _following(self) -> Iterator[Architecture]:
        """Yield the architectures that were not seen yet, without those that surely break limits on costs."""
        left = islice(self.space.enumerate(), self._n_seen, None)
        while archs := list(islice(left, N_AT_ONCE if self._can_skip else 1)):
            for arch, skipped in zip(archs, self._surely_breaking(archs), strict=True):
                self._n_seen += 1
                self._n_skipped = self._n_skipped + 1 if skipped else 0
                if not skipped or self._n_skipped >= MAX_SKIPPED:
                    yield arch

    @property
    def _can_skip(self) -> bool:
        return self.region.is_small and self.region.has_counted_costs

    def _surely_breaking(self, archs: Sequence[Architecture]) -> Sequence[bool]:
        if not self._can_skip:
            return [False] * len(archs)
        broken: list[bool] = (self.region.violations(self.space.coded.encode(archs), -N_ERRORS) > 0).tolist()
        return broken

    def _repaired(self, refused: Architecture) -> Architecture | None:
        if self._n_skipped >= MAX_SKIPPED or not self.region.has_counted_costs:
            return super()._repaired(refused)
        self.region.note_refused()
        return None

    def observe(self, evaluation: Evaluation) -> None:
        """Learn nothing."""

    def __getstate__(self) -> dict[str, Any]:
        # A generator cannot be pickled; its position can.
        return {**self.__dict__, "_architectures": None}
