"""The metrics that are measured at the end of a search."""

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.final_metrics import limits_at_end, measured_at_end, unmeasured
from raynas.core.goal import Goal
from raynas.core.measurement import Measured, Provenance
from raynas.metrics import METRICS


def evaluation(**metrics: float) -> Evaluation:
    return Evaluation(Architecture({"op": "conv"}), metrics)


def test_only_what_was_measured_here_is_measured_at_the_end() -> None:
    goal = Goal.parse("accuracy", ["latency_ms <= 5", "params <= 9"], METRICS)
    assert list(measured_at_end(goal)) == ["latency_ms"]
    assert limits_at_end(goal) == [goal.constraints[0]]
    assert limits_at_end(Goal.parse("accuracy", "latency_ms <= 5 soft", METRICS)) == []
    measured = evaluation(accuracy=0.5, latency_ms=Measured(4, Provenance()), params=8)
    assert unmeasured(goal, measured) == ["latency_ms"]
    assert unmeasured(goal, evaluation(accuracy=0.5, latency_ms=4)) == [], "a trial reported it"
    assert unmeasured(goal, measured.measured_again({"latency_ms": 6})) == []
    assert unmeasured(Goal.parse("accuracy", (), METRICS, ["latency_ms"]), measured) == [], "it is only watched"
