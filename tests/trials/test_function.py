"""A training function of the user's own, plain or a generator."""

import sys
from collections.abc import Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raynas.errors import RaynasError
from raynas.trials import TRIALS, Function
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
    assert sorted(TRIALS) == ["function", "subnet", "tabular", "train", "zero_cost"]
