"""Limits on metrics: what is read, shown and compared."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raynas.core.architecture import Architecture
from raynas.core.constraint import FORMS, Constraint, exact
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal, Objective
from raynas.errors import SettingError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latency_ms <= 20", Constraint("latency_ms", "<=", 20)),
        ("  params<=1e6 ", Constraint("params", "<=", 1e6)),
        ("accuracy >= .5", Constraint("accuracy", ">=", 0.5)),
        ("latency_ms <= 0.9 * baseline", Constraint("latency_ms", "<=", 0.9, relative=True)),
        ("latency_ms <= 0.9*baseline", Constraint("latency_ms", "<=", 0.9, relative=True)),
        ("latency_ms < baseline * 0.07", Constraint("latency_ms", "<", 0.07, relative=True)),
        ("params <= 7 % of baseline", Constraint("params", "<=", 0.07, relative=True)),
        ("params <= 110% baseline soft", Constraint("params", "<=", 1.1, relative=True, soft=True)),
        ("accuracy >= baseline", Constraint("accuracy", ">=", 1.0, relative=True)),
        ("macs <= 3e8 soft", Constraint("macs", "<=", 3e8, soft=True)),
        ("macs ≤ 3e8 soft (-0.5)", Constraint("macs", "<=", 3e8, soft=True, weight=-0.5)),
        ("macs <= 3e8 soft (0, -1)", Constraint("macs", "<=", 3e8, soft=True, weight=-1, kept_weight=0)),
        ("macs <= 3e8 soft linear", Constraint("macs", "<=", 3e8, soft=True, form="linear")),
        ("macs <= 3e8 soft absolute(-0.1)", Constraint("macs", "<=", 3e8, soft=True, weight=-0.1, form="absolute")),
        ("macs <= 0.5 * baseline soft", Constraint("macs", "<=", 0.5, relative=True, soft=True)),
        ("score >= -3", Constraint("score", ">=", -3)),
        ("val/loss < 0.3", Constraint("val/loss", "<", 0.3)),
        ("top-1≥0.7", Constraint("top-1", ">=", 0.7)),
        ("latency_ms@jetson > 1.5", Constraint("latency_ms@jetson", ">", 1.5)),
        ("f1 macro > 0.5", Constraint("f1 macro", ">", 0.5)),
        ("5-shot >= 0.4", Constraint("5-shot", ">=", 0.4)),
        ("params <= 1_234_567", Constraint("params", "<=", 1234567)),
        ("params <= 1.1M", Constraint("params", "<=", 1.1e6)),
        ("macs < 64 k", Constraint("macs", "<", 64e3)),
    ],
)
def test_constraints_are_read(text: str, expected: Constraint) -> None:
    assert Constraint.parse(text) == expected
    assert Constraint.parse(str(expected)) == expected
    assert Constraint.parse(expected) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "latency_ms",
        "latency_ms == 20",
        "latency_ms => 20",
        "20 >= latency_ms",
        "20 <= 30",
        "<= 20",
        "latency_ms <=",
        "latency_ms <= fast",
        "latency_ms <= nan",
        "latency_ms <= inf",
        "latency_ms <= 1e999",
        "params <= 1__0",
        "params <= 1.2.3",
        "params <= 5m",
        "params <= 90 %",
        "latency_ms <= 0.9 * baselin",
        "latency_ms <= 2M * baseline",
        "latency_ms <= baseline * baseline",
        "latency_ms <= 0.9 * baseline * 2",
        "latency_ms <= 20 ms",
        "latency_ms <= 20 softer",
        "latency_ms <= 20 soft (much)",
        "latency_ms <= 20 soft (0, much)",
        "latency_ms <= 20 soft (much, 0)",
        "latency_ms <= 20 soft (0, 1, 2)",
        "latency_ms <= 20 soft cubic",
        "latency_ms <= 20 linear",
        "latency_ms <= 20 <= 30",
        None,
        5,
    ],
)
def test_what_is_no_constraint_is_refused_with_the_forms(text: Any) -> None:
    with pytest.raises(ValueError, match="cannot read constraint") as caught:
        Constraint.parse(text)
    assert FORMS in str(caught.value) and repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "<=", 1), "metric of a constraint must be a name"),
        (("3", "<=", 1), "metric of a constraint must be a name"),
        (("a<b", "<=", 1), "metric of a constraint must be a name"),
        (("a", "==", 1), "comparison of a constraint must be one of <=, >=, <, >, got '=='"),
        (("a", "<=", math.nan), "limit of a constraint must be a finite number, got nan"),
        (("a", "<=", "5"), "limit of a constraint must be a finite number, got '5'"),
        (("a", "<=", None), "limit of a constraint must be a finite number, got None"),
    ],
)
def test_a_constraint_is_checked_when_it_is_made(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Constraint(*arguments)


def test_limits_of_numpy_become_plain_numbers() -> None:
    made = Constraint("params", "<=", np.int64(3))
    assert made == Constraint.parse("params <= 3") and type(made.limit) is float


NAMES = st.from_regex(r"[A-Za-z_@][A-Za-z0-9_@/. -]{0,8}[A-Za-z0-9_]", fullmatch=True)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    metric=NAMES.filter(lambda name: name.lower() not in ("inf", "nan", "infinity")),
    op=st.sampled_from(["<=", ">=", "<", ">"]),
    limit=NUMBERS,
    relative=st.booleans(),
    weight=st.none() | NUMBERS,
)
@example(metric="params", op="<=", limit=1234567.0, relative=False, weight=None)
@example(metric="params", op="<", limit=2.0**53, relative=True, weight=-0.1)
def test_the_text_of_a_constraint_is_the_constraint(
    metric: str, op: Any, limit: float, relative: bool, weight: float | None
) -> None:
    soft = {} if weight is None else {"soft": True, "weight": weight}
    constraint = Constraint(metric, op, limit, relative, **soft)  # type: ignore[arg-type]
    assert Constraint.parse(str(constraint)) == constraint


@given(NUMBERS)
def test_numbers_are_shown_exactly(number: float) -> None:
    assert float(exact(number)) == number


def test_numbers_are_shown_shortly() -> None:
    assert [exact(n) for n in (20.0, 1234567.0, 0.1, 1e20, 0.30000000000000004)] == [
        *("20", "1234567", "0.1", "1e+20", "0.30000000000000004")
    ]


@given(limit=NUMBERS, value=NUMBERS)
@example(limit=1234567.0, value=1234568.0)
@example(limit=1e300, value=math.nextafter(1e300, math.inf))
@example(limit=0.0, value=5e-324)
def test_values_are_compared_exactly(limit: float, value: float) -> None:
    holds = {"<=": value <= limit, ">=": value >= limit, "<": value < limit, ">": value > limit}
    for op, expected in holds.items():
        assert (Constraint("m", op, limit).violation({"m": value}) == 0) is expected  # type: ignore[arg-type]


def test_violation_is_a_share_of_the_limit() -> None:
    at_most, at_least = Constraint.parse("params <= 200"), Constraint.parse("accuracy >= 0.8")
    assert [at_most.violation({"params": p}) for p in (100, 200, 300)] == [0, 0, 0.5]
    assert [at_least.violation({"accuracy": a}) for a in (0.9, 0.8, 0.6)] == pytest.approx([0, 0, 0.25])
    assert Constraint.parse("score >= -4").violation({"score": -5.0}) == 0.25
    assert Constraint.parse("score <= 0").violation({"score": 1.0}) > 1e6
    assert at_most.violation({"accuracy": 0.1}) == 0


def test_a_strict_limit_is_broken_least_at_the_limit() -> None:
    below = Constraint.parse("params < 200")
    assert below.violation({"params": 199}) == 0
    assert 0 < below.violation({"params": 200}) < below.violation({"params": 200.001})


def test_a_relative_constraint_waits_for_the_baseline() -> None:
    relative = Constraint.parse("latency_ms <= 0.9 * baseline")
    assert relative.violation({"latency_ms": 1e9}) == 0
    assert relative.against({"params": 3}) is relative
    absolute = relative.against({"latency_ms": 20})
    assert absolute == Constraint("latency_ms", "<=", 18)
    assert absolute.against({"latency_ms": 5}) is absolute


def test_the_soft_factor_is_mnasnets() -> None:
    soft = Constraint.parse("latency_ms <= 80 soft")
    assert soft.factor({"latency_ms": 160}) == pytest.approx(2**-0.07)
    assert soft.factor({"latency_ms": 40}) == pytest.approx(0.5**-0.07)
    assert Constraint.parse("accuracy > 0.8 soft").factor({"accuracy": 0.4}) == pytest.approx(2**-0.07)
    assert replace(soft, weight=-1.0).factor({"latency_ms": 160}) == 0.5
    for silent in (Constraint.parse("latency_ms <= 80"), Constraint.parse("latency_ms <= 2 * baseline soft")):
        assert silent.factor({"latency_ms": 160}) == 1
    assert soft.factor({}) == soft.factor({"latency_ms": 0}) == 1


@given(mode=st.sampled_from(["max", "min"]), value=st.floats(-1e3, 1e3), latency=st.floats(81, 1e4))
def test_breaking_a_soft_constraint_never_pays(mode: Any, value: float, latency: float) -> None:
    def evaluation(**metrics: float) -> Evaluation:
        return Evaluation(Architecture({"op": "conv"}), metrics)

    goal = Goal.parse(Objective("m", mode), "latency_ms <= 80 soft")
    (broken,) = goal.scores(evaluation(m=value, latency_ms=latency))
    (kept,) = goal.scores(evaluation(m=value, latency_ms=80))
    assert broken < kept or value == 0 or abs(value) < 1e-300
    assert goal.violation(evaluation(m=value, latency_ms=latency)) == 0


def test_the_hard_reward_of_mnasnet_only_punishes() -> None:
    hard = Constraint.parse("latency_ms <= 80 soft (0, -1)")
    assert [hard.factor({"latency_ms": ms}) for ms in (40, 80, 160)] == [1, 1, 0.5]
    assert Constraint.parse("accuracy > 0.8 soft (0, -1)").factor({"accuracy": 0.4}) == 0.5


def test_a_weighted_sum_and_the_absolute_reward_add() -> None:
    linear = Constraint.parse("latency_ms <= 80 soft linear (-0.1)")
    assert [linear.term({"latency_ms": ms}) for ms in (40, 80, 160)] == pytest.approx([-0.05, -0.1, -0.2])
    absolute = replace(linear, form="absolute")
    assert [absolute.term({"latency_ms": ms}) for ms in (40, 80, 160)] == pytest.approx([-0.05, 0, -0.1])
    assert Constraint.parse("f1 >= 0.8 soft linear (-0.1)").term({"f1": 0.4}) == pytest.approx(0.05)
    assert linear.factor({"latency_ms": 160}) == 1 and linear.term({}) == 0
    assert Constraint.parse("latency_ms <= 2 * baseline soft linear").term({"latency_ms": 160}) == 0
    goal = Goal.parse(["accuracy", "min:loss"], linear)
    scores = goal.scores(Evaluation(Architecture({"op": "conv"}), {"accuracy": 0.9, "loss": 1.0, "latency_ms": 80}))
    assert scores == pytest.approx((0.8, -1.1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"form": "cubic"}, "form of a soft constraint must be one of power, linear, absolute, got 'cubic'"),
        ({"form": "linear", "kept_weight": 0.0}, "kept_weight must be a finite number and belongs to form 'power'"),
        ({"kept_weight": math.nan}, "kept_weight must be a finite number"),
        ({"form": "linear", "limit": 0}, "limit of a soft constraint of form 'linear' must be above 0, got 0.0"),
    ],
)
def test_forms_are_checked(settings: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Constraint(**{"metric": "m", "op": "<=", "limit": 5, "soft": True, **settings})
