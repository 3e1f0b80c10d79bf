"""The strategy of those who name none: a Gaussian process while trials are few, regularized evolution beyond."""

from dataclasses import dataclass
from typing import Any

from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.strategies.base import Strategy, require_at_least
from raynas.strategies.evolution.regularized_evolution import RegularizedEvolution
from raynas.strategies.predictors.gaussian_process import GaussianProcess


@dataclass(frozen=True, kw_only=True)
class ByBudget(Strategy):
    """A model of what is good while each trial is dear, no time for proposals when trials are many.

    In ``scripts/bench/search_quality.py`` the Gaussian process was ahead of all others up to 200 evaluations; where
    evolution would catch up was not measured. A search that is extended stays with what it began with; where nobody
    tells the number of trials, they are few.

    Args:
        few: up to this many trials are for ``GaussianProcess``, more for ``RegularizedEvolution``. At least 0.
    """

    few: int = 300

    def __post_init__(self) -> None:
        require_at_least(self, {"few": 0})

    def for_budget(self, n_trials: int) -> Strategy:
        """The strategy for that many trials."""
        chosen = GaussianProcess if n_trials <= self.few else RegularizedEvolution
        return chosen(early_stopping=self.early_stopping)

    def make_searcher(self, space: SearchSpace, goal: Goal, **common: Any) -> ArchitectureSearcher:
        return self.for_budget(max(1, self.few)).make_searcher(space, goal, **common)
