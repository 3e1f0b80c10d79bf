from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.outcome import as_result, fidelity_of, outcome
from tests.core.scripted import A, score


def test_costs_replace_what_a_trial_reported() -> None:
    found = outcome("1", A, score(0.5, 3, params=7.0), Goal(), costs={"params": 9.0, "macs": 2.0}, error=False)
    assert found == Evaluation(A, {"accuracy": 0.5, "params": 9.0, "macs": 2.0}, 3, "finished", "1")


def test_a_cost_can_be_the_objective() -> None:
    goal = Goal.parse(["accuracy", "min:params"])
    assert outcome("1", A, score(0.5), goal, costs={"params": 9.0}, error=False).status == "finished"
    missing = outcome("1", A, score(0.5), goal, costs={}, error=False)
    assert (missing.status, missing.error) == ("failed", "no finite 'params' was reported")


def test_fidelity_counts_reports() -> None:
    assert [fidelity_of(result) for result in ({}, {"training_iteration": None}, score(0.5, 7))] == [0, 0, 7]


def test_results_are_made_again_from_records() -> None:
    report = {"event": "result", "trial": "1", "fidelity": 2, "metrics": {"accuracy": 0.5}}
    assert as_result(report) == score(0.5, 2)
    ended = {**report, "event": "ended", "status": "stopped", "error": ""}
    assert as_result(ended) == score(0.5, 2, complete=False, error="")
    named = {**ended, "metrics": {"error": 0.25}}
    assert as_result(named)["error"] == 0.25
