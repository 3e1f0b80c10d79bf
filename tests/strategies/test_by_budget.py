"""Which strategy is taken where none is named."""

import pytest

from raynas.search_spaces import MLP
from raynas.strategies import Asha, ByBudget, GaussianProcess, RegularizedEvolution
from raynas.strategies.evolution.regularized_evolution import RegularizedEvolutionSearcher
from raynas.strategies.predictors.searcher import PredictorSearcher

SPACE = MLP(input_shape=(1, 8, 8))


def test_few_trials_have_a_model_and_many_do_not() -> None:
    strategy = ByBudget(few=100, early_stopping=Asha())
    assert strategy.for_budget(100) == GaussianProcess(early_stopping=Asha())
    assert strategy.for_budget(101) == RegularizedEvolution(early_stopping=Asha())


def test_where_nobody_tells_the_number_they_are_few() -> None:
    assert isinstance(ByBudget().searcher(SPACE), PredictorSearcher)
    assert isinstance(ByBudget(few=0).searcher(SPACE), RegularizedEvolutionSearcher)


def test_a_tuner_tells_the_number() -> None:
    assert isinstance(ByBudget().tune_config(SPACE, num_samples=5000).search_alg, RegularizedEvolutionSearcher)


def test_few_is_checked() -> None:
    with pytest.raises(ValueError, match="few must be at least 0, got -1"):
        ByBudget(few=-1)
