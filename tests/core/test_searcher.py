import errno
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import tune
from ray.tune.search import Searcher

from raynas.core import searcher as searcher_module
from raynas.core.architecture import Architecture
from raynas.core.archive import Archive
from raynas.core.goal import Evaluation, Goal
from raynas.core.joint_space import JointSpace
from raynas.core.searcher import ArchitectureSearcher, as_result
from raynas.errors import ArchiveError, SpaceError
from raynas.strategies import GridSearch, RandomSearch, RegularizedEvolution
from raynas.testing import ToySpace, run_trials

SPACE = ToySpace(n_layers=2, n_options=3)
WAIT = None


def arch(digits: str, head: str | None = None) -> Architecture:
    layers: dict[str, Any] = {f"layers.{i}": int(digit) for i, digit in enumerate(digits)}
    return Architecture(layers | ({"head": head} if head else {}))


A, B, C, D = arch("00"), arch("01"), arch("10"), arch("11")


def config(point: Architecture) -> dict[str, Any]:
    return {"arch": point.to_config()}


def score(accuracy: float, epoch: int = 1, **more: Any) -> dict[str, Any]:
    return {"accuracy": accuracy, "training_iteration": epoch, **more}


class Scripted(ArchitectureSearcher):
    """Proposes what it is told to, and remembers what it saw."""

    def __init__(self, script: Iterable[Architecture | None] = (), constraints: Any = (), **common: Any) -> None:
        space = common.pop("space", SPACE)
        super().__init__(space, common.pop("goal", Goal.parse("accuracy", constraints)), **common)
        self.script = iter(script)
        self.n_asked = 0
        self.seen: list[Evaluation] = []

    def propose(self) -> Architecture | None:
        self.n_asked += 1
        return next(self.script, WAIT)

    def observe(self, evaluation: Evaluation) -> None:
        self.seen.append(evaluation)

    @property
    def events(self) -> list[str]:
        return [record["event"] for record in self.archive]


def saw(searcher: Scripted) -> list[tuple[Architecture, str]]:
    return [(evaluation.arch, evaluation.status) for evaluation in searcher.seen]


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
    one, two = Scripted(goal=Goal.parse("min:error")), Scripted(goal=Goal.parse(["accuracy", "params"]))
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


# --- replay -----------------------------------------------------------------------------------------------------------


def test_replay_records_nothing_and_counts() -> None:
    first = Scripted([A, D, B], "params <= 2000", costs={"params": SPACE.params})
    run_trials(first, lambda c: score(0.5), 2)
    again = Scripted([A, D, B], "params <= 2000", costs={"params": SPACE.params}, archive=first.archive)
    n_records = len(first.archive)
    again.replay(first.archive)
    assert len(first.archive) == n_records
    assert again.n_replayed_exactly == 2
    assert saw(again) == saw(first) == [(A, "finished"), (D, "failed"), (B, "finished")]
    assert again.evaluation_of("00002") == first.evaluation_of("00002")


def test_what_was_measured_stays_measured() -> None:
    """A latency measured again could refuse what was accepted, and accept what was refused."""
    latencies = {A: 1.0, B: 9.0, C: 2.0}
    first = Scripted([A, B, C], "latency_ms <= 5", costs={"latency_ms": latencies.__getitem__})
    assert [first.suggest("1"), first.suggest("2")] == [config(A), config(C)]
    measured: list[Architecture] = []
    costs = {"latency_ms": lambda a: measured.append(a) or 3.0}  # type: ignore[func-returns-value]
    again = Scripted([A, B, C, B], "latency_ms <= 5", costs=costs)
    again.replay(first.archive)
    assert again.running == [A, C]
    again.on_trial_complete("1", score(0.5))
    again.on_trial_complete("2", score(0.5))
    assert [e.metrics["latency_ms"] for e in again.seen] == [9.0, 1.0, 2.0]
    assert again.suggest("3") == Searcher.FINISHED, "B is still refused"
    assert measured == []
    changed = Scripted([B, A], "latency_ms <= 5", costs=costs, archive=first.archive)
    changed.replay(first.archive)
    assert changed.suggest("3") is None, "B is refused, A is running"
    assert len(first.archive.events("refused")) == 1


def test_replay_keeps_the_order_of_what_was_seen() -> None:
    """A proposal that led to nothing but waiting drew random numbers and showed a duplicate, at its time."""
    script = [A, B, A, WAIT, C]
    first = Scripted(script)
    first.suggest("1"), first.suggest("2")
    first.on_trial_complete("1", score(0.5))
    assert first.suggest("3") is None
    first.on_trial_complete("2", score(0.5))
    first.suggest("3")
    again = Scripted(script)
    again.replay(first.archive)
    assert saw(again) == saw(first) == [(A, "finished"), (A, "finished"), (B, "finished")]
    assert again.n_replayed_exactly == 3 and again.running == [C]


def test_a_changed_search_is_a_warm_start() -> None:
    first = Scripted([A, B])
    run_trials(first, lambda c: score(0.5), 2)
    again = Scripted([A, C, D, B], archive=first.archive)
    again.replay(first.archive)
    assert again.n_replayed_exactly == 1
    assert saw(again) == [(A, "finished"), (B, "finished")]
    configs = run_trials(again, lambda c: score(0.5), 4)
    assert configs == [config(A), config(B), config(C), config(D)], "C was proposed during the replay and not lost"


def test_grid_takes_over_without_gaps() -> None:
    earlier = RandomSearch().searcher(SPACE, costs={})
    run_trials(earlier, SPACE.result, 5)
    grid = GridSearch().searcher(SPACE, costs={}, archive=earlier.archive)
    grid.replay(earlier.archive)
    configs = run_trials(grid, SPACE.result, 100)
    assert {SPACE.from_config(c) for c in configs} == set(SPACE.enumerate())


def test_a_replay_leaves_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    first = RandomSearch().searcher(SPACE, costs={})
    run_trials(first, SPACE.result, 3)
    again = Scripted([], archive=first.archive)
    again.replay(first.archive)
    assert again.ended_because == ""


def test_a_record_that_is_lost_ends_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune goes on for a while after an exception; what it does then must not look as if the record were whole."""
    script = [A, B, C]
    first = Scripted(script, archive=Archive(tmp_path / "archive"))
    first.suggest("1")
    with monkeypatch.context() as patch, pytest.raises(ArchiveError, match="No space left"):
        patch.setattr("os.fsync", _no_space)
        first.on_trial_complete("1", score(0.5))
    with pytest.raises(ArchiveError, match="No space left"):
        first.suggest("2")
    first.archive.close()
    again = Scripted(script)
    again.replay(Archive.load(tmp_path / "archive"))
    assert (again.running, again.seen, again.n_replayed_exactly) == ([A], [], 1)


def _no_space(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_running_trials_survive_a_replay() -> None:
    first = Scripted([A, B])
    first.suggest("1"), first.suggest("2")
    again = Scripted([A, B, C])
    again.replay(first.archive)
    assert again.running == [A, B]
    again.on_trial_complete("2", score(0.5))
    assert again.evaluation_of("2") == Evaluation(B, {"accuracy": 0.5}, trial="2")
    assert again.suggest("3") == config(C)


def test_tune_saves_and_restores_in_a_folder(tmp_path: Path) -> None:
    first = RegularizedEvolution(population_size=2, tournament_size=1).searcher(SPACE, costs={})
    run_trials(first, SPACE.result, 5)
    first.save_to_dir(str(tmp_path), "session")
    again = RegularizedEvolution(population_size=2, tournament_size=1).searcher(SPACE, costs={})
    again.restore_from_dir(str(tmp_path))
    assert list(again.archive) == list(first.archive)
    assert again.suggest("next") == first.suggest("next")


def test_results_are_made_again_from_records() -> None:
    report = {"event": "result", "trial": "1", "fidelity": 2, "metrics": {"accuracy": 0.5}}
    assert as_result(report) == score(0.5, 2)
    ended = {**report, "event": "ended", "status": "stopped", "error": ""}
    assert as_result(ended) == score(0.5, 2, complete=False, error="")
    named = {**ended, "metrics": {"error": 0.25}}
    assert as_result(named)["error"] == 0.25


# --- warm start -------------------------------------------------------------------------------------------------------


def test_a_warm_start_is_known_but_not_recorded() -> None:
    searcher = Scripted([A, B])
    searcher.warm_start([Evaluation(A, {"accuracy": 0.5})])
    assert len(searcher.archive) == 0 and saw(searcher) == [(A, "finished")]
    assert searcher.suggest("1") == config(B)


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


# --- anything goes ----------------------------------------------------------------------------------------------------

RESULTS = st.sampled_from([None, {}, score(math.nan), score(0.1), score(0.5, 7), score(0.9, complete=False), {"x": 1}])
STEPS = st.lists(
    st.one_of(
        st.just(("suggest",)),
        st.tuples(st.just("report"), st.integers(0, 9), RESULTS),
        st.tuples(st.just("end"), st.integers(0, 9), RESULTS, st.booleans()),
    ),
    max_size=40,
)


@given(STEPS, st.integers(0, 3))
def test_any_order_of_calls_is_lived_through_again(steps: list[tuple[Any, ...]], seed: int) -> None:
    strategy = RegularizedEvolution(population_size=3, tournament_size=2, crossover_prob=0.3)

    def fresh(archive: Archive | None = None) -> ArchitectureSearcher:
        constraints = ["params <= 4000", "accuracy >= 0.5 * baseline"]
        costs = {"params": SPACE.params}
        return strategy.searcher(
            SPACE, "accuracy", constraints, seed=seed, costs=costs, baseline=B, points_to_evaluate=[C], archive=archive
        )

    searcher, started, ended = fresh(), 0, False
    for name, *arguments in steps:
        if name == "suggest" and not ended:
            answer = searcher.suggest(str(started))
            ended = answer == Searcher.FINISHED
            started += isinstance(answer, dict)
        elif name == "report":
            searcher.on_trial_result(str(arguments[0]), arguments[1])
        elif name == "end":
            searcher.on_trial_complete(str(arguments[0]), arguments[1], arguments[2])
    archs = [SPACE.from_config(record["config"]) for record in searcher.archive.events("proposed")]
    assert len(archs) == len(set(archs)) == started
    assert all(SPACE.params(a) <= 4000 or a == B for a in archs)
    again = fresh(Archive())
    again.replay(json.loads(json.dumps(list(searcher.archive))))
    assert again.n_replayed_exactly == started
    assert again.running == searcher.running
    assert again.goal == searcher.goal
    if not ended:
        assert again.suggest("next") == searcher.suggest("next")
