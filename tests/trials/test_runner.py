"""What all trials share: every failure is a result, nothing outlives a trial, and checkpoints go on exactly."""

import gc
import json
import math
import os
import random
import weakref
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raynas.core.metric import Metric
from raynas.errors import RaynasError
from raynas.trials import Function, Training, TrialRunner
from raynas.trials.checkpoint import CHECKPOINT_KEY
from raynas.trials.progress import STANDARD, Result
from raynas.trials.training import TrainingTrial
from tests.trials.scripted import Scripted, scripted
from tests.trials.spaces import TinyCnn, Troubled

ARCH = {"depth": 2, "kernel": 3}
CONFIG = {"arch": ARCH}
SETTINGS = Training(epochs=4, data_fraction=0.3)


@pytest.fixture(scope="module")
def runner() -> TrialRunner[TrainingTrial]:
    return SETTINGS.runner(TinyCnn(), ("accuracy", "latency_ms"))


@pytest.fixture(scope="module")
def troubled() -> TrialRunner[TrainingTrial]:
    return Training(epochs=1, data_fraction=0.1).runner(Troubled())


# --- failures --------------------------------------------------------------------------------------------------------

FAILURES = {
    "build": "measuring the network: KeyError: 'no such layer' (spaces.py, line ",
    "exit": "measuring the network: SystemExit: 3 (spaces.py, line ",
    "forward": "epoch 1: RuntimeError: boom in two lines (spaces.py, line ",
    "memory": "epoch 1: out of memory, a smaller batch_size or network may fit: RuntimeError: ",
    "shape": "epoch 1: the network must give logits of shape (64, 10), got (64, 7)",
}


@pytest.mark.parametrize("trouble", FAILURES)
def test_every_failure_is_a_result_of_one_line(trouble: str, troubled: TrialRunner[TrainingTrial]) -> None:
    result = troubled.run({"arch": {"trouble": trouble}})
    assert result["error"].startswith(FAILURES[trouble]) and "\n" not in result["error"]
    assert (result["failed"], result["complete"], result["done"], result["training_iteration"]) == (1, 0, True, 0)
    assert math.isnan(result["accuracy"]) and math.isnan(result["loss"])
    assert result.keys() >= set(STANDARD)
    assert "Traceback" in troubled.progress.traceback
    after = troubled.run({"arch": {"trouble": "none"}})
    assert after["failed"] == 0 and after["error"] == "" and after["accuracy"] > 0


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "config: the config has no architecture under 'arch'"),
        ({"arch": {"depth": 9, "kernel": 3}}, "config: TinyCnn: 'depth' cannot be 9"),
        ({"arch": ARCH, "learning_rate": 1}, "building the network: unknown hyperparameter 'learning_rate'"),
        ({"arch": ARCH, "batch_size": 0}, "building the network: batch_size must be"),
        ({"arch": ARCH, "lr": 1e12}, "epoch 1: loss is nan: the training diverged; a lower learning rate may help"),
    ],
)
def test_a_bad_config_is_a_result(config: dict[str, Any], expected: str, runner: TrialRunner[TrainingTrial]) -> None:
    result = runner.run(config)
    assert result["failed"] == 1 and result["error"].startswith(expected)


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = Training(device="cuda", epochs=1).evaluate(TinyCnn(), ARCH)
    assert result["error"].startswith("config: device 'cuda' is asked for, but this process sees no GPU")


def test_a_failed_trial_frees_its_memory() -> None:
    models: list[weakref.ref[nn.Module]] = []

    def fail(model: nn.Module, config: Mapping[str, Any]) -> None:
        models.append(weakref.ref(model))
        try:
            raise KeyError("first")
        except KeyError as error:
            kept = error  # its traceback holds this frame, which holds it, and the model
            raise RuntimeError("second") from kept

    runner = Function(fn=fail).runner(TinyCnn())
    runner.begin(CONFIG)
    gc.disable()
    try:
        assert runner.step()["failed"] == 1
        assert models[0]() is None
    finally:
        gc.enable()


def test_the_costs_that_were_measured_stay_when_the_training_fails(runner: TrialRunner[TrainingTrial]) -> None:
    result = runner.run({"arch": ARCH, "lr": 1e12})
    assert result["params"] > 0 and result["macs"] > 0 and result["latency_ms"] > 0


def test_a_failed_trial_keeps_saying_so(troubled: TrialRunner[TrainingTrial]) -> None:
    troubled.begin({"arch": {"trouble": "build"}})
    first = troubled.step()
    again = troubled.step()
    assert (first["error"], first["done"]) == (again["error"], again["done"])


def test_debugging_lets_exceptions_through() -> None:
    runner = Training(epochs=1).runner(Troubled())
    runner.raises = True
    with pytest.raises(RuntimeError, match="boom"):
        runner.run({"arch": {"trouble": "forward"}})


def test_a_failed_trial_has_the_wanted_metrics_too() -> None:
    result = scripted(KeyError("x"), metrics=["f1", "latency_ms"])
    assert math.isnan(result["f1"]) and result["latency_ms"] > 0
    assert scripted({"f1": 1}, metrics=["f1", "params"], epochs=1)["f1"] == 1.0


@pytest.mark.parametrize("last", [{"accuracy": 0.6}, StopIteration()])
def test_a_declared_metric_may_come_last_but_must_come(last: Any) -> None:
    metrics: list[str | Metric] = ["accuracy", Metric(name="f1", mode="max")]
    result = scripted({"accuracy": 0.5}, last, metrics=metrics, epochs=2)
    assert (result["failed"], result["complete"]) == (1, 0) and "metric 'f1' is wanted" in result["error"]
    assert scripted({"accuracy": 0.5}, {"accuracy": 0.6, "f1": 0.7}, metrics=metrics, epochs=2)["f1"] == 0.7
    assert scripted({"accuracy": 0.5, "f1": 0.7}, StopIteration(), metrics=metrics, epochs=2)["complete"] == 1


def test_the_users_own_measurements_win() -> None:
    assert scripted({"accuracy": 0.5, "latency_ms": 42.0}, epochs=1)["latency_ms"] == 42.0


def test_nothing_passes_from_one_trial_to_the_next() -> None:
    runner = TrialRunner(TinyCnn(), Training(epochs=1), Scripted)
    runner.begin({**CONFIG, "secret": 1})
    first = weakref.ref(runner.trial)
    runner.release()
    assert first() is None
    with pytest.raises(RaynasError, match="no trial is running"):
        runner.trial  # noqa: B018
    runner.begin({**CONFIG, "secret": 2})
    assert runner.trial.secret == 2


# --- checkpoints -----------------------------------------------------------------------------------------------------


def weights(runner: TrialRunner[TrainingTrial]) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in runner.trial.trainer.model.state_dict().items()}


def steps(runner: TrialRunner[TrainingTrial], n: int) -> Result:
    return [runner.step() for _ in range(n)][-1]


def saved(runner: TrialRunner[TrainingTrial], directory: Path, n_epochs: int = 2) -> Result:
    runner.begin(CONFIG)
    result = steps(runner, n_epochs)
    runner.save(directory)
    return result


def test_going_on_from_another_runs_checkpoint_is_exact(runner: TrialRunner[TrainingTrial], tmp_path: Path) -> None:
    runner.begin(CONFIG)
    whole, expected = steps(runner, 4), weights(runner)
    before = saved(runner, tmp_path)
    other = SETTINGS.runner(TinyCnn(), ("accuracy", "latency_ms"))
    other.begin({**CONFIG, CHECKPOINT_KEY: str(tmp_path)})
    result = steps(other, 2)
    assert result["done"] and (result["accuracy"], result["loss"]) == (whole["accuracy"], whole["loss"])
    for name, tensor in weights(other).items():
        assert torch.equal(tensor, expected[name]), name
    assert result["train_seconds"] > before["train_seconds"]
    assert result["latency_ms"] == before["latency_ms"]  # measured once per trial


def test_tunes_own_restore_is_exact_too(runner: TrialRunner[TrainingTrial], tmp_path: Path) -> None:
    runner.begin(CONFIG)
    whole = steps(runner, 4)
    saved(runner, tmp_path)
    steps(runner, 1)  # population based training sets a trial back in the middle
    runner.load(tmp_path)
    assert runner.progress.epoch == 2
    result = steps(runner, 2)
    assert (result["accuracy"], result["loss"]) == (whole["accuracy"], whole["loss"])


def test_a_checkpoint_of_the_last_epoch_gives_its_result_again(
    runner: TrialRunner[TrainingTrial], tmp_path: Path
) -> None:
    last = saved(runner, tmp_path, n_epochs=4)
    runner.begin({**CONFIG, CHECKPOINT_KEY: str(tmp_path)})
    again = runner.step()
    assert (again["training_iteration"], again["done"], again["complete"]) == (4, True, 1)
    assert (again["accuracy"], again["train_seconds"]) == (last["accuracy"], last["train_seconds"])


def damage(directory: Path, how: str) -> None:
    meta, state = directory / "meta.json", directory / "state.pt"
    if how == "no folder":
        for path in (meta, state):
            path.unlink()
        directory.rmdir()
    elif how == "no meta":
        meta.unlink()
    elif how == "meta cut short":
        meta.write_text(meta.read_text()[:-20])
    elif how == "meta is a list":
        meta.write_text("[]")
    elif how == "meta lacks a key":
        meta.write_text(json.dumps({k: v for k, v in json.loads(meta.read_text()).items() if k != "costs"}))
    elif how == "no state":
        state.unlink()
    elif how == "state cut short":
        state.write_bytes(state.read_bytes()[:-500])
    elif how == "state is something else":
        torch.save([1, 2], state)
    elif how == "another architecture":
        meta.write_text(meta.read_text().replace('"kernel": 3', '"kernel": 5'))
    elif how == "another network":
        torch.save({"epoch": 2, "model": {"weight": torch.zeros(3)}, "optimizer": {}}, state)


@pytest.mark.parametrize(
    "how",
    [
        "no folder",
        "no meta",
        "meta cut short",
        "meta is a list",
        "meta lacks a key",
        "no state",
        "state cut short",
        "state is something else",
        "another architecture",
        "another network",
    ],
)
def test_a_bad_checkpoint_costs_one_warning(
    how: str, runner: TrialRunner[TrainingTrial], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runner.begin(CONFIG)
    expected = steps(runner, 1)
    saved(runner, tmp_path / "checkpoint")
    damage(tmp_path / "checkpoint", how)
    caplog.clear()
    runner.begin({**CONFIG, CHECKPOINT_KEY: str(tmp_path / "checkpoint")})
    result = runner.step()
    assert result["failed"] == 0 and result["training_iteration"] == 1
    assert (result["accuracy"], result["loss"]) == (expected["accuracy"], expected["loss"])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "starts from the beginning" in caplog.text and "\n" not in caplog.records[0].getMessage()


def test_a_hostile_checkpoint_executes_nothing(runner: TrialRunner[TrainingTrial], tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "executed"),))

    saved(runner, tmp_path)
    torch.save({"epoch": 2, "model": Hostile()}, tmp_path / "state.pt")
    runner.begin({**CONFIG, CHECKPOINT_KEY: str(tmp_path)})
    assert runner.step()["training_iteration"] == 1 and not (tmp_path / "executed").exists()


def test_a_checkpoint_that_cannot_be_written_costs_a_warning(
    runner: TrialRunner[TrainingTrial], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runner.begin(CONFIG)
    runner.step()
    (tmp_path / "file").touch()
    runner.save(tmp_path / "file")
    assert "could not be written" in caplog.text
    assert runner.step()["training_iteration"] == 2


# --- global state ----------------------------------------------------------------------------------------------------


def test_one_trial_does_not_change_the_next(tmp_path: Path) -> None:
    """Neither torch, nor the process, nor the random numbers that the user's code draws from numpy and Python."""
    seen: list[object] = []

    def train(model: nn.Module, config: Mapping[str, Any]) -> float:
        seen.append((Path.cwd(), torch.ones(1).dtype, os.environ.get("SEEN"), random.random(), np.random.rand()))
        model(torch.zeros(2, 1, 8, 8)).sum().backward()
        os.chdir(tmp_path)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        os.environ["SEEN"] = "yes"
        random.seed(0), np.random.seed(0)
        return 0.5

    runner = Function(fn=train).runner(TinyCnn())
    results = [runner.run(CONFIG) for _ in range(2)]
    assert [result["error"] for result in results] == ["", ""]
    assert seen[0] == seen[1]
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32 and "SEEN" not in os.environ


def test_a_trial_keeps_its_own_state_between_epochs() -> None:
    seen: list[torch.dtype] = []

    def train(model: nn.Module, config: Mapping[str, Any]) -> Iterator[float]:
        torch.set_default_dtype(torch.float64)
        try:
            for _ in range(2):
                yield 0.5
                seen.append(torch.ones(1).dtype)
        finally:
            torch.set_default_dtype(torch.bfloat16)

    runner = Function(fn=train).runner(TinyCnn())
    runner.begin(CONFIG)
    runner.step()
    assert torch.ones(1).dtype == torch.float32
    runner.step()
    assert seen == [torch.float64]
    runner.release()
    gc.collect()
    assert torch.ones(1).dtype == torch.float32


def test_a_failed_trial_leaves_nothing_behind() -> None:
    def train(model: nn.Module, config: Mapping[str, Any]) -> float:
        torch.inference_mode().__enter__()
        torch.set_default_device("meta")
        raise KeyError("after that")

    assert Function(fn=train).runner(TinyCnn()).run(CONFIG)["failed"] == 1
    assert not torch.is_inference_mode_enabled() and torch.ones(1).device.type == "cpu"


def test_a_failed_trial_leaves_the_checkpoint_before_alone(tmp_path: Path) -> None:
    runner = TrialRunner(TinyCnn(), Training(epochs=2), partial(Scripted, script=[{"accuracy": 0.5}, KeyError("x")]))
    runner.begin(CONFIG)
    runner.step()
    assert runner.step()["failed"] == 1
    runner.save(tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()
