"""The default strategy: a Gaussian process for few trials, regularized evolution for many (no paper)."""

from dataclasses import dataclass

from typing_extensions import Unpack

from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.strategies.base import Strategy, require_at_least
from raynas.strategies.evolution.regularized_evolution import RegularizedEvolution
from raynas.strategies.predictors.gaussian_process import GaussianProcess


@dataclass(frozen=True, kw_only=True)
class ByBudget(Strategy):
    """A Gaussian process for up to ``few`` trials, regularized evolution, which takes no time, for more.

    In ``scripts/bench/search_quality.py`` the Gaussian process was ahead of all others up to 200 evaluations, and in
    ``scripts/bench/noisy_tables.py`` evolution was not ahead of it after 400 on any landscape; the number at which
    evolution would catch up was not measured. A search that is extended keeps its first choice; an unknown number of
    trials counts as few.

    Args:
        few: the largest number of trials for ``GaussianProcess``; ``RegularizedEvolution`` beyond. At least 0.
    """

    few: int = 400

    def __post_init__(self) -> None:
        require_at_least(self, {"few": 0})

    def for_budget(self, n_trials: int) -> Strategy:
        """Return the strategy for a number of trials."""
        chosen = GaussianProcess if n_trials <= self.few else RegularizedEvolution
        return chosen(early_stopping=self.early_stopping)

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return self.for_budget(max(1, self.few)).make_searcher(space, goal, **options)
