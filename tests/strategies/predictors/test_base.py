import math
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from raynas.strategies.predictors.base import PredictorStrategy
from raynas.strategies.predictors.gaussian_process import GaussianProcessPredictor
from raynas.strategies.predictors.predictor import Predictor
from raynas.strategies.predictors.searcher import PredictorSearcher
from raynas.strategies.predictors.zero_cost_screen import ZeroCost
from raynas.testing import ToySpace


@dataclass(frozen=True, kw_only=True)
class Plain(PredictorStrategy):
    def make_predictor(self) -> Predictor:
        return GaussianProcessPredictor()


@dataclass(frozen=True, kw_only=True)
class OfGraphs(Plain):
    sees_features: ClassVar[bool] = False


def test_the_settings_reach_the_searcher() -> None:
    settings: dict[str, Any] = {"n_initial": 3, "acquisition": "ei", "exploration": 0.5}
    settings |= {"max_observations": 20, "n_candidates": 11, "renewal": 1.5, "local_share": 0.25}
    settings |= {"restart_after": 9}
    searcher = Plain(**settings, max_enumerated=7).searcher(ToySpace(), costs={})
    assert type(searcher) is PredictorSearcher
    assert searcher.screen is None
    reached = {
        "n_initial": searcher.n_initial,
        "acquisition": searcher.ranking.acquisition,
        "exploration": searcher.ranking.exploration,
        "max_observations": searcher.max_observations,
        "n_candidates": searcher.candidates.n_candidates,
        "renewal": searcher.schedule.growth,
        "local_share": searcher.local_share,
        "restart_after": searcher.restarts.patience,
    }
    assert reached == settings
    assert searcher.constraints.max_observations == 20
    assert not searcher.candidates.are_whole_space


def test_zero_cost_makes_a_screen() -> None:
    strategy = OfGraphs(zero_cost=["a"], zero_cost_as="start", n_zero_cost=5)
    searcher = strategy.searcher(ToySpace(), costs={"a": lambda arch: 0.0, "b": lambda arch: 0.0})
    assert isinstance(searcher, PredictorSearcher) and searcher.screen is not None
    assert list(searcher.screen.ranks.costs) == ["a"]
    assert searcher.screen.settings == ZeroCost(names=("a",), use="start", n_initial=5)
    assert strategy.zero_cost == ("a",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_initial": 1}, "n_initial must be at least 2, got 1"),
        ({"max_observations": 9}, "max_observations must be at least 10, got 9"),
        ({"n_candidates": 9}, "n_candidates must be at least 10, got 9"),
        ({"max_enumerated": -1}, "max_enumerated must be at least 0, got -1"),
        ({"exploration": math.nan}, "exploration must be at least 0, got nan"),
        ({"local_share": 1.1}, r"local_share in \[0, 1\], got 1.1"),
        ({"restart_after": -1}, "restart_after must be at least 0, got -1"),
        ({"renewal": 0.9}, "renewal must be at least 1, got 0.9"),
        ({"n_zero_cost": 1}, "n_zero_cost must be at least 2, got 1"),
        ({"acquisition": "best"}, "acquisition must be one of ei, thompson, ucb, got 'best'"),
        ({"zero_cost": "synflow"}, "zero_cost must be a sequence of names, got 'synflow'"),
        ({"zero_cost_as": "rank"}, "zero_cost_as of Plain must be one of features, prior, start, got 'rank'"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plain(**settings)


def test_a_predictor_that_sees_no_features_takes_none() -> None:
    with pytest.raises(ValueError, match="zero_cost_as of OfGraphs must be one of prior, start, got 'features'"):
        OfGraphs(zero_cost_as="features")
