"""An objective or a constraint on a metric that nothing reports ends in one line that names the metrics there are."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import tune
from torch import nn

import raynas
from raynas.core.archive import Archive
from raynas.errors import ArchiveError, RaynasError, UnknownNameError, UnreportedMetricError
from raynas.metrics import read_goal
from raynas.run.simulate import drive
from raynas.strategies import Asha, RandomSearch
from raynas.testing import ToySpace
from raynas.trials import Function, Tabular, Training, ZeroCost
from tests.trials.spaces import TinyCnn

SPACE = ToySpace(n_layers=2, n_options=3)


def score(model: nn.Module, config: Mapping[str, Any]) -> dict[str, float]:
    return {"accuracy": SPACE.accuracy(config["arch"]), "weight_kb": 3.0}


def epochs(model: nn.Module, config: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    """The size comes with the last epoch only."""
    for epoch in range(3):
        yield {"accuracy": epoch / 3, **({"weight_kb": 3.0} if epoch == 2 else {})}


class Scored(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.arch = config["arch"]

    def step(self) -> dict[str, Any]:
        return {"accuracy": SPACE.accuracy(self.arch), "weight_kb": 3.0, "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.arch = new_config["arch"]
        return True


def table(folder: Path) -> Tabular:
    path = folder / "table.csv"
    path.write_text("arch,accuracy\n")
    return Tabular(table=str(path))


TRAINABLES: dict[str, Callable[[Path], Any]] = {
    "function": lambda folder: score,
    "class": lambda folder: Scored,
    "table": table,
    "training": lambda folder: Training(),
    "zero_cost": lambda folder: ZeroCost(),
}
WRONG: dict[str, dict[str, Any]] = {
    "hard": {"constraints": "latencyms <= 1"},
    "soft": {"constraints": "latencyms <= 1 soft"},
    "objective": {"objectives": ["accuracy", "max:latencyms"]},
    "second": {"constraints": ["params <= 1e9", "latencyms <= 1"]},
}


SEARCHING = ("function", "class")
"""These know alone what they report, so a trial has to run; half of the cases each."""

CASES = [
    *(("function", "hard"), ("function", "objective"), ("class", "soft"), ("class", "second")),
    *((kind, wrong) for kind in TRAINABLES for wrong in WRONG if kind not in SEARCHING),
]


def searched(folder: Path, trainable: Any, space: Any = SPACE, strategy: Any = None, **asked: Any) -> Any:
    quiet = dict.fromkeys(("progress", "tensorboard", "leave_report"), False)
    settings: dict[str, Any] = {"num_samples": 3, "max_concurrent": 1, **quiet}
    where = tune.RunConfig(storage_path=str(folder), name="search")
    return raynas.search(space, trainable, strategy or RandomSearch(), run_config=where, **{**settings, **asked})


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("kind", "wrong"), CASES)
def test_it_is_refused_in_one_line(kind: str, wrong: str, tmp_path: Path) -> None:
    asked = WRONG[wrong]
    if kind == "zero_cost":
        asked = {"objectives": "synflow", **asked} if "objectives" not in asked else {"objectives": "max:latencyms"}
    space = SPACE if kind in ("function", "class", "table") else TinyCnn()
    with pytest.raises(RaynasError) as caught:
        searched(tmp_path, TRAINABLES[kind](tmp_path), space, **asked)
    message = str(caught.value)
    assert "'latencyms'" in message and "\n" not in message
    if kind in ("function", "class"):
        assert isinstance(caught.value, UnreportedMetricError) and "accuracy, weight_kb" in message
        (record,) = Archive.load(tmp_path / "search" / "archive.jsonl").events("proposed")
        assert record["trial"] == "00001"
    else:
        assert isinstance(caught.value, UnknownNameError)
        assert not (tmp_path / "search").exists(), "nothing was begun"
    if kind not in ("class", "table"):
        assert "did you mean 'latency_ms'?" in message


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("kind", ["function", "class"])
def test_the_corrected_call_goes_on_with_the_same_trial(kind: str, tmp_path: Path) -> None:
    trainable = TRAINABLES[kind](tmp_path)
    for _ in range(2):
        with pytest.raises(UnreportedMetricError, match=r"weight_mb.*did you mean 'weight_kb'"):
            searched(tmp_path, trainable, constraints="weight_mb <= 4")
    result = searched(tmp_path, trainable, constraints="weight_kb <= 4")
    assert [e.trial for e in result.evaluations] == ["00001", "00002", "00003"] and result.best()
    with pytest.raises(ArchiveError, match="holds a search with constraints"):
        searched(tmp_path, trainable, constraints="weight_kb <= 5")


@pytest.mark.usefixtures("ray_cluster")
def test_early_stopping_does_not_hide_it(tmp_path: Path) -> None:
    with pytest.raises(UnreportedMetricError, match="'f1' is wanted, but what was reported is accuracy, weight_kb"):
        searched(tmp_path, Scored, strategy=RandomSearch(early_stopping=Asha()), objectives="max:f1")


@pytest.mark.usefixtures("ray_cluster")
def test_what_is_declared_may_come_with_the_last_epoch(tmp_path: Path) -> None:
    function = Function(fn=epochs, epochs=3)
    with pytest.raises(UnreportedMetricError, match="'weight_kb' is wanted, but what was reported is accuracy"):
        searched(tmp_path, function, constraints="weight_kb <= 4")
    declared = raynas.Metric(name="weight_kb", mode="min", unit="kB")
    result = searched(tmp_path, function, constraints="weight_kb <= 4", metrics=[declared])
    assert [e.metrics["weight_kb"] for e in result.full] == [3.0] * 3


def test_in_a_users_own_tuner_the_trial_fails_with_the_line() -> None:
    runner = Function(fn=score).runner(SPACE, ["accuracy", "latencyms"])
    result = runner.run({"arch": dict(SPACE.sample(np.random.default_rng(0)))})
    assert result["failed"] == 1
    assert "'latencyms' is wanted, but what was reported is accuracy, weight_kb; did you mean" in result["error"]


def test_simulated_searches_refuse_it(tmp_path: Path) -> None:
    for wrong in WRONG.values():
        with pytest.raises(UnknownNameError, match="unknown metric 'latencyms'"):
            drive(RandomSearch(), table(tmp_path), SPACE, 3, **wrong)


def test_funnels_refuse_it(tmp_path: Path) -> None:
    stages = [raynas.FunnelStage(ZeroCost(), n=4), raynas.FunnelStage(Training(epochs=1), n=2)]
    where = tune.RunConfig(storage_path=str(tmp_path))
    with pytest.raises(UnknownNameError, match="did you mean 'latency_ms'"):
        raynas.funnel(TinyCnn(), stages, constraints="latencyms <= 1", run_config=where)


def test_scoring_in_bulk_refuses_it() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'latency_ms'"):
        list(raynas.score_many(SPACE, [], ["latencyms"], workers=0))
    with pytest.raises(RaynasError, match="accuracy cannot be measured"):
        list(raynas.score_many(SPACE, [], "accuracy", workers=0))


def test_known_names_are_read() -> None:
    with pytest.raises(ValueError, match=r"objective 'acuracy' needs a direction.*did you mean 'accuracy'"):
        read_goal("acuracy")
