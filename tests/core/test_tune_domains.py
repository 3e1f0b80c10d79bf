from typing import Any

import numpy as np
import pytest
from ray import tune

from raynas.core.decision import Categorical, Decision, Integer, Real
from raynas.core.quantized import LogInteger, Quantized
from raynas.core.tune_domains import decision_of, domain_of
from raynas.errors import SpaceError
from tests.core.decided import CHAIN, KIND, LR, MOMENTUM, Decided


class TestParamSpace:
    def test_covers_every_option(self) -> None:
        domains = Decided(*CHAIN).param_space()
        for decision in CHAIN:
            assert {domains[decision.name].sample() for _ in range(100)} == set(decision.options)

    def test_numbers_keep_their_scale(self) -> None:
        domains = Decided(KIND, LR, MOMENTUM).param_space()
        assert np.median([domains["lr"].sample() for _ in range(500)]) == pytest.approx(10**-2.5, rel=0.5)
        assert all(0 <= domains["momentum"].sample() <= 0.9 for _ in range(100))


@pytest.mark.parametrize(
    "decision",
    [
        *(*CHAIN[:2], LR, Real("x", low=-1.0, high=1.0), Integer("x", 4, 16, step=4)),
        *(Quantized("x", 0.5, 2.0, step=0.5), Quantized("x", 0.5, 2.0, step=0.5, log=True)),
        *(LogInteger("x", 1, 100), LogInteger("x", 10, 100, step=10), Categorical("x", (None, (1, 2)))),
    ],
    ids=repr,
)
def test_a_domain_is_a_decision_again(decision: Decision) -> None:
    back = decision_of(decision.name, domain_of(decision))
    assert back == decision or list(back.options) == list(decision.options)


def test_bounds_of_whole_numbers_are_tunes() -> None:
    """Exclusive above, but for those on a grid."""
    for domain in (tune.randint(2, 5), tune.lograndint(2, 5), tune.qrandint(5, 30, 10), tune.qlograndint(5, 30, 10)):
        seen = set(domain.sample(size=500, random_state=1))
        assert set(decision_of("x", domain).options) == seen


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (tune.randn(0, 1), r"tune\.randn: a normal distribution has no bounds; use tune\.uniform"),
        (tune.qrandn(0, 1, 0.1), r"tune\.randn: a normal distribution has no bounds; use tune\.uniform"),
        (tune.sample_from(lambda config: 1), r"tune\.sample_from: nothing is known of the values"),
        (tune.grid_search([1, 2]), r"tune\.grid_search: use tune\.choice .* GridSearch\(\)"),
    ],
)
def test_a_domain_that_cannot_be_searched_says_what_to_use(domain: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=f"hyperparameter 'x' cannot be searched by raynas as {message}"):
        decision_of("x", domain)


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (tune.choice([[1], [2]]), "'x' must not be a list; write a tuple"),
        (tune.choice([{"a": 1}]), "'x' must hold a string, a finite number"),
        (tune.choice([tune.uniform(0, 1), 3]), "'x' must hold a string, a finite number"),
        (tune.choice([0.5, float("nan")]), "'x' must hold a string, a finite number"),
    ],
)
def test_options_that_none_can_be_are_named(domain: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        decision_of("x", domain)
