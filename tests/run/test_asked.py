from collections.abc import Mapping
from typing import Any

import pytest
from ray import tune
from torch import nn

from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import UnknownNameError
from raynas.metrics import read_goal
from raynas.run.asked import ReportCheck, check_early_stopping, read_by_scheduler, wanted
from raynas.run.trainables import ClassSettings
from raynas.strategies import Asha, LearningCurve, MultiObjectiveAsha, RandomSearch
from raynas.testing import ToySpace
from raynas.trials import Function, Tabular, Training

SPACE = ToySpace()


def score(model: nn.Module, config: Mapping[str, Any]) -> float:
    return 0.5


FUNCTION, CLASS = Function(fn=score), ClassSettings(tune.Trainable)


def searcher(*constraints: str, objectives: Any = "accuracy", metrics: Any = ()) -> ArchitectureSearcher:
    goal = read_goal(objectives, constraints, metrics)
    return RandomSearch().searcher(SPACE, goal, costs={"params": SPACE.params})


def test_what_is_measured_before_a_trial_is_not_asked_of_it() -> None:
    asked = wanted(searcher("params <= 5", "size <= 3", "macs <= 1 soft", metrics=["latency_ms"]))
    names = [metric if isinstance(metric, str) else metric.name for metric in asked]
    assert names == ["accuracy", "size", "macs", "latency_ms"]
    assert "params" in [getattr(m, "name", m) for m in wanted(searcher("params <= 5", objectives=["params"]))]


def test_trials_measure_what_early_stopping_reads() -> None:
    curve = RandomSearch(early_stopping=LearningCurve(costs=("params", "latency_ms")))
    assert read_by_scheduler(curve, FUNCTION, ()) == ["latency_ms"]
    assert read_by_scheduler(curve, FUNCTION, ["latency_ms"]) == read_by_scheduler(curve, CLASS, ()) == []
    assert read_by_scheduler(RandomSearch(early_stopping=Asha()), FUNCTION, ()) == []


def test_trials_of_a_table_count_what_early_stopping_reads_and_no_column_holds() -> None:
    """They count nothing else, where others count parameters in any case."""
    halving = RandomSearch(early_stopping=MultiObjectiveAsha(objectives=("params", "latency_ms")))
    assert read_by_scheduler(halving, Tabular(table="a.csv"), ()) == ["params"]
    assert read_by_scheduler(halving, Tabular(table="a.csv", metrics={"accuracy": "a", "params": "p"}), ()) == []
    assert read_by_scheduler(halving, FUNCTION, ()) == ["latency_ms"]


def test_early_stopping_by_a_metric_that_nothing_gives_is_refused() -> None:
    halving = RandomSearch(early_stopping=MultiObjectiveAsha(objectives=("max:speed", "params")))
    with pytest.raises(
        UnknownNameError, match=r"unknown metric of MultiObjectiveAsha: 'speed'\. Known: accuracy, params"
    ):
        check_early_stopping(halving, {"accuracy", "params"})
    check_early_stopping(halving, {"accuracy", "params", "speed"})
    check_early_stopping(halving, None)  # a function may report it
    check_early_stopping(RandomSearch(early_stopping=LearningCurve()), {"accuracy"})  # does without


def test_the_first_report_of_a_class_shows_what_it_lacks() -> None:
    check = ReportCheck(searcher("size <= 3"), CLASS)
    assert check(None) is None and check({"failed": 1}) is None
    error = check({"accuracy": 0.5, "sise": 2.0})
    assert str(error) == "metric 'size' is wanted, but what was reported is accuracy, sise; did you mean 'sise'?"


def test_a_function_says_itself_what_it_lacks() -> None:
    check = ReportCheck(searcher("latencyms <= 3"), FUNCTION)
    error = check({"accuracy": float("nan"), "failed": 1, "unreported": "latencyms", "reported": "accuracy, loss"})
    assert error is not None and "what was reported is accuracy, loss; did you mean 'latency_ms'?" in str(error)


@pytest.mark.parametrize("settings", [FUNCTION, CLASS])
def test_what_any_trial_has_reported_is_no_mistake(settings: Any) -> None:
    lacking = {"accuracy": 0.5, "failed": int(settings is FUNCTION), "unreported": "size", "reported": "accuracy"}
    check = ReportCheck(searcher("size <= 3"), settings)
    assert check({"accuracy": 0.5, "size": 3.0}) is None and check(lacking) is None
    resumed = searcher("size <= 3")
    resumed.archive.append("result", trial="1", metrics={"size": 3.0, "accuracy": 0.5})
    assert ReportCheck(resumed, settings)(lacking) is None


def test_settings_that_know_what_they_report_need_no_check() -> None:
    assert ReportCheck(searcher("size <= 3"), Training())({"accuracy": 0.5}) is None
