import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from raynas.core.architecture import Architecture
from raynas.core.archive import Archive, Record
from raynas.core.goal import Objective
from raynas.core.searcher import ArchitectureSearcher
from raynas.run.lost_trials import SearchTrial
from raynas.run.no_controller import NO_CONTROLLER
from raynas.run.scheduler_replay import replay_scheduler
from raynas.strategies import (
    EARLY_STOPPING,
    Asha,
    EarlyStopping,
    Hyperband,
    LearningCurve,
    MedianStopping,
    MultiObjectiveAsha,
    RandomSearch,
    RegularizedEvolution,
)
from raynas.strategies.schedulers import learning_curve
from raynas.strategies.schedulers.curve_model import CurveModel
from raynas.strategies.schedulers.learning_curve import LearningCurveScheduler
from raynas.strategies.schedulers.multi_objective_asha import MultiObjectiveAshaScheduler
from raynas.testing import ToySpace
from raynas.trials.checkpoint import CHECKPOINT_KEY, Checkpoint

SPACE = ToySpace()


N_TRIALS, N_EPOCHS = 12, 9


RAISES = {"00004": 3, "00006": 1}
"""In which epoch a trial raises."""


DIVERGES = "00007"


RULES: dict[str, EarlyStopping] = {
    "asha": Asha(grace_period=1, reduction_factor=2),
    "hyperband": Hyperband(grace_period=1, reduction_factor=3),
    "learning_curve": LearningCurve(grace_period=2, interval=2, min_curves=5, confidence=0.8),
    "median": MedianStopping(grace_period=2, min_samples=2),
    "mo_asha": MultiObjectiveAsha(objectives=("max:speed",), grace_period=1, reduction_factor=2),
}


Decisions = dict[tuple[str, int], str]


@cache
def score(trial_id: str, epoch: int) -> float:
    """Trials differ in how good they get and in how soon, so that their curves cross; later ones tend to be better."""
    rng = np.random.default_rng(int(trial_id))
    best, speed = rng.uniform(0.3, 1.0) + 0.06 * int(trial_id), rng.uniform(0.1, 1.0)
    return float(best * (1 - math.exp(-speed * epoch)) + 0.05 * rng.standard_normal(N_EPOCHS + 1)[epoch])


class Session:
    """What Tune's controller does with a scheduler and a searcher until the driver is killed."""

    def __init__(self, rule: EarlyStopping, archive: Path | None = None, n_kept: int | None = None) -> None:
        self.searcher = fresh_searcher()
        if archive:
            self.searcher.restore(str(archive))
        self.scheduler = rule.scheduler(Objective("accuracy", "max"), N_EPOCHS)
        self.decisions: Decisions = {}
        self.folder = archive.parent if archive else Path()
        self.unfinished = [self._again(trial_id, n_kept) for trial_id in self.searcher.archive.unfinished()]
        replay_scheduler(self.scheduler, list(self.searcher.archive), {t.trial_id: t for t in self.unfinished})

    def _again(self, trial_id: str, n_kept: int | None) -> Trial:
        """A trial that goes on, from a checkpoint ``n_kept`` epochs behind the last report; None is from the start."""
        reports = [r["fidelity"] for r in self.searcher.archive.events("result") if r["trial"] == trial_id]
        epoch = max(reports, default=0) - n_kept if n_kept is not None else 0
        config = {}
        if epoch > 0:
            folder = self.folder / f"{trial_id}-{epoch}"
            if not folder.exists():  # An earlier session left it.
                Checkpoint(Architecture({}), epoch).write(folder)
            config = {CHECKPOINT_KEY: str(folder)}
        trial = SearchTrial("toy", trial_id=trial_id, config=config, stub=True)
        trial.n_reported = max(epoch, 0)
        return trial

    def run(self, max_concurrent: int = 1) -> Decisions:
        """Take turns among the trials that run, one report each."""
        waiting = [self._steps(trial, first_epoch(trial)) for trial in self.unfinished]
        n_proposed = len(self.searcher.archive.events("proposed"))
        waiting += [self._new(f"{n + 1:05d}") for n in range(n_proposed, N_TRIALS)]
        running: list[Iterator[None]] = []
        while waiting or running:
            while waiting and len(running) < max_concurrent:
                running.append(waiting.pop(0))
            running = [trial for trial in running if next(trial, "ended") is None]
        return self.decisions

    def _new(self, trial_id: str) -> Iterator[None]:
        assert isinstance(self.searcher.suggest(trial_id), dict)
        yield from self._steps(Trial("toy", trial_id=trial_id, stub=True), 1)

    def _steps(self, trial: Trial, first: int) -> Iterator[None]:
        controller: Any = None
        name = trial.trial_id
        self.scheduler.on_trial_add(controller, trial)
        for epoch in range(first, N_EPOCHS + 1):
            if RAISES.get(name) == epoch:
                self.scheduler.on_trial_error(controller, trial)
                self.searcher.on_trial_complete(name, error=True)
                return
            done = epoch == N_EPOCHS
            accuracy = math.nan if done and name == DIVERGES else score(name, epoch)
            speed = float(int(name) % 5)
            result = {"accuracy": accuracy, "speed": speed, "training_iteration": epoch, "done": done, "complete": done}
            stops = done or self._decide(trial, result) == TrialScheduler.STOP
            if stops:
                self.scheduler.on_trial_complete(controller, trial, result)
                self.searcher.on_trial_complete(name, result)
                return
            self.searcher.on_trial_result(name, result)
            yield

    def _decide(self, trial: Trial, result: dict[str, Any]) -> str:
        decision = self.scheduler.on_trial_result(NO_CONTROLLER, trial, result)
        self.decisions[trial.trial_id, result["training_iteration"]] = decision
        return decision


def fresh_searcher() -> ArchitectureSearcher:
    # A cost is on the record of every trial, of those that raise too.
    return RandomSearch().searcher(SPACE, "accuracy", "params <= 1e9", costs={"params": SPACE.params})


def first_epoch(trial: Trial) -> int:
    checkpoint = trial.config.get(CHECKPOINT_KEY)
    return 1 + (Checkpoint.read(checkpoint).epoch if checkpoint else 0)


def memory(session: Session) -> str:
    """All that a scheduler goes by; as text, in which NaN equals NaN."""
    scheduler: Any = session.scheduler
    if isinstance(scheduler, ASHAScheduler):
        return repr(
            [(start, sorted(rung.items())) for bracket in scheduler._brackets for start, rung in bracket._rungs]
        )
    if isinstance(scheduler, MultiObjectiveAshaScheduler):
        return repr([(start, sorted(rung.items())) for start, rung in scheduler.rungs])
    if isinstance(scheduler, LearningCurveScheduler):
        return repr(
            [sorted((t, sorted(c.items())) for t, c in scheduler.curves.items()), sorted(scheduler.final.items())]
        )
    reports = {
        trial.trial_id: [(result["training_iteration"], result["accuracy"]) for result in results]
        for trial, results in scheduler._results.items()
    }
    return repr(sorted(reports.items()))


def parts(records: list[Record], folder: Path, step: int = 1) -> Iterator[Path]:
    """Archives that a kill could have left behind."""
    for n in range(0, len(records) + 1, step):
        archive = Archive()
        archive._records = records[:n]
        archive.dump(folder / "archive")
        yield folder / "archive"


@pytest.fixture(scope="module", autouse=True)
def models_fitted_once() -> Iterator[None]:
    """Fit each model once: a model follows from its data alone, and the sessions of a test have most data in common."""
    known: dict[object, CurveModel] = {}

    def model(features: NDArray[np.float64], targets: NDArray[np.float64], scale: Any) -> CurveModel:
        data = features.shape, features.tobytes(), targets.tobytes(), scale.func, scale.args
        if data not in known:
            known[data] = CurveModel(features, targets, scale)
        return known[data]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning_curve, "CurveModel", model)
        yield


@pytest.fixture(params=RULES)
def rule(request: pytest.FixtureRequest) -> EarlyStopping:
    return RULES[request.param]


def test_every_rule_is_tested() -> None:
    assert RULES.keys() == EARLY_STOPPING.keys()
    assert [type(rule) for rule in RULES.values()] == list(EARLY_STOPPING.values())


def test_trials_are_stopped_and_others_are_not(rule: EarlyStopping) -> None:
    session = Session(rule)
    decisions = session.run()
    assert set(decisions.values()) == {TrialScheduler.CONTINUE, TrialScheduler.STOP}
    ends = {e.trial: (e.status, e.fidelity) for e in session.searcher.archive.evaluations}
    statuses = [status for status, _ in ends.values()]
    assert statuses.count("stopped") >= 3 and statuses.count("finished") >= 2 and statuses.count("failed") == 3
    assert ends["00004"] == ("failed", 0) and ends[DIVERGES] == ("failed", N_EPOCHS)


@pytest.mark.parametrize("n_kept", [0, 1, None], ids=["last checkpoint", "one behind", "no checkpoint"])
def test_a_replayed_scheduler_decides_the_same(rule: EarlyStopping, n_kept: int | None, tmp_path: Path) -> None:
    """Killed after any record and run again, it takes the decisions of an uninterrupted search."""
    whole = Session(rule)
    expected = whole.run()
    seen: Decisions = {}
    for archive in parts(list(whole.searcher.archive), tmp_path):
        session = Session(rule, archive, n_kept)
        decisions = session.run()
        assert decisions.items() <= expected.items()
        assert memory(session) == memory(whole)
        seen |= decisions
    assert seen == expected


def test_a_scheduler_replayed_twice_decides_the_same(rule: EarlyStopping, tmp_path: Path) -> None:
    """A trial that went on from behind its last report has reports twice in the archive."""
    whole = Session(rule)
    expected = whole.run()
    for first in parts(list(whole.searcher.archive), tmp_path, step=6):
        again = Session(rule, first, n_kept=1)
        again.run()
        for second in parts(list(again.searcher.archive), tmp_path, step=7):
            session = Session(rule, second, n_kept=1)
            assert session.run().items() <= expected.items()
            assert memory(session) == memory(whole)


def test_a_replayed_scheduler_decides_the_same_with_several_trials_at_a_time(
    rule: EarlyStopping, tmp_path: Path
) -> None:
    """From checkpoints of the last reports, and if the trials take turns as before."""
    whole = Session(rule)
    expected = whole.run(max_concurrent=3)
    n_equal = 0
    for archive in parts(list(whole.searcher.archive), tmp_path):
        session = Session(rule, archive, n_kept=0)
        known = {(r["trial"], r["fidelity"]) for r in session.searcher.archive if "fidelity" in r}
        decisions = session.run(max_concurrent=3)
        n_equal += decisions == {key: d for key, d in expected.items() if key not in known}
    # Whose turn it was when the driver died is not on record, so that some go on in another order.
    assert n_equal > len(whole.searcher.archive) / 3


class Never(EarlyStopping):
    def scheduler(self, objective: Objective, max_fidelity: int) -> TrialScheduler:
        return FIFOScheduler()


@pytest.mark.parametrize("before", [Never(), *RULES.values()], ids=["never", *RULES])
def test_the_rule_may_change(before: EarlyStopping, rule: EarlyStopping, tmp_path: Path) -> None:
    """What happened stands, also where the new rule would have stopped it; from there on it decides."""
    whole = Session(before)
    whole.run()
    for archive in parts(list(whole.searcher.archive), tmp_path, step=3):
        session = Session(rule, archive, n_kept=1)
        session.run()
        assert len(session.searcher.archive.events("proposed")) == N_TRIALS
        assert session.searcher.archive.unfinished() == {}


def test_the_global_generator_decides_nothing(rule: EarlyStopping) -> None:
    np.random.seed(0)
    first = Session(rule).run()
    np.random.seed(1)
    assert Session(rule).run() == first


def test_a_line_that_was_lost_costs_its_trial_only(rule: EarlyStopping, tmp_path: Path) -> None:
    whole = Session(rule)
    whole.run()
    records = [r for r in whole.searcher.archive if not (r["event"] == "proposed" and r["trial"] == "00002")]
    *_, archive = parts(records, tmp_path)
    assert Session(rule, archive).unfinished == []


def test_composes_with_a_strategy() -> None:
    strategy = RegularizedEvolution(early_stopping=Asha(grace_period=2))
    config = strategy.tune_config(SPACE, num_samples=7, max_fidelity=27, max_concurrent=2, costs={}, seed=3)
    assert isinstance(config.scheduler, ASHAScheduler) and isinstance(config.search_alg, ArchitectureSearcher)
    assert (config.num_samples, config.max_concurrent_trials, config.reuse_actors) == (7, 2, True)
    assert config.scheduler is not strategy.scheduler(Objective("accuracy", "max"), 27), "they hold state"
    assert RegularizedEvolution().scheduler(Objective("accuracy", "max"), 27) is None
