import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from raynas.core.goal import Goal
from raynas.core.metric import Candidate, Metric
from raynas.metrics import read_goal
from raynas.metrics.latency import latency
from raynas.metrics.latency_predictor import DeviceLatencies, LatencyPredictor
from raynas.metrics.latency_table import LatencyTable, Operation
from raynas.nn import Choice, ModelSpace
from raynas.run.identity import Identity
from raynas.run.trainables import as_settings
from raynas.testing import ToySpace
from raynas.trials import Function, Training
from raynas.trials.settings import TrialSettings

SPACE = ToySpace(n_layers=2, n_options=3)


def train(model: object, config: Mapping[str, object]) -> float:
    return 0.5


def energy(candidate: Candidate) -> float:
    return 1.0


class Net(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(Choice({"a": nn.ReLU, "b": nn.Tanh}), nn.Linear(4, 2))


def identity(settings: TrialSettings | None = None, space: object = SPACE, goal: Goal | None = None) -> Identity:
    return Identity.of(space, goal or Goal(), settings or Function(fn=train))  # type: ignore[arg-type]


def changes(before: Identity, now: Identity) -> list[str]:
    return now.changes(vars(before))


def test_the_same_twice() -> None:
    assert identity() == identity() and changes(identity(), identity()) == []


def test_a_function_by_name_is_the_function() -> None:
    named = identity(Function(fn=f"{__name__}:train"))
    assert named.code == identity().code
    assert identity(Function(fn="no_such_module:train")).code == {}, "the trials say that there is none"


def test_settings_are_named() -> None:
    (change,) = changes(identity(Training(epochs=2)), identity(Training(epochs=4)))
    assert change == "the trainable was Training(epochs=2) and is Training(epochs=4)"
    assert changes(identity(Training(epochs=2, n_threads=1)), identity(Training(epochs=2, n_threads=4))) == []


def test_networks_and_metrics_of_the_users_count() -> None:
    own = identity(space=ModelSpace(Net, input_shape=(4,)), goal=read_goal("accuracy", (), [_metric()]))
    assert {"the source of Net in test_identity.py", "the source of energy in test_identity.py"} <= own.code.keys()
    now = dataclasses.replace(own, code={**own.code, "the source of Net in test_identity.py": "#other"})
    assert changes(own, now) == ["the source of Net in test_identity.py changed"]


def _metric() -> Metric:
    return Metric(name="energy_mj", mode="min", measure=energy)


def test_how_latency_is_measured_counts() -> None:
    eager, onnx = (identity(goal=read_goal(metrics=[latency(name)])) for name in ("eager", "onnxruntime"))
    batch = identity(goal=read_goal(metrics=[latency("onnxruntime", batch_size=8)]))
    assert eager.code == identity().code, "as measured by default"
    (change,) = changes(onnx, batch)
    assert change.startswith("measurement of latency_ms changed") and "batch_size=8" in change
    assert changes(onnx, identity(goal=read_goal(metrics=[latency("onnxruntime")]))) == []


def test_a_predictor_that_learned_from_other_figures_counts() -> None:
    archs = list(dict.fromkeys(SPACE.sample(np.random.default_rng(n)) for n in range(20)))

    def learned(factor: float) -> Identity:
        ms = [factor * (n + 1) for n in range(len(archs))]
        latencies = DeviceLatencies(device="phone", archs=archs, ms=ms)
        return identity(goal=read_goal(metrics=[LatencyPredictor.fit(SPACE, latencies, "trees", n_folds=2).metric()]))

    assert changes(learned(1.0), learned(1.0)) == []
    assert any("measurement of latency_ms@phone" in change for change in changes(learned(1.0), learned(2.0)))


def test_values_are_shown_and_new_parts_only_without_a_change() -> None:
    def scorer(model: object, config: object, rate: float = 0.1) -> float:
        return rate

    before, now = (identity(as_settings(functools.partial(scorer, rate=rate))) for rate in (0.1, 0.01))
    assert changes(before, now) == ["the value of argument rate of test_identity.scorer changed (0.1 -> 0.01)"]
    more = dataclasses.replace(now, code={**now.code, "the source of helper": "#1"})
    assert len(changes(before, more)) == 1
    assert changes(now, more) == ["the source of helper is new"]
    assert changes(more, now) == ["the source of helper is gone"]


@pytest.mark.parametrize("relative", [True, False])
def test_files_of_data_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"npz:{'mine.npz' if relative else tmp_path / 'mine.npz'}"
    found = []
    for value in (0, 0, 1):
        np.savez("mine.npz", x_train=np.full((4, 4, 4, 1), value, np.uint8))
        found.append(identity(Training(data=name)))
    assert changes(found[0], found[1]) == []
    assert changes(found[1], found[2]) == [f"the content of {name} changed"]
    assert identity(Training(data="digits")).data == {}


def test_a_table_of_latencies_is_part_of_it() -> None:
    def code(ms: float) -> Mapping[str, str]:
        operations = {"0" * 16: Operation(title="Linear 1x4", ms=ms, macs=8, elements=2)}
        metric = LatencyTable(space="Net 0123", measurement="eager", operations=operations).metric()
        return identity(goal=read_goal(metrics=[metric])).code

    assert code(1.0) == code(1.0) != code(2.0)
