"""What tests share: one small Ray cluster for the few that need Ray."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.forked_workers import forked_workers
from tests.small_clusters import start_fewer_processes

# The same examples in every run, however slow the machine.
settings.register_profile("raynas", deadline=None, derandomize=True)
settings.load_profile("raynas")

# Every process of a cluster reads these when it starts; Ray's token authentication is on by default.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_ADDRESS", "local")  # not a cluster that happens to run on this machine


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let one process run every file with Ray, another those that start clusters of their own, beside all other files.

    A cluster costs seconds to start and uses both cores, so more of them would only be in each other's way; most of the
    time of such a test is waiting, which the other processes use. These two take longest and come first. The groups of
    xdist itself do not work with pytest 9: it writes them into the names of tests, which can no longer be changed.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return ray_group(config.rootpath / file) or file

        def _assign_work_unit(self, node: Any) -> None:
            for group in RAY_GROUPS:
                if group in self.workqueue:
                    self.workqueue.move_to_end(group, last=False)
            super()._assign_work_unit(node)

    return ByFile(config, log)


RAY_GROUPS = ("ray_cluster", "own_cluster")
"""A file belongs to the last of these that it mentions: the session's cluster, or one in a process of a test's own."""


@cache
def ray_group(file: Path) -> str | None:
    """Return what a file needs of Ray."""
    text = file.read_text(encoding="utf-8")
    return next((group for group in reversed(RAY_GROUPS) if group in text), None)


@pytest.fixture(scope="session")
def cluster_folder() -> Iterator[Path]:
    """The folder of the session's cluster."""
    folder = _short_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ray_cluster(cluster_folder: Path) -> Iterator[None]:
    """A Ray cluster of 2 CPUs in this session's own folder."""
    import ray

    start_fewer_processes()
    with forked_workers(cluster_folder):
        _start_cluster(cluster_folder)
        yield
        ray.shutdown()


def _start_cluster(folder: Path) -> None:
    import ray

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=150 * 2**20,
        resources={"device:jetson": 1, "device:phone": 1},  # of the documents
        _temp_dir=str(folder),
    )


@pytest.fixture(scope="module", autouse=True)
def both_cpus_are_free(request: pytest.FixtureRequest) -> None:
    """Start the session's cluster again where an earlier file left something that holds a CPU, and say so.

    Two workers would wait for it until their test is ended, and so would all tests after it.
    """
    if ray_group(request.path) != "ray_cluster" or "ray" not in sys.modules:
        return
    import ray

    if not ray.is_initialized():
        return
    deadline = time.monotonic() + 20
    while (free := ray.available_resources().get("CPU", 0.0)) != 2:
        if time.monotonic() > deadline:
            print(
                f"{request.path.name}: {free:g} of 2 CPUs are free; the cluster is started again", file=sys.__stderr__
            )
            ray.shutdown()
            _start_cluster(request.getfixturevalue("cluster_folder"))
            return
        time.sleep(0.2)


def _short_folder() -> Path:
    """Make a folder for Ray: its sockets' paths must not exceed 107 characters, and macOS has a long one by default."""
    return Path(tempfile.mkdtemp(prefix="rn", dir=None if sys.platform == "win32" else "/tmp"))


@pytest.fixture(autouse=True)
def latencies_are_timed_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside other tests the machine is busy, so that every measurement would be repeated as often as it may be."""
    if "raynas.metrics.latency" in sys.modules and request.path.parent.name not in ("metrics", "latency"):
        defaults = sys.modules["raynas.metrics.latency"].LatencySettings.__init__.__kwdefaults__
        monkeypatch.setitem(defaults, "max_attempts", 1)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for the files of another cluster than that of the session."""
    folder = _short_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
