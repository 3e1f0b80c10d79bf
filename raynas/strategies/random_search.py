"""Random search: every decision drawn uniformly, the baseline that NAS has to beat.

Li and Talwalkar, "Random Search and Reproducibility for Neural Architecture Search" (UAI 2019, arXiv:1902.07638).
"""

from dataclasses import dataclass

from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.strategies.base import Strategy


@dataclass(frozen=True, kw_only=True)
class RandomSearch(Strategy):
    """Draw architectures uniformly over decisions, none twice."""

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return RandomSearcher(space, goal, **options)


class RandomSearcher(ArchitectureSearcher):
    """The searcher of ``RandomSearch``."""

    needs_no_replay = True

    def propose(self) -> Architecture:
        return self.sample()

    def observe(self, evaluation: Evaluation) -> None:
        """Learn nothing."""
