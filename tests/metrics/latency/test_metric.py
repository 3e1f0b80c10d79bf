"""Latency as a metric: its name, its settings, and what it measures."""

import pickle

import pytest
import torch

from raynas.core.measurement import Measured
from raynas.core.metric import Candidate
from raynas.errors import SettingError, UnknownNameError
from raynas.metrics import METRICS, Measurer
from raynas.metrics.latency import latency
from raynas.testing import ToySpace


def test_it_is_in_the_table() -> None:
    assert METRICS["latency_ms"] == latency() == pickle.loads(pickle.dumps(latency()))
    assert (METRICS["latency_ms"].title, METRICS["latency_ms"].unit) == ("latency", "ms")
    assert latency(name="latency_ms@onnxruntime").title == "latency@onnxruntime"


@pytest.mark.parametrize("backend", ["eager", "onnxruntime"])
def test_it_measures_as_stated(backend: str) -> None:
    space = ToySpace()
    value = Measurer(space, n_threads=2).value(latency(backend, batch_size=3), space.default)
    assert isinstance(value, Measured) and value > 0
    facts = value.provenance.facts
    assert (facts["backend"], facts["batch_size"], facts["n_threads"]) == (backend, 3, 2)


def test_its_own_threads_come_first() -> None:
    space = ToySpace()
    value = Measurer(space, n_threads=2).value(latency(n_threads=1), space.default)
    assert isinstance(value, Measured) and value.provenance.facts["n_threads"] == 1


def test_it_runs_on_the_device_of_the_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("raynas.metrics.latency.metric.time_deployment", lambda *given: seen.append(given[-1]))
    space = ToySpace()
    candidate = Candidate(
        space=space,
        arch=space.default,
        device=torch.device("cpu"),
        n_threads=4,
        build=lambda: space.build(space.default),
        count=lambda name: 0,
    )
    with pytest.raises(AttributeError):
        latency(dtype="float16").measure(candidate)  # type: ignore[misc]
    (settings,) = seen
    assert (settings.backend, settings.dtype, settings.device, settings.n_threads) == ("eager", "float16", "cpu", 4)


def test_mistakes_are_refused_at_once() -> None:
    with pytest.raises(UnknownNameError, match="latency back end"):
        latency("onnx")
    with pytest.raises(SettingError, match="batch_size must be a whole number of at least 1"):
        latency(batch_size=0)
    with pytest.raises(SettingError, match="the name of a metric"):
        latency(name="latency ms")
