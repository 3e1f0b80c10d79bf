"""A training function of the user's own, plain or a generator."""

import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.errors import RaynasError
from raynas.trials import TRIALS, Function, TrialRunner
from raynas.trials.checkpoint import CHECKPOINT_KEY, Checkpoint
from raynas.trials.function import FunctionTrial, takes_state
from raynas.trials.progress import Result
from tests.trials.spaces import TinyCnn

ARCH = {"depth": 1, "kernel": 3}
Config = Mapping[str, Any]


def score(model: nn.Module, config: Config) -> float:
    with torch.no_grad():
        return float(model(torch.zeros(1, 1, 8, 8)).softmax(dim=1).max())


def epochs(model: nn.Module, config: Config) -> Iterator[Any]:
    for epoch in range(3):
        yield {"accuracy": 0.1 * (epoch + 1), "noise": float(torch.rand(()))}


def results(fn: Any, **settings: Any) -> list[Result]:
    seen: list[Result] = []
    Function(fn=fn, **settings).evaluate(TinyCnn(), ARCH, on_result=seen.append, metrics=["latency_ms"])
    return seen


class Scorer:
    def __call__(self, model: nn.Module, config: Config) -> float:
        return 0.25


@pytest.mark.parametrize(
    ("fn", "accuracy"),
    [
        (lambda model, config: 0.5, 0.5),
        (lambda model, config: {"accuracy": np.float32(0.5)}, 0.5),
        (lambda model, config: torch.tensor(0.5), 0.5),
        (lambda model, config: 1, 1.0),
        (partial(lambda value, model, config: value, 0.75), 0.75),
        (Scorer(), 0.25),
    ],
)
def test_any_callable_that_gives_a_number(fn: Any, accuracy: float) -> None:
    (result,) = results(fn)
    assert (result["accuracy"], result["training_iteration"], result["complete"]) == (accuracy, 1, 1)
    assert result["params"] > 0 and result["latency_ms"] > 0 and result["done"]


def test_it_gets_the_network_and_the_config() -> None:
    seen: dict[str, Any] = {}

    def fn(model: nn.Module, config: Config) -> float:
        seen.update(model=model, config=config)
        return 0.5

    Function(fn=fn).evaluate(TinyCnn(), ARCH, {"lr": np.float64(0.1)})
    assert isinstance(seen["model"], nn.Sequential)
    assert seen["config"] == {"arch": ARCH, "lr": 0.1} and isinstance(seen["config"]["lr"], float)


def test_a_generator_reports_every_epoch() -> None:
    seen = results(epochs)
    assert [r["training_iteration"] for r in seen] == [1, 2, 3, 3]
    assert [r["done"] for r in seen] == [False, False, False, True]
    assert [r["complete"] for r in seen] == [0, 0, 0, 1]
    assert seen[-1]["accuracy"] == pytest.approx(0.3)


def test_a_generator_can_be_limited() -> None:
    seen = results(epochs, epochs=2)
    assert [(r["training_iteration"], r["done"]) for r in seen] == [(1, False), (2, True)]
    assert Function(fn=epochs, epochs=2).max_fidelity == 2 and Function(fn=epochs).max_fidelity == 100


def test_weights_and_randomness_follow_the_seed() -> None:
    assert results(score)[0]["accuracy"] == results(score)[0]["accuracy"] != results(score, seed=1)[0]["accuracy"]
    noise = [r["noise"] for r in results(epochs)]
    assert noise == [r["noise"] for r in results(epochs)] and noise[0] != noise[1]


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (lambda model, config: None, "epoch 1: the function must give a number (the accuracy) or a dict"),
        (lambda model, config: "good", "epoch 1: the function must give a number"),
        (lambda model, config: {"accuracy": None}, "epoch 1: metric 'accuracy' must be a number, got None"),
        (lambda model, config: 1 / 0, "epoch 1: ZeroDivisionError: division by zero (test_function.py, line "),
        (lambda model: 1.0, "epoch 1: TypeError: "),
        (lambda model, config: iter(()), "epoch 1: nothing was reported"),
        (lambda model, config: sys.exit("enough"), "epoch 1: SystemExit: enough"),
    ],
)
def test_what_is_wrong_with_it_is_said_in_one_line(fn: Any, expected: str) -> None:
    (result,) = results(fn)
    assert result["failed"] == 1 and result["error"].startswith(expected) and "\n" not in result["error"]


def test_a_generator_that_fails_late_keeps_its_fidelity() -> None:
    def fn(model: nn.Module, config: Config) -> Iterator[float]:
        yield 0.5
        raise RuntimeError("late")

    last = results(fn)[-1]
    assert last["error"].startswith("epoch 2: RuntimeError: late") and last["training_iteration"] == 1


def test_it_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_code")
    module.score = score  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_code", module)
    assert results("my_code:score") != [] and Function(fn="my_code:score").description == "Function(fn='my_code:score')"
    with pytest.raises(RaynasError, match="no function 'other'"):
        results("my_code:other")
    with pytest.raises(ValueError, match=r"named as package.module:function, got 'score'"):
        Function(fn="score")
    with pytest.raises(ValueError, match=r"fn must be a function fn\(model, config\) or 'module:function', got 3"):
        Function(fn=3)  # type: ignore[arg-type]


def test_the_description_is_the_same_in_every_process() -> None:
    assert Function(fn=score).description == f"Function(fn='{__name__}:score')"
    assert "0x" not in Function(fn=Scorer()).description
    assert "0x" not in Function(fn=partial(score, config={})).description


def test_the_table_of_trials() -> None:
    assert sorted(TRIALS) == ["distil", "function", "subnet", "tabular", "train", "zero_cost"]


# --- weights and state -----------------------------------------------------------------------------------------------


def counts(model: nn.Module, config: Config, state: dict[str, Any]) -> Iterator[float]:
    """Adds 1 to every weight in each of four epochs, and writes down which of them it did."""
    for epoch in range(len(state.get("done", [])), 4):
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(1)
        state["done"] = [*state.get("done", []), epoch]
        yield 0.1 * epoch


def without_state(model: nn.Module, config: Config) -> Iterator[float]:
    yield from counts(model, config, {})


def begun(fn: Any) -> TrialRunner[FunctionTrial]:
    runner = Function(fn=fn).runner(TinyCnn())
    runner.begin({"arch": ARCH})
    return runner


def trained(fn: Any, checkpoint: Path) -> nn.Module:
    state = Checkpoint.read(checkpoint).state
    return Function(fn=fn).trained_model(TinyCnn(), Architecture(ARCH), state)


@pytest.mark.parametrize("fn", [counts, without_state, lambda model, config: sum(counts(model, config, {}))])
def test_the_weights_are_saved_after_a_report(fn: Any, tmp_path: Path) -> None:
    runner = begun(fn)
    before = {name: tensor.clone() for name, tensor in runner.trial.model.state_dict().items()}
    n_epochs = 4 if fn not in (counts, without_state) else 1
    assert not runner.step()["failed"]
    runner.save(tmp_path)
    model = trained(fn, tmp_path)
    assert not model.training
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight, before[name] + n_epochs)


def test_building_the_network_leaves_the_generator_as_it_was(tmp_path: Path) -> None:
    runner = begun(counts)
    runner.step()
    runner.save(tmp_path)
    torch.manual_seed(3)
    expected = torch.rand(())
    torch.manual_seed(3)
    trained(counts, tmp_path)
    assert torch.rand(()) == expected


def test_with_a_state_it_continues(tmp_path: Path) -> None:
    killed = begun(counts)
    for _ in range(2):
        killed.step()
    killed.save(tmp_path)
    assert Checkpoint.read(tmp_path).state["state"] == {"done": [0, 1]}  # type: ignore[index]
    runner = Function(fn=counts).runner(TinyCnn())
    last = runner.run({"arch": ARCH, CHECKPOINT_KEY: str(tmp_path)})
    whole = begun(counts)
    while not whole.step()["done"]:
        pass
    assert (last["training_iteration"], last["complete"]) == (4, 1)
    resumed = Function(fn=counts).runner(TinyCnn())
    resumed.begin({"arch": ARCH, CHECKPOINT_KEY: str(tmp_path)})
    while not resumed.step()["done"]:
        pass
    assert resumed.trial.saved == {"done": [0, 1, 2, 3]}
    for ours, theirs in zip(resumed.trial.model.parameters(), whole.trial.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_without_a_state_it_begins_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed = begun(without_state)
    for _ in range(2):
        killed.step()
    killed.save(tmp_path)
    seen: list[Result] = []
    Function(fn=without_state).runner(TinyCnn()).run({"arch": ARCH, CHECKPOINT_KEY: str(tmp_path)}, seen.append)
    assert [r["training_iteration"] for r in seen] == [1, 2, 3, 4, 4]
    assert "starts from the beginning: its function has no parameter 'state' to continue from" in caplog.text


def test_an_optimizer_can_be_saved(tmp_path: Path) -> None:
    def fn(model: nn.Module, config: Config, state: dict[str, Any]) -> float:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        model(torch.zeros(2, 1, 8, 8)).sum().backward()
        optimizer.step()
        state.update(optimizer=optimizer.state_dict(), note="one step", losses=(0.5, 0.25))
        return 0.5

    runner = begun(fn)
    assert not runner.step()["failed"]
    runner.save(tmp_path)
    saved = Checkpoint.read(tmp_path).state["state"]  # type: ignore[index]
    assert saved["note"] == "one step" and saved["losses"] == (0.5, 0.25)
    assert isinstance(saved["optimizer"]["state"][0]["momentum_buffer"], torch.Tensor)


def test_what_cannot_be_saved_is_named_at_once() -> None:
    def fn(model: nn.Module, config: Config, state: dict[str, Any]) -> float:
        state["parts"] = {"optimizer": torch.optim.SGD(model.parameters(), lr=0.1)}
        return 0.5

    result = begun(fn).step()
    assert (
        result["failed"] and "state['parts']['optimizer'] is a SGD, which a checkpoint cannot hold" in result["error"]
    )


@pytest.mark.parametrize(
    ("fn", "takes"),
    [
        (counts, True),
        (lambda model, config, state=None: 0.5, True),
        (lambda model, config, state="of mind": 0.5, False),
        (partial(counts, state={}), False),
        (score, False),
        (Scorer(), False),
        (max, False),
    ],
)
def test_a_state_is_asked_for_by_its_name(fn: Any, takes: bool) -> None:
    assert takes_state(fn) is takes


def test_weights_of_another_network() -> None:
    other = {"model": nn.Linear(2, 2).state_dict()}
    with pytest.raises(RaynasError, match="do not fit the network that TinyCnn builds"):
        Function(fn=score).trained_model(TinyCnn(), Architecture(ARCH), other)
