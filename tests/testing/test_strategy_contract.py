"""The contract passes every strategy (in ``tests/strategies``) and notices mistakes, some of which are here."""

from dataclasses import dataclass

import numpy as np
import pytest
from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.strategies import Strategy
from raynas.testing import StrategyContract


class Unseeded(ArchitectureSearcher):
    """Draws from a generator that no seed determines."""

    def propose(self) -> Architecture:
        return self.space.sample(np.random.default_rng())

    def observe(self, evaluation: Evaluation) -> None:
        pass


class Fragile(ArchitectureSearcher):
    """Believes that every trial succeeds."""

    def propose(self) -> Architecture:
        return self.space.sample(self.rng)

    def observe(self, evaluation: Evaluation) -> None:
        evaluation.metrics["accuracy"]


@dataclass(frozen=True, kw_only=True)
class Wrong(Strategy):
    searcher_class: type[ArchitectureSearcher]

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return self.searcher_class(space, goal, **options)


def test_randomness_that_is_not_the_searchers() -> None:
    with pytest.raises(AssertionError):
        StrategyContract().test_follows_the_seed(Wrong(searcher_class=Unseeded), {})


def test_a_failed_trial_that_raises() -> None:
    with pytest.raises(KeyError, match="accuracy"):
        StrategyContract().test_survives_nothing_but_failures(Wrong(searcher_class=Fragile))
