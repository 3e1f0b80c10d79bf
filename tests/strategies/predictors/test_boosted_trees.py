from typing import Any

import numpy as np
import pytest

from raynas.strategies import BoostedTrees
from raynas.testing import ToySpace, run_trials

X = np.array([[a, b, c] for a in (0.0, 1.0) for b in (0.0, 1.0) for c in (0.0, 1.0)] * 4)


def test_it_learns_what_is_not_linear() -> None:
    targets = np.where(X[:, 0] == X[:, 1], 1.0, -1.0)
    predictor = BoostedTrees(feature_share=1.0).make_predictor()
    predictor.train(X, targets, np.random.default_rng(0))
    np.testing.assert_allclose(predictor.predict(X).mean(axis=0), targets, atol=0.2)


def test_each_model_has_a_bootstrap_sample_of_its_own() -> None:
    """Of n examples a sample holds 1 - (1 - 1/n)^n of them, some 63 %; deep trees know what they have seen by heart."""
    rng = np.random.default_rng(0)
    x, targets = np.arange(60.0)[:, None], rng.standard_normal(60)
    predictor = BoostedTrees(n_models=30, n_trees=1, depth=12, learning_rate=1.0, feature_share=1.0).make_predictor()
    predictor.train(x, targets, rng)
    known = np.isclose(predictor.predict(x), targets)
    assert known.mean() == pytest.approx(1 - (1 - 1 / 60) ** 60, abs=0.03)
    assert len({row.tobytes() for row in known}) == 30


def test_the_spread_is_small_where_models_agree() -> None:
    """The first input tells the target, the second half of the range is noise."""
    rng = np.random.default_rng(0)
    x = rng.random((120, 1))
    targets = np.where(x[:, 0] < 0.5, 0.0, rng.standard_normal(120))
    predictor = BoostedTrees(feature_share=1.0).make_predictor()
    predictor.train(x, targets, rng)
    spread = predictor.predict(np.linspace(0, 1, 100)[:, None]).std(axis=0, ddof=1)
    assert spread[:40].mean() < 0.3 * spread[60:].mean()


def test_the_same_generator_gives_the_same_trees() -> None:
    targets = np.random.default_rng(0).standard_normal(len(X))
    said = []
    for seed in (3, 3, 4):
        predictor = BoostedTrees(n_trees=10).make_predictor()
        predictor.train(X, targets, np.random.default_rng(seed))
        said.append(predictor.predict(X))
    np.testing.assert_array_equal(said[0], said[1])
    assert (said[0] != said[2]).any()


def test_two_observations_are_enough() -> None:
    predictor = BoostedTrees(n_trees=5).make_predictor()
    predictor.train(X[:2], np.array([1.0, -1.0]), np.random.default_rng(0))
    assert np.isfinite(predictor.predict(X)).all()


@pytest.mark.parametrize("settings", [{}, {"max_enumerated": 0, "acquisition": "thompson"}])
def test_it_finds_the_optimum_of_a_sum_soon(settings: dict[str, Any]) -> None:
    space = ToySpace(n_layers=5, n_options=4)  # of 1,280 members
    strategy = BoostedTrees(n_trees=40, n_models=3, **settings)
    configs = run_trials(strategy.searcher(space, costs={}), space.result, 40)
    assert max(space.accuracy(config["arch"]) for config in configs) >= 0.93


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_models": 1}, "n_models must be at least 2, got 1"),
        ({"n_trees": 0}, "n_trees must be at least 1, got 0"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"learning_rate": 1.5}, r"learning_rate must be in \(0, 1\], got 1.5"),
        ({"feature_share": 0.0}, r"feature_share must be in \(0, 1\], got 0.0"),
        ({"encoding": "none"}, "encoding must be one of all, path, decisions, got 'none'"),
        ({"exploration": -1.0}, "exploration must be at least 0, got -1.0"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BoostedTrees(**settings)
