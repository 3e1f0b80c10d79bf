"""Latency on a device of the cluster: names, and what is said where there is none.

That it is measured on the node that has the device, and nowhere else: ``tests/run/test_several_nodes.py``.
"""

from functools import partial

import pytest

import raynas
from raynas.errors import RaynasError, SettingError
from raynas.metrics import Measurer
from raynas.metrics.latency.devices import measure_on
from raynas.metrics.latency.timing import Timing
from raynas.testing import ToySpace


def test_names_tell_the_device() -> None:
    metric = raynas.latency("onnxruntime", device="jetson")
    assert (metric.name, metric.title, metric.needs) == ("latency_ms@jetson", "latency@jetson", "weights")
    with pytest.raises(SettingError, match="device must be a name"):
        raynas.latency(device="my device")


def test_without_a_cluster_there_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(RaynasError, match="latency on device 'jetson' needs a Ray cluster with it"):
        Measurer(ToySpace()).value(raynas.latency(device="jetson"), ToySpace().default)


def test_a_device_that_no_node_has_is_named(ray_cluster: None) -> None:
    reason = r"no node of the cluster has the resource 'device:watch'.*ray start"
    with pytest.raises(RaynasError, match=reason) as caught:
        Measurer(ToySpace()).value(raynas.latency(device="watch"), ToySpace().default)
    assert "\n" not in str(caught.value)


def test_what_a_measurement_raises_is_raised(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raynas.metrics.latency.devices.resource_of", lambda device: "node:__internal_head__")
    with pytest.raises(KeyError, match="jetson"):
        measure_on("jetson", partial(_fail, "jetson"))


def _fail(name: str) -> Timing:
    raise KeyError(name)
