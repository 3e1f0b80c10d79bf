"""A search and bulk scoring on a cluster of several nodes, one of which joins later, with a process that gets sick."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, os, sys, time
from pathlib import Path
import ray
from ray import tune
from ray.cluster_utils import Cluster
import raynas
from raynas.errors import RaynasError
from raynas.run.score_many import score_many
from raynas.strategies import RandomSearch
from raynas.trials import Function
from tests.run.widths import ARCHS, SPACE

folder = Path(sys.argv[1])
from tests.small_clusters import start_fewer_processes

start_fewer_processes()
sys.executable = os.environ.get("FORKING_PYTHON", sys.executable)
small = dict(object_store_memory=80 * 2**20, include_dashboard=False)
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=0, **small))
for _ in range(2):
    cluster.add_node(num_cpus=3, **small)
sys.cluster = cluster  # where the callback finds it, which Tune pickles
ray.init(cluster.address, log_to_driver=False)

def width(model, config):
    return config["arch"]["width_0"] / 16

scored = list(score_many(SPACE, ARCHS[:6], Function(fn=width, n_threads=2)))  # 6 CPUs, but room for 2, not 3
try:
    score_many(SPACE, ARCHS[:6], Function(fn=width, n_threads=4)).__next__()
except RaynasError as error:
    refused = str(error)

def seen(kind):
    return {path.name for path in folder.glob(f"{kind}/*")}

def note(kind, name):
    (folder / kind).mkdir(exist_ok=True)
    (folder / kind / name).touch()

def until_the_third_node_is_used(model, config):
    me = str(os.getpid())
    if me in seen("sick") or (not seen("sick") and seen("done")):
        note("sick", me)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    note("nodes", ray.get_runtime_context().get_node_id())
    while len(seen("done")) > 1 and len(seen("nodes")) < 3:
        time.sleep(0.1)
    note("done", str(time.time()))
    return width(model, config)

class Joins(tune.Callback):
    def on_trial_complete(self, iteration, trials, trial, **info):
        if len(sys.cluster.worker_nodes) == 2:
            sys.cluster.add_node(num_cpus=3, **small)

result = raynas.search(
    SPACE, Function(fn=until_the_third_node_is_used, n_threads=3), RandomSearch(), num_samples=6, progress=False,
    tensorboard=False, leave_report=False,
    run_config=tune.RunConfig(name="x", storage_path=str(folder / "results"), callbacks=[Joins()]),
)
lost = [record["reason"] for record in result.archive.events("lost")]
statuses = [[e.status for e in evaluations] for evaluations in (scored, result.evaluations)]
print(json.dumps([*statuses, refused, len(seen("nodes")), lost]))
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.own_cluster
@pytest.mark.skipif(sys.platform == "win32", reason="Ray has no clusters of several nodes on Windows")
def test_every_node_is_used_for_what_it_has_room_for(ray_cluster: None, tmp_path: Path, short_folder: Path) -> None:
    # Cluster notes its address there, as 'ray start' does.
    environment = {**os.environ, "RAY_TMPDIR": str(short_folder)}
    environment.pop("RAY_ADDRESS", None)
    script = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    scored, statuses, refused, n_nodes, lost = json.loads(done.stdout.splitlines()[-1])
    assert scored == ["finished"] * 6
    assert "no node has room" in refused and "3 CPUs at most" in refused
    assert statuses == ["finished"] * 6
    assert n_nodes == 3
    assert len(lost) == 1 and "illegal memory access" in lost[0]
