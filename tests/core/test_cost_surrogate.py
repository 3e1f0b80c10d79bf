import numpy as np
import pytest
from numpy.typing import NDArray

from raynas.core.cost_surrogate import CostSurrogate
from raynas.core.features import encoded
from raynas.testing import ToySpace

SPACE = ToySpace(n_layers=6)
CODES = SPACE.coded.sample(400, np.random.default_rng(0))
FEATURES = encoded(SPACE.coded, CODES)
SUMS = np.random.default_rng(1).uniform(1.0, 2.0, size=FEATURES.shape[1])


def error(costs: NDArray[np.float64], n: int) -> float:
    surrogate = CostSurrogate.fit(FEATURES[:n], costs[:n])
    return float(np.abs(surrogate(FEATURES[200:]) / costs[200:] - 1).max())


@pytest.mark.parametrize("is_log", [False, True])
def test_a_sum_or_a_product_of_options_is_found_exactly(is_log: bool) -> None:
    costs = np.exp(FEATURES @ SUMS) if is_log else FEATURES @ SUMS
    surrogate = CostSurrogate.fit(FEATURES[:100], costs[:100])
    assert surrogate.is_log == is_log and error(costs, 100) < 1e-4
    assert surrogate.error < 1e-4 * costs.mean()


def test_costs_of_any_sign_are_sums() -> None:
    costs = FEATURES @ SUMS - 9
    assert (costs < 0).any() and (costs > 0).any()
    surrogate = CostSurrogate.fit(FEATURES[:100], costs[:100])
    assert not surrogate.is_log and np.allclose(surrogate(FEATURES), costs, atol=1e-3)


def test_the_error_is_that_of_architectures_left_out() -> None:
    noisy = FEATURES @ SUMS + np.random.default_rng(2).normal(size=len(FEATURES))
    surrogate = CostSurrogate.fit(FEATURES[:200], noisy[:200])
    missed = float(np.sqrt(np.mean((surrogate(FEATURES[200:]) - noisy[200:]) ** 2)))
    assert surrogate.error == pytest.approx(missed, rel=0.15)


def test_one_measurement_is_enough_to_predict_something() -> None:
    surrogate = CostSurrogate.fit(FEATURES[:1], np.array([5.0]))
    assert surrogate(FEATURES[:3]) == pytest.approx([5.0] * 3) and not surrogate.is_sure


def test_it_is_sure_only_of_what_it_has_seen() -> None:
    costs = FEATURES @ SUMS
    with_option = FEATURES[:200][FEATURES[:200, 3] == 0]
    assert CostSurrogate.fit(FEATURES[:200], costs[:200]).is_sure
    assert not CostSurrogate.fit(with_option, with_option @ SUMS).is_sure, "an option was never seen"
    assert not CostSurrogate.fit(FEATURES[:20], costs[:20]).is_sure, "there are more options than measurements"
    assert not CostSurrogate.fit(FEATURES[:200], np.ones(200)).is_sure, "all cost the same"
