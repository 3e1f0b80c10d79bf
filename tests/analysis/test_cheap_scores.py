"""Cheap scores, survival of trials, and spending."""

import pytest

from raynas.analysis import Rung, cheap_scores, predictions, spending, survival
from raynas.core.archive import Archive
from raynas.core.evaluation import Evaluation
from raynas.core.metric import Metric
from raynas.metrics import read_goal
from tests.analysis.trials import archived, evaluation, many

GOAL = read_goal()
CURVES = archived(
    [
        ("finished", [0.1, 0.2, 0.5]),
        ("stopped", [0.05]),
        ("finished", [0.2, 0.1, 0.6]),
        ("finished", [0.3, 0.3, 0.7]),
        ("failed", []),
        ("stopped", [0.1, 0.15]),
    ],
    resources={"cpu": 2.0, "gpu": 0.5},
)


def test_less_training_against_all_of_it() -> None:
    first, second = cheap_scores(CURVES, GOAL)
    assert (first.name, first.against) == ("accuracy after 1 of 3 epochs", "accuracy after 3 epochs")
    assert first.pairs == ((0.1, 0.5), (0.2, 0.6), (0.3, 0.7)) and first.trials == ("00001", "00003", "00004")
    assert first.correlation.rho == pytest.approx(1.0) and first.correlation.n == 3
    assert second.correlation.rho == pytest.approx(0.5)


def test_long_trainings_are_compared_at_a_few_fidelities() -> None:
    archive = archived([("finished", [i * e for e in range(1, 101)]) for i in range(1, 4)])
    fidelities = [score.fidelity for score in cheap_scores(archive, GOAL)]
    assert 8 <= len(fidelities) <= 12 and fidelities[0] == 1 and fidelities[-1] == 99


def test_scores_without_training_and_of_earlier_stages() -> None:
    archive = Archive()
    stage = [evaluation(f"{i:05d}", i / 9, {"op": i}) for i in range(6)]
    for i, e in enumerate(stage):
        archive.append("proposed", trial=e.trial, config={"arch": e.arch.to_config()}, costs={})
        if i:
            archive.append("scored", config={"arch": e.arch.to_config()}, scores={"synflow": float(i), "snip": None})
        archive.append(
            "ended", trial=e.trial, status="finished", fidelity=1, metrics={"accuracy": i, "params": -i}, error=""
        )
    found = {
        s.name: s
        for s in cheap_scores(
            archive, GOAL, stages={"stage 1": {e.arch: e.metrics["accuracy"] for e in stage}, "stage 0": {}}
        )
    }
    assert found["synflow"].correlation.rho == pytest.approx(1.0)
    assert found["params"].correlation.rho == pytest.approx(-1.0)
    assert found["score in stage 1"].kind == "stage"
    assert list(found) == ["params", "synflow", "score in stage 1"]


def test_predicted_against_measured() -> None:
    measured = Metric(name="latency_ms", mode="min", measure=lambda candidate: 1.0)
    predicted = Metric(name="latency_ms", mode="min", measure=lambda candidate: 1.0, final=measured)
    goal = read_goal("accuracy", "latency_ms <= 9", [predicted])
    again = [evaluation(str(i), 0.5, latency_ms=float(i)).measured_again({"latency_ms": 2.0 * i}) for i in range(1, 7)]
    (found,) = predictions([*again, evaluation("x", 0.1)], goal)
    assert (found.name, found.against) == ("latency_ms predicted", "latency_ms measured at the end")
    assert found.pairs[0] == (1.0, 2.0) and found.correlation.rho == pytest.approx(1.0)
    (found,) = predictions(again, read_goal("accuracy", "latency_ms <= 9"))
    assert found.name == "latency_ms in the search"


def test_no_score_is_compared_with_itself() -> None:
    archive = archived([("finished", [0.5])] * 3)
    assert cheap_scores(archive, GOAL) == [] == predictions([Evaluation(many(1)[0].arch, {"accuracy": 1.0})], GOAL)


def test_trials_that_reached_each_rung() -> None:
    found = survival(CURVES)
    assert found.n_trials == 6
    assert found.rungs == (
        Rung(fidelity=1, n_reached=5, n_stopped=1, n_failed=1),
        Rung(fidelity=2, n_reached=4, n_stopped=1, n_failed=0),
        Rung(fidelity=3, n_reached=3, n_stopped=0, n_failed=0),
    )
    assert survival(archived([("finished", [0.1, 0.2])])).rungs == ()


def test_rungs_of_a_rule_that_may_stop_after_any_epoch() -> None:
    rungs = survival(archived([("stopped", [0.1] * n) for n in range(1, 60)] + [("finished", [0.1] * 60)])).rungs
    assert len(rungs) == 20 and (rungs[0].fidelity, rungs[-1].fidelity) == (1, 60)
    assert sum(rung.n_stopped for rung in rungs) == 59


def test_hours_of_devices() -> None:
    found = spending(CURVES)
    assert (found.n_timed, found.n_trials, found.seconds) == (5, 6, 120.0)
    assert found.device_hours == pytest.approx({"cpu": 240 / 3600, "gpu": 60 / 3600})
    assert spending(archived([("finished", [0.1])])).device_hours == {}
