"""Tune's own settings in a search: stop criteria, callbacks, files of output."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune import Stopper
from torch import nn

import raynas
from raynas.core.archive import Archive
from raynas.errors import RaynasError
from raynas.strategies import Asha, RandomSearch
from tests.run.widths import Widths

pytestmark = pytest.mark.usefixtures("ray_cluster")


def epochs(model: nn.Module, config: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    print("trained", sorted(config["arch"].items()))
    for epoch in range(1, 10):
        yield {"accuracy": epoch / 10 * sum(config["arch"].values()) / 48}


class Epochs(tune.Trainable):
    """A class of the user's, which never says that it is complete."""

    def setup(self, config: dict[str, Any]) -> None:
        self.total = sum(config["arch"].values())

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        return {"accuracy": self.iteration / 10 * self.total / 48, "done": self.iteration == 8}


class Hooks(tune.Callback):
    """Notes the hooks that Tune calls."""

    def __init__(self) -> None:
        self.called: set[str] = set()

    def setup(self, *args: Any, **info: Any) -> None:
        self.called.add("setup")

    def on_trial_start(self, *args: Any, **info: Any) -> None:
        self.called.add("start")

    def on_trial_result(self, *args: Any, **info: Any) -> None:
        self.called.add("result")

    def on_trial_complete(self, *args: Any, **info: Any) -> None:
        self.called.add("complete")

    def on_experiment_end(self, *args: Any, **info: Any) -> None:
        self.called.add("end")


class OneIsGoodEnough(Stopper):
    def __init__(self) -> None:
        self.seen = False

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        self.seen = self.seen or result["training_iteration"] == 3
        return self.seen

    def stop_all(self) -> bool:
        return self.seen


def run(folder: Path, trainable: Any = epochs, strategy: Any = None, n: int = 4, **settings: Any) -> Any:
    return raynas.search(
        Widths(),
        trainable,
        strategy or RandomSearch(),
        num_samples=n,
        max_concurrent=1,
        progress=False,
        tensorboard=False,
        leave_report=False,
        run_config=tune.RunConfig(storage_path=str(folder), name="search", **settings),
    )


def test_trials_that_met_a_criterion_are_finished_and_have_a_best(tmp_path: Path) -> None:
    hooks = Hooks()
    strategy = RandomSearch(early_stopping=Asha(grace_period=1, reduction_factor=3))
    result = run(tmp_path, strategy=strategy, n=8, stop={"training_iteration": 4}, callbacks=[hooks], log_to_file=True)
    ends = {(e.status, e.fidelity) for e in result.evaluations}
    assert ends == {("finished", 4), ("stopped", 1)} or ends == {("finished", 4), ("stopped", 1), ("stopped", 3)}
    assert result.best().fidelity == 4 and not result.interrupted
    assert hooks.called == {"setup", "start", "result", "complete", "end"}
    written = (tmp_path / "search" / "00001" / "stdout").read_text()
    assert f"trained {sorted(result.evaluations[0].arch.items())}" in written


def test_a_class_that_a_scheduler_stops_is_not_finished(tmp_path: Path) -> None:
    strategy = RandomSearch(early_stopping=Asha(grace_period=1, reduction_factor=2))
    result = run(tmp_path, Epochs, strategy, n=6)
    assert {e.fidelity for e in result.evaluations if e.status == "finished"} == {9}
    assert all(e.fidelity < 9 for e in result.evaluations if e.status == "stopped") and result.counts["stopped"]


def test_a_stopper_may_end_the_search_which_says_so_and_continues(tmp_path: Path) -> None:
    result = run(tmp_path, stop=OneIsGoodEnough())
    assert [(e.status, e.fidelity) for e in result.evaluations] == [("finished", 3)]
    assert result.ended_because == "stop of the run config ended the search" and not result.interrupted
    again = run(tmp_path, stop={"training_iteration": 2})
    assert [(e.status, e.fidelity) for e in again.evaluations] == [("finished", 3), *[("finished", 2)] * 3]
    assert again.ended_because == ""


def broken(model: nn.Module, config: Mapping[str, Any]) -> float:
    raise ValueError("no such image")


class Broken(Epochs):
    def step(self) -> dict[str, Any]:
        raise ValueError("no such image")


@pytest.mark.parametrize("trainable", [broken, Broken])
def test_a_search_that_fails_fast_ends_with_the_first_failure(tmp_path: Path, trainable: Any) -> None:
    result = run(tmp_path, trainable, failure_config=tune.FailureConfig(fail_fast=True))
    assert result.counts["failed"] == len(result.evaluations) == 1
    assert "a trial failed: " in result.ended_because and "no such image" in result.ended_because
    assert result.ended_because.endswith("; fail_fast is set") and "\n" not in result.ended_because


def test_it_raises_where_that_is_asked_for_and_keeps_what_failed(tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match=r"^a trial failed: .*no such image.*; fail_fast is set$"):
        run(tmp_path, broken, failure_config=tune.FailureConfig(fail_fast="raise"))
    assert [e.status for e in Archive.load(tmp_path / "search" / "archive.jsonl").evaluations] == ["failed"]


def extras(model: nn.Module, config: Mapping[str, Any]) -> dict[str, Any]:
    return {"accuracy": 0.5, "val": {"loss": 0.25}, "comment": "fine", "f1": float("nan")}


def test_what_else_a_trial_reports_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = run(tmp_path, extras, n=2)
    for evaluation in (*result.evaluations, *run(tmp_path, extras, n=2).evaluations):
        assert evaluation.status == "finished" and evaluation.metrics["val/loss"] == 0.25
        assert evaluation.notes == {"comment": "fine", "f1": "nan"}
    assert set(result.to_frame()["note/comment"]) == {"fine"}
    said = [record.getMessage() for record in caplog.records if "is no metric" in record.getMessage()]
    assert [text.split(",")[0] for text in said] == ["'comment' is no metric", "'f1' is no metric"]


class Careless(Hooks):
    def on_trial_complete(self, *args: Any, **info: Any) -> None:
        raise KeyError("loss")


def test_a_callback_that_raises_ends_the_search_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        RaynasError, match=r"^callback Careless of the run config raised in on_trial_complete: KeyError"
    ):
        run(tmp_path, n=4, callbacks=[Careless()], stop={"training_iteration": 1})
    assert len(Archive.load(tmp_path / "search" / "archive.jsonl").evaluations) == 1


class Stubborn(Epochs):
    """A class of the user's whose processes cannot take another trial, and say so."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return False


def test_a_trial_whose_process_cannot_be_reset_fails_and_the_search_goes_on(tmp_path: Path) -> None:
    found = run(tmp_path, Stubborn, n=2)
    first, second = found.evaluations
    assert (first.status, second.status) == ("finished", "failed")
    assert "reset_config()" in second.error
