"""Numbers on a grid, beside the domains of Tune that they stand for."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import tune

from raynas.core.decision import Decision
from raynas.core.quantized import LogInteger, Quantized
from raynas.core.tune_domains import decision_of
from raynas.errors import SpaceError

DOMAINS: dict[str, Any] = {
    "quniform": tune.quniform(0.2, 1.0, 0.2),
    "qloguniform": tune.qloguniform(0.01, 0.1, 0.01),
    "randint": tune.randint(-2, 3),
    "qrandint": tune.qrandint(3, 14, 3),
    "qrandint by one": tune.qrandint(1, 5, 1),
    "lograndint": tune.lograndint(1, 9),
    "qlograndint": tune.qlograndint(10, 60, 10),
}


@pytest.fixture(params=DOMAINS)
def domain(request: pytest.FixtureRequest) -> Any:
    return DOMAINS[request.param]


def shares(values: list[Any]) -> dict[Any, float]:
    return {value: n / len(values) for value, n in Counter(values).items()}


def test_values_are_drawn_as_tune_draws_them(domain: Any) -> None:
    decision, rng = decision_of("x", domain), np.random.default_rng(0)
    expected = shares(list(domain.sample(size=4000, random_state=0)))
    drawn = shares([decision.sample(rng) for _ in range(4000)])
    assert drawn == pytest.approx(expected, abs=0.04)
    assert {type(value) for value in drawn} == {type(domain.sample())}


def test_moves_stay_on_the_grid_and_change_something(domain: Any) -> None:
    decision, rng = decision_of("x", domain), np.random.default_rng(0)
    members = {decision.sample(rng) for _ in range(1000)}
    for option in members:
        others = [*decision.others(option), *(decision.resample(option, rng) for _ in range(20))]
        assert option not in others and others and set(others) <= members
        assert decision.contains(option) and decision.member(option) == option
    option = next(iter(members))
    reached = {option}
    for _ in range(1000):
        option = decision.resample(option, rng)
        reached.add(option)
    assert reached == members


def test_encodings_keep_order(domain: Any) -> None:
    decision, rng = decision_of("x", domain), np.random.default_rng(0)
    members = sorted({decision.sample(rng) for _ in range(1000)}, key=float)
    codes = [decision.encode(option) for option in members]
    assert all(code.shape == (decision.n_features,) and code.min() >= 0 and code.max() <= 1 for code in codes)
    if decision.n_features == 1:
        assert [float(code[0]) for code in codes] == sorted({float(code[0]) for code in codes})


@given(low=st.integers(1, 50), span=st.integers(0, 10_000), step=st.integers(1, 7), position=st.floats(0, 1))
def test_whole_numbers_are_found_again_from_their_position(low: int, span: int, step: int, position: float) -> None:
    decision = LogInteger("x", low * step, low * step + span, step=step)
    option = decision._at(position)
    assert decision._at(decision._position(option)) == option
    assert option % step == 0 and decision.low <= option <= decision.high


@pytest.mark.parametrize(("given", "expected"), [(0.29, 0.2), (0.50000001, 0.6), (1.0, 1.0), (1.05, 1.0)])
def test_what_a_searcher_gives_beside_the_grid_is_rounded(given: float, expected: float) -> None:
    """Optuna draws quantized logarithmic values without the quantization."""
    decision = decision_of("x", DOMAINS["quniform"])
    assert decision.contains(given) and decision.member(given) == pytest.approx(expected)


@pytest.mark.parametrize("option", [0.05, 1.2, "0.4", None])
def test_what_is_out_of_range_is_no_option(option: Any) -> None:
    assert not decision_of("x", DOMAINS["quniform"]).contains(option)


@pytest.mark.parametrize("option", [0, 4, 66, 70, None, "20"])
def test_what_is_out_of_a_range_of_whole_numbers_is_no_option(option: Any) -> None:
    decision = decision_of("x", DOMAINS["qlograndint"])
    assert not decision.contains(option) and decision.contains(24) and decision.member(24) == 20


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Quantized("x", 0.0, 1.0, step=0.0), "'x' needs step > 0, got 0.0"),
        (lambda: LogInteger("x", 0, 5), "'x' needs a low of at least 1 .* got 0"),
        (lambda: LogInteger("x", 3, 8, step=2), "'x' needs .* multiple of step 2, got 3"),
    ],
)
def test_ranges_are_checked(make: Any, message: str) -> None:
    decision: Decision
    with pytest.raises(SpaceError, match=message):
        decision = make()  # noqa: F841
