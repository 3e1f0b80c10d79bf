import numpy as np
import pytest
from scipy.stats import norm

from raynas.strategies.predictors.acquisition import expected_improvement, thompson_sampling, upper_confidence_bound
from raynas.strategies.predictors.predictor import Posterior

RNG = np.random.default_rng(0)


def test_expected_improvement_is_what_draws_improve() -> None:
    posterior = Posterior(np.array([0.0, 1.0, -1.0]), np.array([1.0, 0.1, 2.0]))
    draws = norm.rvs(posterior.mean, posterior.std, size=(200_000, 3), random_state=0)
    expected = np.maximum(draws - 0.5, 0).mean(axis=0)
    np.testing.assert_allclose(expected_improvement(posterior, 0.5, 1.0, RNG), expected, atol=0.01)


def test_the_other_acquisitions() -> None:
    posterior = Posterior(np.zeros(5000), np.full(5000, 2.0))
    assert (upper_confidence_bound(posterior, 0.0, 1.5, RNG) == 3.0).all()
    drawn = thompson_sampling(posterior, 0.0, 1.5, RNG)
    assert drawn.std() == pytest.approx(2, rel=0.05) and drawn.mean() == pytest.approx(0, abs=0.15)
