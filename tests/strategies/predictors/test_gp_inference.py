from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from raynas.core.space import SearchSpace
from raynas.regression.matern_kernel import MaternKernel
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.gaussian_process import GaussianProcessPredictor
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=3, n_options=4)


RNG = np.random.default_rng(0)


def pool(space: SearchSpace = SPACE) -> CandidatePool:
    found = CandidatePool(space)
    found.add(space.enumerate())
    return found


def exact(
    kernel: MaternKernel, given: CandidatePool, observed: Sequence[int], targets: NDArray[Any]
) -> tuple[Any, Any]:
    """Equations 2.25 and 2.26 of Rasmussen and Williams; the standard deviation is that of an observation."""
    seen = given.take(np.array(observed))
    inverse = np.linalg.inv(kernel(seen, seen) + kernel.noise * np.eye(len(observed)))
    across = kernel(seen, given.groups)
    variance = kernel.variance - np.einsum("ij,ik,kj->j", across, inverse, across)
    return across.T @ inverse @ targets, np.sqrt(variance + kernel.noise)


def test_the_posterior_is_the_textbook_s() -> None:
    given, predictor, observed = pool(), GaussianProcessPredictor(), [3, 17, 40, 5, 5]
    targets = RNG.standard_normal(7)
    predictor.fit(given, observed, targets[:5], RNG)
    assert predictor.kernel is not None
    for added in (8, 3):  # one observation more at a time, one that was there already
        predictor.add(given, added)
    posterior = predictor.posterior(given, targets, [], RNG)
    mean, spread = exact(predictor.kernel, given, [*observed, 8, 3], targets)
    np.testing.assert_allclose(posterior.mean, mean, atol=1e-6)
    np.testing.assert_allclose(posterior.std, spread, atol=1e-6)


def test_a_pool_may_grow() -> None:
    archs = list(SPACE.enumerate())
    given, predictor = CandidatePool(SPACE), GaussianProcessPredictor()
    given.add(archs[:30])
    targets = RNG.standard_normal(4)
    predictor.fit(given, [1, 7, 20], targets[:3], RNG)
    predictor.add(given, 25)
    given.add(archs)
    predictor.extend(given, [1, 7, 20, 25])
    posterior = predictor.posterior(given, targets, [], RNG)
    assert predictor.kernel is not None
    mean, spread = exact(predictor.kernel, given, [1, 7, 20, 25], targets)
    np.testing.assert_allclose(posterior.mean, mean, atol=1e-6)
    np.testing.assert_allclose(posterior.std, spread, atol=1e-6)


def test_what_is_pending_is_not_doubted_again() -> None:
    given, predictor = pool(), GaussianProcessPredictor()
    targets = np.array([1.0, -1.0, 0.0])
    predictor.fit(given, [0, 30, 50], targets, RNG)
    before = predictor.posterior(given, targets, [], RNG)
    after = predictor.posterior(given, targets, [10], RNG)
    np.testing.assert_allclose(after.mean, before.mean, rtol=0, atol=1e-12)
    latent = [np.sqrt(p.std[10] ** 2 - predictor.noise) for p in (before, after)]
    assert latent[1] < 0.5 * latent[0] and (after.std <= before.std).all()
    again = predictor.posterior(given, targets, [], RNG).std
    np.testing.assert_allclose(again, before.std, rtol=0, atol=1e-12)


def test_what_is_not_explained_is_the_error_of_leaving_each_out() -> None:
    given, predictor, observed = pool(), GaussianProcessPredictor(), [3, 17, 40, 5, 60, 61]
    targets = np.array([SPACE.accuracy(given.archs[i]) for i in observed]) - 0.5
    predictor.fit(given, observed, targets, RNG)
    assert predictor.kernel is not None
    errors = []
    for left, target in zip(observed, targets, strict=True):
        others = [i for i in observed if i != left]
        mean, _ = exact(predictor.kernel, given, others, targets[[i != left for i in observed]])
        errors.append(target - mean[left])
    np.testing.assert_allclose(predictor.unexplained(targets), min(1.0, np.mean(np.square(errors)) / targets.var()))


def test_a_sum_is_explained_and_chance_is_not() -> None:
    given, observed = pool(), list(range(0, 80, 2))
    scores = np.array([SPACE.accuracy(arch) for arch in given.archs])[observed]
    shares = []
    for values in (scores, np.random.default_rng(3).standard_normal(len(observed))):
        predictor, targets = GaussianProcessPredictor(), (values - values.mean()) / values.std()
        predictor.fit(given, observed, targets, RNG)
        shares.append(predictor.unexplained(targets))
    assert shares[0] < 0.05 and shares[1] > 0.7


def test_equal_scores_explain_nothing() -> None:
    given, predictor = pool(), GaussianProcessPredictor()
    predictor.fit(given, [0, 1, 2], np.zeros(3), RNG)
    assert predictor.unexplained(np.zeros(3)) == 1


def test_pending_trials_shrink_the_variance_as_observations_would() -> None:
    """Whatever the order, and with one of them twice."""
    given, predictor, pending = pool(), GaussianProcessPredictor(), [10, 61, 10, 33]
    targets = np.array([1.0, -1.0, 0.0])
    predictor.fit(given, [0, 30, 50], targets, RNG)
    doubted = predictor.posterior(given, targets, pending, RNG).std
    np.testing.assert_allclose(predictor.posterior(given, targets, pending[::-1], RNG).std, doubted, atol=1e-7)
    assert predictor.kernel is not None
    _, spread = exact(predictor.kernel, given, [0, 30, 50, *pending], np.zeros(7))
    np.testing.assert_allclose(doubted, spread, atol=1e-6)


def test_trials_that_start_and_end_in_any_order_leave_the_plain_posterior() -> None:
    """One that ends is observed or, having failed, is gone; one runs twice, another was observed before."""
    given, predictor = pool(), GaussianProcessPredictor()
    values = np.random.default_rng(1).standard_normal(len(given))
    observed, pending = [0, 30, 50, 7], [10, 61, 10, 33, 30]
    predictor.fit(given, observed, values[observed], RNG)
    steps = ((None, None, 5), (61, 61, 2), (10, 10, None), (33, None, 33), (5, 5, None), (10, None, None), (2, 2, 63))
    for ended, added, started in steps:
        if ended is not None:
            pending.remove(ended)
        if added is not None:
            predictor.add(given, added)
            observed.append(added)
        if started is not None:
            pending.append(started)
        posterior = predictor.posterior(given, values[observed], pending, RNG)
        assert predictor.kernel is not None
        mean, _ = exact(predictor.kernel, given, observed, values[observed])
        _, spread = exact(predictor.kernel, given, [*observed, *pending], values[[*observed, *pending]])
        np.testing.assert_allclose(posterior.mean, mean, rtol=0, atol=1e-8)
        np.testing.assert_allclose(posterior.std, spread, rtol=0, atol=1e-8)


def test_a_trial_that_ends_costs_no_covariance(monkeypatch: pytest.MonkeyPatch) -> None:
    given, predictor, asked = pool(), GaussianProcessPredictor(), list[list[int]]()
    predictor.fit(given, [0, 30, 50], np.array([1.0, -1.0, 0.0]), RNG)
    predictor.posterior(given, np.array([1.0, -1.0, 0.0]), [10, 61, 33], RNG)
    plain = predictor.covariance

    def covariance(pool: CandidatePool, some: Sequence[int], since: int = 0) -> NDArray[Any]:
        asked.append(list(some))
        return plain(pool, some, since)

    monkeypatch.setattr(predictor, "covariance", covariance)
    predictor.add(given, 61)
    predictor.posterior(given, np.array([1.0, -1.0, 0.0, 0.5]), [10, 33, 12], RNG)
    assert asked == [[12]]


def test_a_pool_grows_under_pending_trials() -> None:
    archs = list(SPACE.enumerate())
    given, predictor, targets = CandidatePool(SPACE), GaussianProcessPredictor(), np.array([1.0, -1.0, 0.0])
    given.add(archs[:30])
    predictor.fit(given, [1, 7, 20], targets, RNG)
    predictor.posterior(given, targets, [25, 3], RNG)
    given.add(archs)
    predictor.extend(given, [1, 7, 20])
    posterior = predictor.posterior(given, targets, [25, 3], RNG)
    assert predictor.kernel is not None
    np.testing.assert_allclose(posterior.mean, exact(predictor.kernel, given, [1, 7, 20], targets)[0], atol=1e-8)
    _, spread = exact(predictor.kernel, given, [1, 7, 20, 25, 3], np.zeros(5))
    np.testing.assert_allclose(posterior.std, spread, atol=1e-8)
