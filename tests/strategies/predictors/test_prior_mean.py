from typing import Any

import numpy as np
import pytest

from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.gaussian_process import GaussianProcessPredictor
from raynas.strategies.predictors.prior_mean import PriorMean
from tests.strategies.predictors.pools import SPACE, scored_pool

RNG = np.random.default_rng(0)


class Recorded(GaussianProcessPredictor):
    def fit(self, pool: CandidatePool, observed: Any, targets: Any, rng: np.random.Generator) -> None:
        self.targets = targets
        super().fit(pool, observed, targets, rng)


def test_the_prior_is_what_the_ranks_say() -> None:
    """Where they say all the rest is nothing, and what is like nothing observed is predicted by them."""
    ranks = RNG.standard_normal((40, 2))
    pool, targets = scored_pool(ranks), ranks @ np.array([1.0, -0.5])
    mean, spread = targets[:30].mean(), targets[:30].std()
    predictor = PriorMean(Recorded())
    predictor.fit(pool, range(30), (targets[:30] - mean) / spread, RNG)
    predictor.add(pool, 30)
    posterior = predictor.posterior(pool, (targets[:31] - mean) / spread, [], RNG)
    assert np.corrcoef(posterior.mean[31:], targets[31:])[0, 1] > 0.99
    assert posterior.std.max() < 0.5
    assert isinstance(predictor.residual, Recorded)
    assert predictor.residual.targets.std() == pytest.approx(1)


def test_ranks_that_say_nothing_are_no_prior() -> None:
    pool = scored_pool(np.tile([1.0, 0.0], (40, 1)))
    targets = np.array([SPACE.accuracy(arch) for arch in pool.archs])
    targets = (targets - targets.mean()) / targets.std()
    predictor, alone = PriorMean(GaussianProcessPredictor()), GaussianProcessPredictor()
    for each in (predictor, alone):
        each.fit(pool, range(40), targets, RNG)
    np.testing.assert_allclose(
        predictor.posterior(pool, targets, [], RNG).mean, alone.posterior(pool, targets, [], RNG).mean, atol=1e-9
    )
