import math
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from raynas.core.archive import Archive
from raynas.run.scheduler_replay import replay_scheduler


class Recorder(FIFOScheduler):
    """Remembers what was replayed to it, and would stop every trial."""

    def __init__(self) -> None:
        super().__init__()
        self._metric = "accuracy"
        self._stopped_trials: set[Trial] = set()
        self.calls: list[tuple[Any, ...]] = []

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        assert tune_controller.get_live_trials() == set()
        self.calls.append(("add", trial.trial_id))

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        assert trial not in self._stopped_trials
        self._stopped_trials.add(trial)
        self.calls.append(("result", trial.trial_id, result["training_iteration"], result["accuracy"]))
        return "STOP"

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self.calls.append(("complete", trial.trial_id, result["training_iteration"]))

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self.calls.append(("error", trial.trial_id))


def recorded(*ends: tuple[str, int]) -> Archive:
    """Trials "1", "2", ... with a report per epoch before the last, in which each ends with a status."""
    archive = Archive()
    for number, (status, fidelity) in enumerate(ends, 1):
        archive.append("proposed", trial=str(number), config={}, costs={})
        for epoch in range(1, fidelity):
            archive.append("result", trial=str(number), fidelity=epoch, metrics={"accuracy": epoch / 10})
        if status:
            metrics = {"accuracy": fidelity / 10} if fidelity else {}
            archive.append("ended", trial=str(number), status=status, fidelity=fidelity, metrics=metrics, error="")
    return archive


def replayed(archive: Archive, unfinished: dict[str, Trial] | None = None) -> list[tuple[Any, ...]]:
    scheduler = Recorder()
    replay_scheduler(scheduler, archive, unfinished or {})
    return scheduler.calls


def test_every_end_is_reported_as_tune_does() -> None:
    assert replayed(recorded(("finished", 2), ("stopped", 2), ("failed", 0))) == [
        *[("add", "1"), ("result", "1", 1, 0.1), ("complete", "1", 2)],
        *[("add", "2"), ("result", "2", 1, 0.1), ("result", "2", 2, 0.2), ("complete", "2", 2)],
        *[("add", "3"), ("error", "3")],
    ]


def test_a_report_without_the_metric_is_nan() -> None:
    archive = recorded(("", 1))
    archive.append("result", trial="1", fidelity=1, metrics={})
    accuracy = replayed(archive)[-1][-1]
    assert math.isnan(accuracy)


def test_a_report_counts_once_and_strangers_do_not() -> None:
    archive = recorded(("", 3))
    archive.append("result", trial="1", fidelity=2, metrics={"accuracy": 0.2})
    archive.append("result", trial="stranger", fidelity=1, metrics={"accuracy": 0.2})
    assert [call[:3] for call in replayed(archive)] == [("add", "1"), ("result", "1", 1), ("result", "1", 2)]


def test_a_trial_without_checkpoint_starts_from_nothing() -> None:
    unfinished = {"1": Trial("raynas", trial_id="1", stub=True)}
    assert replayed(recorded(("", 3)), unfinished) == [("add", "1")]


def test_reports_of_trials_that_did_not_fail_are_watched() -> None:
    seen: list[tuple[str, int]] = []
    archive = recorded(("finished", 3), ("failed", 2), ("stopped", 1))
    replay_scheduler(Recorder(), archive, {}, lambda trial, result: seen.append((trial, result["training_iteration"])))
    assert seen == [("1", 1), ("1", 2), ("1", 3), ("2", 1), ("3", 1)]
