import numpy as np
import pytest
from numpy.typing import NDArray

from raynas.search_spaces.nasbench201 import NASBench201, from_arch_str
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.ensemble import EnsemblePredictor, inputs
from raynas.testing import ToySpace

Array = NDArray[np.float64]
RNG = np.random.default_rng(0)
CELLS = (
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|",
    "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|",
)


class Told(EnsemblePredictor):
    """Two members: one says what the first input is, the other the opposite."""

    n_asked = 0

    def train(self, x: Array, targets: Array, rng: np.random.Generator) -> None:
        self.seen = x, targets

    def predict(self, x: Array) -> Array:
        self.n_asked += 1
        return np.stack([x[:, 0], -x[:, 0]])


def cells() -> CandidatePool:
    pool = CandidatePool(NASBench201())
    pool.add(map(from_arch_str, CELLS))
    return pool


def toys(n: int) -> CandidatePool:
    space = ToySpace(n_layers=2, n_options=4)
    pool = CandidatePool(space)
    pool.add(list(space.enumerate())[:n])
    return pool


def test_the_path_encoding_is_the_paper_s() -> None:
    """Section 4: a feature for every sequence of up to three of four operations, 1 if the cell has such a path."""
    encoded = inputs(cells(), "path")
    assert encoded.shape == (2, 4 + 4**2 + 4**3)
    assert encoded.sum(axis=1).tolist() == [2, 2]  # the conv, and conv-skip-pool; skips of two and of three
    assert set(encoded.ravel().tolist()) == {0, 1}


def test_all_groups_of_features_vary_alike() -> None:
    space, pool = NASBench201(), CandidatePool(NASBench201())
    rng = np.random.default_rng(0)
    pool.add(space.sample(rng) for _ in range(200))
    given = inputs(pool, "all")
    sizes = [len(group) for group in space.features(pool.archs[0]).values()]
    assert len(sizes) > 1 and given.shape == (len(pool), sum(sizes))
    for group in np.split(given, np.cumsum(sizes)[:-1], axis=1):
        assert group.var(axis=0).mean() == pytest.approx(1 / 6)
    encodings = [space.encode(arch) for arch in pool.archs]
    np.testing.assert_allclose(inputs(pool, "decisions"), encodings, atol=1e-12)


def test_a_space_without_paths_is_seen_by_its_decisions() -> None:
    np.testing.assert_array_equal(inputs(toys(5), "path"), inputs(toys(5), "decisions"))


def test_the_belief_is_the_members_mean_and_spread() -> None:
    pool, predictor = toys(10), Told("decisions")
    targets = np.array([-1.0, 0.0, 1.0])
    predictor.fit(pool, [4, 1, 7], targets, RNG)
    np.testing.assert_array_equal(predictor.seen[0], inputs(pool, "decisions")[[4, 1, 7]])
    posterior = predictor.posterior(pool, targets, [], RNG)
    first = inputs(pool, "decisions")[:, 0]
    np.testing.assert_allclose(posterior.mean, 0, atol=1e-12)
    np.testing.assert_allclose(posterior.std, np.maximum(2**0.5 * first, 1e-3))


def test_it_is_asked_once_until_the_pool_grows() -> None:
    pool, predictor, targets = toys(10), Told(), np.array([-1.0, 1.0])
    predictor.fit(pool, [0, 1], targets, RNG)
    for _ in range(3):
        predictor.posterior(pool, targets, [], RNG)
    assert predictor.n_asked == 1
    pool.add(pool.space.enumerate())
    predictor.extend(pool, [0, 1])
    assert len(predictor.posterior(pool, targets, [], RNG).mean) == len(pool) > 10
    assert predictor.n_asked == 2


def test_beliefs_are_in_the_scale_of_the_targets_by_now() -> None:
    """What was observed since the fit moves the mean and the scale of all targets."""
    pool, predictor = toys(10), Told("decisions")
    before = np.array([-1.0, 0.0, 1.0])
    predictor.fit(pool, [0, 1, 2], before, RNG)
    now = np.append(0.5 * before - 2.0, 9.0)
    posterior, old = predictor.posterior(pool, now, [], RNG), predictor.posterior(pool, before, [], RNG)
    np.testing.assert_allclose(posterior.mean, 0.5 * old.mean - 2.0)
    np.testing.assert_allclose(posterior.std, np.maximum(0.5 * old.std, 1e-3))
