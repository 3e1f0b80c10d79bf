"""The records that a callback makes of a run with any searcher."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from raynas.core.archive import Archive
from raynas.views.tensorboard import TensorBoardCallback
from tests.views.tensorboard.logs import CONV_ARCH, SPACE, scalars

CONFIG = {"arch": {**CONV_ARCH, "op": "pool"}, "lr": 0.01, "loss": len}


def run(callback: Any, trial: str, *accuracies: float, error: bool = False) -> None:
    results = [{"scores": {"x": 1.0}, "accuracy": a, "training_iteration": i} for i, a in enumerate(accuracies, 1)]
    tune_trial = SimpleNamespace(trial_id=trial, config=CONFIG, last_result=results[-1])
    callback.on_step_begin(0, [])
    callback.on_trial_start(0, [], tune_trial)
    for result in results:
        callback.on_trial_result(0, [], tune_trial, result)
    (callback.on_trial_error if error else callback.on_trial_complete)(0, [], tune_trial)
    callback.on_step_end(0, [])


def test_trials_of_any_searcher_are_recorded_and_shown(tmp_path: Path) -> None:
    callback = TensorBoardCallback(SPACE, tmp_path)
    run(callback, "abc_1", 0.1, 0.2)
    run(callback, "abc_2", 0.3, error=True)
    callback.on_experiment_end([])
    first, second = Archive.load(tmp_path / "archive.jsonl").evaluations
    assert (first.status, first.fidelity, first.metrics) == ("finished", 2, {"scores/x": 1.0, "accuracy": 0.2})
    assert "kernel" not in first.arch and first.hyperparameters["loss"] == "<built-in function len>"
    assert second.status == "failed"
    assert scalars(tmp_path / "trials" / "abc_1", "trial/accuracy") == [(1, 0.1), (2, 0.2)]


def test_a_restored_run_doubles_nothing(tmp_path: Path) -> None:
    callback = TensorBoardCallback(SPACE, tmp_path)
    run(callback, "abc_1", 0.1, 0.2)
    callback.on_experiment_end([])
    again = TensorBoardCallback(SPACE, tmp_path)
    run(again, "abc_1", 0.1, 0.2)  # Tune's own snapshot was older
    run(again, "abc_2", 0.3, error=True)
    run(again, "abc_2", 0.4)  # on demand, once more
    again.on_experiment_end([])
    ended = {e.trial: e.status for e in Archive.load(tmp_path / "archive.jsonl").evaluations}
    assert ended == {"abc_1": "finished", "abc_2": "failed", "abc_2-again": "finished"}
    assert scalars(tmp_path / "trials" / "abc_1", "trial/accuracy") == [(1, 0.1), (2, 0.2)]
    assert [value for _, value in scalars(tmp_path / "search", "search/trials_finished")] == [1, 1, 2]
