"""Trials that take longer than they may."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray import tune

import raynas
from raynas.core.archive import Archive
from raynas.run.time_limit import GRACE_SECONDS, TimeLimit
from raynas.strategies import RandomSearch
from raynas.trials.checkpoint import CHECKPOINT_KEY
from tests.trials.spaces import TinyCnn


class Watched:
    """A time limit of 60 s, and a trial whose actor answers when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, archive: Archive, config: Mapping[str, Any]) -> None:
        self.now, self.answers, self.dead = 0.0, False, False
        self.limit = TimeLimit(60, archive, clock=lambda: self.now)
        actor = SimpleNamespace(get_current_ip_pid=SimpleNamespace(remote=object))
        state = SimpleNamespace(ray_actor=actor)
        self.trial: Any = SimpleNamespace(
            trial_id="00001", status="RUNNING", config=config, temporary_state=state, max_failures=3
        )
        monkeypatch.setattr(ray, "wait", lambda refs, timeout: (refs if self.answers else [], []))
        monkeypatch.setattr(ray, "kill", lambda actor: setattr(self, "dead", True))
        self.start()

    def start(self) -> None:
        self.limit.on_trial_start(0, [], self.trial)

    def at(self, seconds: float) -> "Watched":
        self.now = seconds
        self.limit.on_step_end(0, [])
        return self

    def reports(self, seconds: float, **result: Any) -> None:
        self.limit.on_trial_result(0, [], self.trial, {"time_total_s": seconds, **result})


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch, Archive(), {})


def test_a_trial_that_does_not_come_back_is_ended(watched: Watched) -> None:
    assert not watched.at(59).dead and not watched.at(61).dead
    assert watched.at(61 + GRACE_SECONDS).dead
    assert watched.trial.killed_because == "took longer than max_trial_seconds=60" and watched.trial.max_failures == 0


def test_a_trial_that_finished_while_the_driver_was_busy_is_not(watched: Watched) -> None:
    watched.answers = True
    assert not watched.at(500).dead and not watched.at(501).dead
    watched.reports(40.0)
    watched.answers = False
    assert not watched.at(520).dead
    assert watched.at(522).at(524).dead


def test_what_its_process_measured_is_enough(watched: Watched) -> None:
    watched.reports(61.0)
    assert watched.at(1).dead


def test_a_trial_whose_last_report_came_late_has_finished(watched: Watched) -> None:
    watched.reports(61.0, done=True)
    assert not watched.at(1).at(100).at(200).dead


def test_a_trial_that_waits_takes_no_time(watched: Watched) -> None:
    watched.trial.status = "PAUSED"
    assert not watched.at(100).at(200).dead
    watched.trial.status = "RUNNING"
    watched.start()
    assert not watched.at(250).at(255).dead
    assert watched.at(261).at(263).dead


def test_a_trial_that_ended_is_left_alone(watched: Watched) -> None:
    watched.limit.on_trial_error(0, [], watched.trial)
    assert not watched.at(100).at(200).dead


@pytest.mark.parametrize(("config", "alive_at"), [({CHECKPOINT_KEY: "x"}, 9), ({}, 59)])
def test_earlier_seconds_count_if_the_trial_goes_on_from_them(
    config: Mapping[str, Any], alive_at: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive()
    archive.append("result", trial="00001", fidelity=3, metrics={"train_seconds": 50.0})
    watched = Watched(monkeypatch, archive, config)
    assert not watched.at(alive_at).dead
    assert watched.at(alive_at + 2).at(alive_at + 4).dead


class Stuck(tune.Trainable):
    """A class of the user's that does not come back from some steps."""

    def setup(self, config: dict[str, Any]) -> None:
        self.depth = config["arch"]["depth"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        while self.depth == 2:
            time.sleep(0.01)
        return {"accuracy": 0.5, "done": True}


@pytest.mark.usefixtures("ray_cluster")
def test_a_loop_that_never_returns_fails_its_trial_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    points = [{"depth": 1, "kernel": 3}, {"depth": 2, "kernel": 3}, {"depth": 1, "kernel": 5}]
    result = raynas.search(
        TinyCnn(),
        Stuck,
        RandomSearch(),
        num_samples=3,
        max_concurrent=1,
        max_trial_seconds=2,
        points_to_evaluate=points,
        progress=False,
        tensorboard=False,
        leave_report=False,
        run_config=tune.RunConfig(
            name="search", storage_path=str(tmp_path), failure_config=tune.FailureConfig(max_failures=2)
        ),
    )
    assert [e.status for e in result.evaluations] == ["finished", "failed", "finished"]
    assert result.evaluations[1].error == "took longer than max_trial_seconds=2"
    assert "Traceback" not in capfd.readouterr().err  # of Tune's


def test_a_limit_that_is_none(tmp_path: Path) -> None:
    for value in (0, -1, float("nan"), "60"):
        with pytest.raises(ValueError, match="max_trial_seconds must be a number above 0, got"):
            raynas.search(TinyCnn(), Stuck, max_trial_seconds=value)  # type: ignore[arg-type]
