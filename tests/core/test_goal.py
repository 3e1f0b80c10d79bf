import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation, Status
from raynas.core.goal import Goal, Objective
from raynas.core.near_ties import share_of, standard_error
from raynas.errors import SpaceError, one_line
from raynas.metrics import METRICS

ARCH = Architecture({"op": "conv"})


def evaluation(status: Status = "finished", trial: str = "", **metrics: float) -> Evaluation:
    return Evaluation(ARCH, metrics, status=status, trial=trial)


# --- objectives -------------------------------------------------------------------------------------------------------


def test_known_metrics_need_no_direction() -> None:
    modes = {name: metric.mode for name, metric in METRICS.items()}
    assert {name: Objective.parse(name, METRICS).mode for name in METRICS} == modes
    assert Objective.parse("accuracy") == Objective("accuracy", "max") == Objective.parse("max:accuracy")
    assert Objective.parse("min:accuracy").mode == "min"
    assert Objective.parse(Objective("mine", "min")) == Objective("mine", "min")


def test_a_metric_may_hold_a_separator() -> None:
    assert Objective.parse("max:val/acc") == Objective("val/acc", "max")


@pytest.mark.parametrize("text", ["my_metric", "up:accuracy", "maximise:accuracy", ":my_metric"])
def test_an_unknown_direction_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"needs a direction: write 'max:.*(known without one: accuracy, loss, .*)"):
        Objective.parse(text, METRICS)


@pytest.mark.parametrize("text", ["", "max:"])
def test_an_objective_needs_a_metric(text: str) -> None:
    with pytest.raises(ValueError, match="needs a metric"):
        Objective.parse(text)


def test_sign_makes_larger_better() -> None:
    assert (Objective("accuracy", "max").sign, Objective("loss", "min").sign) == (1, -1)


# --- evaluations ------------------------------------------------------------------------------------------------------


def test_an_error_becomes_one_line() -> None:
    assert one_line(SpaceError("two\n  lines")) == "two lines"
    assert one_line(KeyError("x")) == "KeyError: 'x'"
    assert len(one_line(ValueError("x" * 10_000))) == 500


# --- goals ------------------------------------------------------------------------------------------------------------


def test_a_goal_is_read() -> None:
    goal = Goal.parse(["accuracy", "min:mine"], ["params <= 1e6", "macs <= 1e6 soft"])
    assert goal.objectives == (Objective("accuracy", "max"), Objective("mine", "min"))
    assert goal.first == Objective("accuracy", "max")
    assert [str(constraint) for constraint in goal.hard] == ["params <= 1e+06"]
    assert Goal.parse() == Goal()
    assert Goal.parse("accuracy", "params <= 1") == Goal.parse(["accuracy"], ["params <= 1"])


@pytest.mark.parametrize("objectives", [[], ["accuracy", "accuracy"], ["accuracy", "min:accuracy"]])
def test_objectives_must_differ(objectives: list[str]) -> None:
    with pytest.raises(ValueError, match="different objectives, at least one"):
        Goal.parse(objectives)


def test_failures_and_gaps_come_last() -> None:
    goal = Goal.parse("accuracy", "params <= 100")
    best, worst = evaluation(accuracy=0.9, params=100), evaluation(accuracy=0.1, params=100)
    slightly, badly = evaluation(accuracy=1.0, params=110), evaluation(accuracy=1.0, params=900)
    failed, silent = evaluation("failed", accuracy=1.0, params=1), evaluation(params=1)
    assert goal.sort([failed, badly, silent, worst, slightly, best]) == [best, worst, slightly, badly, failed, silent]
    assert goal.violation(failed) == goal.violation(silent) == math.inf
    assert goal.scores(silent) == (-math.inf,)
    assert goal.best([failed, badly, slightly, silent]) is None
    assert goal.best([]) is None
    assert goal.best([worst, failed, best, slightly]) is best


def test_relative_constraints_of_a_goal_are_resolved_one_by_one() -> None:
    goal = Goal.parse("accuracy", ["params <= 0.5 * baseline", "latency_ms <= baseline soft", "macs <= 7"])
    resolved = goal.against({"params": 8.0})
    assert [str(c) for c in resolved.constraints] == ["params <= 4", "latency_ms <= 1 * baseline soft", "macs <= 7"]
    assert resolved.violation(evaluation(accuracy=1, params=6)) == 0.5


ONE = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["finished", "failed"])), max_size=12)


@given(ONE, st.sampled_from(["max", "min"]))
def test_one_objective_sorts_by_debs_rule(rows: list[tuple[int, int, Any]], mode: Any) -> None:
    goal = Goal.parse(Objective("m", mode), "size <= 2")
    evaluations = [evaluation(status, str(i), m=m, size=size) for i, (m, size, status) in enumerate(rows)]
    sign = 1 if mode == "min" else -1
    # Of equal scores the one that has less of what is limited is first, then the earlier.
    keys = {
        str(i): (status == "failed", max(size - 2, 0), sign * m, size, i) for i, (m, size, status) in enumerate(rows)
    }
    # Among failures nothing but score and cost count.
    keys |= {i: (True, 0, *key[2:]) for i, key in keys.items() if key[0]}
    assert [e.trial for e in goal.sort(evaluations)] == sorted(keys, key=lambda i: keys[i])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), max_size=12))
def test_the_front_is_what_nothing_complying_beats(rows: list[tuple[int, int, int]]) -> None:
    goal = Goal.parse(["accuracy", "params"], "size <= 2", METRICS)
    evaluations = [evaluation(trial=str(i), accuracy=a, params=p, size=s) for i, (a, p, s) in enumerate(rows)]
    complying = {i: (a, -p) for i, (a, p, s) in enumerate(rows) if s <= 2}
    front = {
        str(i)
        for i, (a, p) in complying.items()
        if not any(x >= a and y >= p and (x, y) != (a, p) for x, y in complying.values())
    }
    found = goal.pareto_front(evaluations)
    assert {e.trial for e in found} == front and len(found) == len(front)
    accuracies = [e.metrics["accuracy"] for e in found]
    assert accuracies == sorted(accuracies, reverse=True)
    # The first of the sorted ones is on the front too, if anything complies.
    assert not complying or goal.sort(evaluations)[0].trial in front


def test_several_objectives_sort_by_rank_then_crowding() -> None:
    goal = Goal.parse(["accuracy", "params"], metrics=METRICS)
    ends = [evaluation(trial="a", accuracy=0.0, params=0), evaluation(trial="b", accuracy=1.0, params=10)]
    crowded = [evaluation(trial="c", accuracy=0.10, params=1), evaluation(trial="d", accuracy=0.11, params=1.1)]
    lonely = evaluation(trial="e", accuracy=0.6, params=6)
    dominated = evaluation(trial="f", accuracy=0.05, params=9)
    failed = evaluation("failed", trial="g")
    order = [e.trial for e in goal.sort([failed, dominated, *crowded, lonely, *ends])]
    assert order[:3] == ["a", "b", "e"] and set(order[3:5]) == {"c", "d"} and order[5:] == ["f", "g"]


def test_figures_of_the_baseline_stay_as_they_were_first_known() -> None:
    goal = Goal.parse("accuracy", ["latency_ms <= 0.5 * baseline", "accuracy >= baseline"])
    measured = goal.against({"latency_ms": 4.0})
    ended = measured.against({"latency_ms": 5.0, "accuracy": 0.75})
    assert ended.baseline == {"latency_ms": 4.0, "accuracy": 0.75}
    assert [constraint.limit for constraint in ended.constraints] == [2.0, 0.75]
    assert ended == Goal.parse("accuracy", ended.constraints), "goals are equal if they rank alike"


# --- ties and near-ties -----------------------------------------------------------------------------------------------


def scored(trial: str, n_right: int, n: int = 100, **costs: float) -> Evaluation:
    return Evaluation(Architecture({"a": 1}), {"accuracy": share_of(n_right, n), **costs}, trial=trial)


def test_ties_are_decided_by_limited_costs_then_params_then_macs() -> None:
    goal = Goal.parse("accuracy", ["latency_ms <= 9", "bits >= 1"])
    rows = [
        evaluation(trial="late", accuracy=0.9, latency_ms=3, bits=8, params=5, macs=5),
        evaluation(trial="bits", accuracy=0.9, latency_ms=2, bits=4, params=1, macs=1),
        evaluation(trial="macs", accuracy=0.9, latency_ms=2, bits=8, params=3, macs=2),
        evaluation(trial="first", accuracy=0.9, latency_ms=2, bits=8, params=3, macs=1),
        evaluation(trial="unknown", accuracy=0.9),
    ]
    expected = ["first", "macs", "bits", "late", "unknown"]
    for order in (rows, rows[::-1]):
        assert [e.trial for e in goal.sort(order)] == expected
        assert [e.trial for e in goal.pareto_front(order)] == expected
        best = goal.best(order)
        assert best and best.trial == "first"


def test_a_cheaper_network_wins_within_one_standard_error() -> None:
    best, near, far = scored("best", 95, params=9), scored("near", 93, params=3), scored("far", 92, params=1)
    goal = Goal()
    error = standard_error(best, "accuracy")
    assert error == pytest.approx(math.sqrt(97 / 104 * 7 / 104 / 104))
    assert error == pytest.approx(0.0246, abs=1e-4)
    assert goal.near_ties([far, best, near]) == [near, best] and goal.best([far, best, near]) is near
    assert replace(goal, tolerance=0).best([far, best, near]) is best
    assert replace(goal, tolerance=0.031).best([far, best, near]) is far
    assert goal.sort([far, near, best]) == [best, near, far], "strategies rank by the scores as they are"
    assert Goal.parse("accuracy", "macs <= 9 soft").best([best, near]) is best, "the limit prices the cost"
    plain = [evaluation(accuracy=0.95, params=9), evaluation(accuracy=0.9499, params=3)]
    assert goal.best(plain) is plain[0], "nothing is known of the noise"


def test_a_share_of_one_is_not_certain() -> None:
    assert 0 < (standard_error(scored("all", 100), "accuracy") or 0) < 0.02


def test_repeated_trainings_replace_the_single_score() -> None:
    def repeated(e: Evaluation, *accuracies: float) -> Evaluation:
        for accuracy in accuracies:
            e = e.trained_again({"accuracy": accuracy})
        return e

    lucky = repeated(scored("lucky", 99, params=1), 0.90, 0.91, 0.92)
    steady = repeated(scored("steady", 96, params=2), 0.95, 0.96, 0.97)
    single = scored("single", 98, params=0)
    assert lucky.metrics["accuracy"] == pytest.approx(0.91) and lucky.first == {"accuracy": 0.99}
    assert standard_error(lucky, "accuracy") == pytest.approx(0.01 / math.sqrt(3))
    assert Goal().best([lucky, single, steady]) is steady, "a single score is no match for a mean"
    assert lucky.as_trained_once == scored("lucky", 99, params=1) == lucky.as_searched
    assert Goal().tolerance_among([steady, lucky]) == pytest.approx(0.01 / math.sqrt(3))


def test_of_several_objectives_the_best_is_the_first_of_the_front() -> None:
    goal = Goal.parse(["accuracy", "params"], metrics=METRICS)
    rows = [evaluation(trial=str(p), accuracy=a, params=p) for a, p in ((0.9, 3), (0.9, 2), (0.5, 1))]
    assert goal.best(rows) == goal.pareto_front(rows)[0] == rows[1]


def test_of_several_objectives_too_a_repeated_training_goes_before_a_single_score() -> None:
    goal = Goal.parse(["accuracy", "min:params"])
    lucky = Evaluation(Architecture({"op": "a"}), {"accuracy": 0.9, "params": 10})
    proven = Evaluation(
        Architecture({"op": "b"}), {"accuracy": 0.8, "params": 20}, repeats=({"accuracy": 0.7}, {"accuracy": 0.9})
    )
    assert goal.best([lucky, proven]) == proven
    assert goal.best([lucky]) == lucky
