"""Random search: every decision drawn uniformly (Li and Talwalkar, 2019: the baseline that NAS has to beat)."""

from dataclasses import dataclass
from typing import Any

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.strategies.base import Strategy


@dataclass(frozen=True, kw_only=True)
class RandomSearch(Strategy):
    """Draw architectures uniformly over decisions, none twice."""

    def make_searcher(self, space: SearchSpace, goal: Goal, **common: Any) -> ArchitectureSearcher:
        return RandomSearcher(space, goal, **common)


class RandomSearcher(ArchitectureSearcher):
    """The searcher of ``RandomSearch``."""

    def propose(self) -> Architecture:
        return self.space.sample(self.rng)

    def observe(self, evaluation: Evaluation) -> None:
        """Random search learns nothing."""
