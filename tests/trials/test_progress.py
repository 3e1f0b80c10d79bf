"""The progress of a trial."""

import math

from raynas.core.architecture import Architecture
from raynas.core.evaluation import metrics_of
from raynas.core.measurement import Measured, Provenance, provenance_of
from raynas.trials.progress import STANDARD, Progress

ARCH = {"depth": 2, "kernel": 3}


def test_a_result_holds_every_standard_metric() -> None:
    progress = Progress(arch=Architecture(ARCH), epoch=2, done=True, costs={"params": 3.0}, scores={"accuracy": 0.5})
    result = progress.result(["f1"], peak_mb=80.0)
    assert result.keys() >= {*STANDARD, "f1"} and math.isnan(result["f1"]) and math.isnan(result["loss"])
    assert (result["accuracy"], result["params"], result["peak_memory_mb"]) == (0.5, 3.0, 80.0)
    assert (result["training_iteration"], result["complete"], result["done"], result["failed"]) == (2, 1, True, 0)


def test_a_failure_hides_scores_and_notes() -> None:
    progress = Progress(epoch=1, scores={"accuracy": 0.5}, notes={"derived": "x"}, error="epoch 2: boom")
    result = progress.result((), peak_mb=0.0)
    assert math.isnan(result["accuracy"]) and "derived" not in result
    assert (result["failed"], result["done"], result["complete"], result["error"]) == (1, True, 0, "epoch 2: boom")


def test_memory_of_earlier_processes_counts() -> None:
    progress = Progress(arch=Architecture(ARCH), earlier_peak_mb=90.0)
    assert progress.result((), 80.0)["peak_memory_mb"] == progress.checkpoint(None, 80.0).peak_memory_mb == 90.0
    assert progress.checkpoint(None, 100.0).peak_memory_mb == 100.0


def test_a_figure_that_the_trial_reports_has_no_provenance() -> None:
    costs = {"latency_ms": Measured(3.0, Provenance(facts={"backend": "eager"}))}
    assert metrics_of(Progress(costs=costs).result((), 0.0))["latency_ms"] == costs["latency_ms"]
    assert provenance_of(metrics_of(Progress(costs=costs).result((), 0.0))) == provenance_of(costs)
    reported = metrics_of(Progress(costs=costs, scores={"latency_ms": 9.0}).result((), 0.0))
    assert reported["latency_ms"] == 9.0 and provenance_of(reported) == {}
