"""Latency is measured on the node that has the device, and nowhere else."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import raynas
from raynas.errors import RaynasError, SettingError
from raynas.metrics import Measurer
from raynas.metrics.latency.devices import measure_on
from raynas.metrics.latency.timing import Timing
from raynas.testing import ToySpace

SCRIPT = """
import json, os, sys
import ray
from ray import tune
from ray.cluster_utils import Cluster
import raynas
from raynas.strategies import RandomSearch
from raynas.testing import ToySpace
from raynas.trials import Function

from tests.small_clusters import start_fewer_processes

start_fewer_processes()
sys.executable = os.environ.get("FORKING_PYTHON", sys.executable)
small = dict(object_store_memory=80 * 2**20, include_dashboard=False)
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=2, **small))
cluster.add_node(num_cpus=1, resources={"device:slow": 1}, env_vars={"ON_NODE": "slow"}, **small)
ray.init(cluster.address, log_to_driver=False)

def score(model, config):
    return 0.5

result = raynas.search(
    ToySpace(), Function(fn=score), RandomSearch(), objectives=["accuracy", "latency_ms@eager"],
    constraints="latency_ms@slow <= 100", num_samples=2, progress=False, tensorboard=False, leave_report=False,
    metrics=[
        raynas.latency("export", device="slow", measure=sys.argv[2]),
        raynas.latency(device="slow", name="latency_ms@eager"),
    ],
    run_config=tune.RunConfig(name="x", storage_path=sys.argv[1]),
)
slow = [(e.metrics["latency_ms@slow"], e.provenance["latency_ms@slow"].facts["device"]) for e in result.evaluations]
eager = [e.metrics["latency_ms@eager"] for e in result.evaluations]
print(json.dumps([slow, eager, len(result.archive.events("refused"))]))
ray.shutdown()
cluster.shutdown()
"""


# A latency that breaks the limit wherever it is measured but on the node that has the device.
MEASURE = """
[ "$ON_NODE" = slow ] && [ -s "$1" ] && echo 70 || echo 700
"""


@pytest.mark.own_cluster
@pytest.mark.skipif(sys.platform == "win32", reason="Ray has no clusters of several nodes on Windows")
def test_it_is_measured_on_the_node_that_has_the_device(ray_cluster: None, tmp_path: Path, short_folder: Path) -> None:
    environment = {**os.environ, "RAY_TMPDIR": str(short_folder)}
    environment.pop("RAY_ADDRESS", None)
    (tmp_path / "measure.sh").write_text(MEASURE)
    script = [sys.executable, "-c", SCRIPT, str(tmp_path), f"sh {tmp_path / 'measure.sh'}"]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    slow, eager, n_refused = json.loads(done.stdout.splitlines()[-1])
    assert slow == [[70, "slow"]] * 2 and n_refused == 0
    assert len(eager) == 2 and min(eager) > 0


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
