import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from ray import tune
from ray.tune.search import Searcher

from raynas.core import searcher as searcher_module
from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.joint_space import JointSpace
from raynas.errors import SpaceError
from raynas.strategies import RandomSearch
from raynas.testing import run_trials
from tests.core.scripted import SPACE, WAIT, A, B, C, D, Scripted, arch, config, saw, score

# --- proposals that cost nothing --------------------------------------------------------------------------------------


def test_a_duplicate_is_answered_from_the_archive() -> None:
    searcher = Scripted([A, A, A, B])
    assert searcher.suggest("1") == config(A)
    searcher.on_trial_complete("1", score(0.5))
    assert searcher.suggest("2") == config(B)
    assert [e.metrics for e in searcher.seen] == [{"accuracy": 0.5}] * 3
    assert searcher.events == ["proposed", "ended", "duplicate", "duplicate", "proposed"]
    assert searcher.archive.events("duplicate")[0]["config"] == config(A)


def test_what_is_running_is_not_started_again() -> None:
    searcher = Scripted([A, A, B])
    assert [searcher.suggest("1"), searcher.suggest("2")] == [config(A), config(B)]
    assert searcher.seen == [] and searcher.events == ["proposed", "proposed"]
    assert searcher.running == [A, B]


def test_another_hyperparameter_is_no_duplicate() -> None:
    space = JointSpace(SPACE, {"lr": tune.choice([0.1, 0.2])})
    points = [Architecture({**A, "lr": lr}) for lr in (0.1, 0.2, 0.2)]
    measured: list[Architecture] = []
    costs = {"params": lambda a: measured.append(a) or 1.0}  # type: ignore[func-returns-value]
    searcher = Scripted(points, "params <= 2", space=space, costs=costs)
    assert searcher.suggest("1") == {"arch": A.to_config(), "lr": 0.1}
    assert searcher.suggest("2") == {"arch": A.to_config(), "lr": 0.2}
    assert measured == [A], "a cost is one of the architecture alone"


def test_a_hard_constraint_refuses_before_training() -> None:
    searcher = Scripted([D, D, A], "params <= 2000", costs={"params": SPACE.params})
    assert searcher.suggest("1") == config(A)
    refused, proposed = searcher.archive
    reason = "params = 3000, required params <= 2000"
    assert refused == {"event": "refused", "config": config(D), "metrics": {"params": 3000}, "reason": reason}
    assert proposed["costs"] == {"params": 1000}
    assert searcher.seen == [Evaluation(D, {"params": 3000}, 0, "failed", error=f"refused: {reason}")] * 2
    searcher.on_trial_complete("1", score(0.5))
    assert searcher.seen[-1].metrics == {"accuracy": 0.5, "params": 1000}


def test_soft_constraints_and_trained_ones_refuse_nothing() -> None:
    constraints = ["params <= 1 soft", "accuracy >= 0.9", "latency_ms <= 1"]
    searcher = Scripted([D], constraints, costs={"params": SPACE.params})
    assert searcher.suggest("1") == config(D)


@pytest.mark.parametrize(
    ("cost", "reason"),
    [
        (1 / 3, ""),
        (math.nan, "params cannot be measured: ValueError: nan is not a finite number"),
        (math.inf, "params cannot be measured: ValueError: inf is not a finite number"),
        (SpaceError("too\nnarrow"), "params cannot be measured: too narrow"),
    ],
)
def test_a_cost_that_cannot_be_measured_does_not_stop_the_search(cost: Any, reason: str) -> None:
    def measure(a: Architecture) -> float:
        if a == D and isinstance(cost, Exception):
            raise cost
        return float(cost) if a == D else 1.0

    searcher = Scripted([D, A], "params <= 2", costs={"params": measure})
    assert searcher.suggest("1") == config(A if reason else D)
    assert [record["reason"] for record in searcher.archive.events("refused")] == [reason][: bool(reason)]


# --- the baseline and relative constraints ----------------------------------------------------------------------------


def test_a_relative_constraint_is_resolved_by_the_baselines_trial() -> None:
    searcher = Scripted([D, A], "accuracy >= 0.9 * baseline", baseline=B)
    assert searcher.suggest("1") == config(B)
    assert searcher.suggest("2") == config(D)
    searcher.on_trial_complete("2", score(0.9))
    assert searcher.goal.constraints[0].relative
    searcher.on_trial_complete("1", score(0.8))
    assert str(searcher.goal.constraints[0]) == "accuracy >= 0.72"


def test_a_failed_baseline_resolves_nothing() -> None:
    searcher = Scripted([A], "accuracy >= 0.9 * baseline", baseline=B)
    searcher.suggest("1")
    searcher.on_trial_complete("1", score(0.0, failed=1))
    assert searcher.goal.constraints[0].relative
    assert searcher.suggest("2") == config(A)


def test_a_relative_cost_is_resolved_though_the_trial_does_not_report_it() -> None:
    searcher = Scripted([D, A], "params <= 0.5 * baseline", baseline=D, costs={"params": SPACE.params})
    searcher.suggest("1")
    searcher.on_trial_complete("1", score(0.8))
    assert str(searcher.goal.constraints[0]) == "params <= 1500"
    assert searcher.suggest("2") == config(A)


def test_the_baseline_is_tried_though_it_breaks_a_constraint() -> None:
    constraints = ["params <= 1500", "accuracy >= baseline"]
    searcher = Scripted([C, A], constraints, baseline=D, costs={"params": SPACE.params})
    assert searcher.suggest("1") == config(D)
    searcher.on_trial_complete("1", score(0.8))
    assert [str(constraint) for constraint in searcher.goal.constraints] == ["params <= 1500", "accuracy >= 0.8"]
    assert searcher.suggest("2") == config(A)
    assert searcher.goal.best(searcher.archive.evaluations) is None


def test_given_points_come_first_and_canonical() -> None:
    points = [Architecture({**B, "head": "linear"}), A, arch("20", "linear")]
    searcher = Scripted([B, C], baseline=Architecture({**A, "head": "cosine"}), points_to_evaluate=points)
    trials = []
    for name in "1234":
        trials.append(searcher.suggest(name))
        searcher.on_trial_complete(name, score(0.5))
    assert trials == [config(A), config(B), config(arch("20", "linear")), config(C)]


def test_given_points_must_be_members() -> None:
    stranger = Architecture({"layers.0": 0, "layers.1": 99})
    with pytest.raises(SpaceError, match=r"'layers\.1' cannot be 99"):
        Scripted(baseline=stranger)
    with pytest.raises(SpaceError, match=r"'layers\.1' cannot be 99"):
        Scripted(points_to_evaluate=[stranger])


# --- what Tune tells --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "error", "status", "fidelity", "metrics", "message"),
    [
        (score(0.5, 3), False, "finished", 3, {"accuracy": 0.5}, ""),
        (score(0.5, 3, complete=True), False, "finished", 3, {"accuracy": 0.5}, ""),
        (score(0.5, 3, complete=False), False, "stopped", 3, {"accuracy": 0.5}, ""),
        (score(0.5, 3), True, "failed", 3, {"accuracy": 0.5}, "the trial raised or was killed"),
        (None, True, "failed", 0, {}, "the trial raised or was killed"),
        (None, False, "failed", 0, {}, "the trial raised or was killed"),
        ({}, False, "failed", 0, {}, "the trial raised or was killed"),
        (score(math.nan, 2), False, "failed", 2, {}, "no finite 'accuracy' was reported"),
        (score(math.inf, 2), False, "failed", 2, {}, "no finite 'accuracy' was reported"),
        ({"loss": 1, "training_iteration": 1}, False, "failed", 1, {"loss": 1.0}, "no finite 'accuracy' was reported"),
        (score(0.0, 1, failed=1, error="OOM"), False, "failed", 1, {"accuracy": 0.0}, "OOM"),
        (score(math.nan, 1, error=0.25), False, "failed", 1, {"error": 0.25}, "no finite 'accuracy' was reported"),
        (score(0.5, 1, error=0.25), False, "finished", 1, {"accuracy": 0.5, "error": 0.25}, ""),
    ],
)
def test_every_end_of_a_trial_is_recorded(
    result: Any, error: bool, status: Any, fidelity: int, metrics: Mapping[str, float], message: str
) -> None:
    searcher = Scripted([A])
    searcher.suggest("1")
    searcher.on_trial_complete("1", result, error)
    expected = Evaluation(A, metrics, fidelity, status, "1", message)
    assert searcher.seen == searcher.archive.evaluations == [expected]
    assert searcher.evaluation_of("1") == expected
    assert searcher.running == []
    replayed = Scripted([A])
    replayed.replay(json.loads(json.dumps(list(searcher.archive))))
    assert replayed.seen == [expected]


def test_reports_are_recorded() -> None:
    searcher = Scripted([A])
    searcher.suggest("1")
    for result in (score(0.1, 1, loss=math.nan), None, {}, score(0.2, 2, done=False)):
        searcher.on_trial_result("1", result)
    reports = [(r["trial"], r["fidelity"], r["metrics"]) for r in searcher.archive.events("result")]
    assert reports == [("1", 1, {"accuracy": 0.1}), ("1", 2, {"accuracy": 0.2})]
    assert searcher.seen == []


def test_strangers_and_echoes_are_left_alone() -> None:
    searcher = Scripted([A])
    searcher.suggest("1")
    searcher.on_trial_complete("1", score(0.5))
    before = list(searcher.archive)
    for trial in ("1", "2"):
        searcher.on_trial_result(trial, score(0.9))
        searcher.on_trial_complete(trial, score(0.9))
        searcher.on_trial_complete(trial, None, error=True)
    assert list(searcher.archive) == before and len(searcher.seen) == 1
    assert searcher.evaluation_of("2") is None


def test_tune_is_told_the_metrics() -> None:
    one, two = Scripted(goal=Goal.parse("min:error")), Scripted(goal=Goal.parse(["accuracy", "min:params"]))
    told: list[Any] = [one.metric, one.mode, two.metric, two.mode]
    assert told == ["error", "min", ["accuracy", "params"], ["max", "min"]]
    assert one.set_search_properties(None, None, {}) and one.set_search_properties("error", "min", {})
    assert not one.set_search_properties("error", "max", {})
    assert not one.set_search_properties("accuracy", "min", {})
    assert two.set_search_properties(None, None, {})


# --- ends -------------------------------------------------------------------------------------------------------------


def test_fruitless_proposals_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searcher_module, "MAX_FRUITLESS", 10)
    searcher = Scripted([A, *[D] * 4, *[A] * 100], "params <= 2000", costs={"params": SPACE.params})
    searcher.suggest("1")
    searcher.on_trial_complete("1", score(0.5))
    assert searcher.suggest("2") == Searcher.FINISHED
    assert searcher.n_asked == 1 + 10
    assert searcher.ended_because == (
        "10 proposals in a row were known or refused (1 architectures refused, 1 evaluated); "
        "loosen the constraints or widen the space"
    )


def test_an_exhausted_space_ends_at_once() -> None:
    members = list(SPACE.enumerate())
    searcher = Scripted(members, "params <= 4000", costs={"params": SPACE.params})
    configs = run_trials(searcher, lambda c: score(0.5), 1000)
    assert len(configs) == sum(SPACE.params(member) <= 4000 for member in members) < SPACE.size
    n_asked = searcher.n_asked
    assert searcher.suggest("more") == Searcher.FINISHED
    assert searcher.n_asked == n_asked
    assert searcher.ended_because == "every architecture of the space was tried"


def test_running_trials_count_as_tried() -> None:
    searcher = Scripted(SPACE.enumerate())
    assert all(isinstance(searcher.suggest(str(i)), dict) for i in range(12))
    assert searcher.suggest("more") == Searcher.FINISHED


def test_nothing_to_propose_means_wait_while_something_runs() -> None:
    searcher = Scripted([A, WAIT, WAIT, B])
    searcher.suggest("1")
    assert searcher.suggest("2") is None and searcher.suggest("2") is None
    searcher.on_trial_complete("1", score(0.5))
    assert searcher.suggest("2") == config(B)
    searcher.on_trial_complete("2", score(0.5))
    assert searcher.suggest("3") == Searcher.FINISHED
    assert searcher.ended_because == "the strategy has nothing more to propose"


# --- warm start -------------------------------------------------------------------------------------------------------


def test_a_warm_start_is_known_but_not_recorded() -> None:
    searcher = Scripted([A, B])
    searcher.warm_start([Evaluation(A, {"accuracy": 0.5})])
    assert len(searcher.archive) == 0 and saw(searcher) == [(A, "finished")]
    assert searcher.suggest("1") == config(B)


def test_a_warm_start_may_be_evaluated_again() -> None:
    searcher = Scripted([A])
    searcher.warm_start([Evaluation(A, {"accuracy": 0.5})], again=True)
    assert saw(searcher) == [(A, "finished")]
    assert searcher.suggest("1") == config(A)
    assert searcher.events == ["proposed"]


def test_a_warm_start_brings_hyperparameters() -> None:
    space = JointSpace(SPACE, {"lr": tune.choice([0.1, 0.2])})
    earlier = RandomSearch().searcher(SPACE, costs={}, hyperparameters=space.hyperparameters)
    run_trials(earlier, SPACE.result, 3)
    searcher = Scripted([], space=space)
    searcher.warm_start(earlier.archive.evaluations)
    assert [space.to_config(e.arch) for e in searcher.seen] == [
        record["config"] for record in earlier.archive.events("proposed")
    ]


def test_a_warm_start_from_another_space_is_refused() -> None:
    with pytest.raises(SpaceError, match="has no decision 'op'"):
        Scripted().warm_start([Evaluation(Architecture({"op": "conv"}), {"accuracy": 0.5})])
