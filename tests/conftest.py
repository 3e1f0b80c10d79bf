"""What tests share: one small Ray cluster for the few that need Ray."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, however slow the machine.
settings.register_profile("raynas", deadline=None, derandomize=True)
settings.load_profile("raynas")

# Every process of a cluster reads these when it starts; Ray's token authentication is on by default.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run every test that needs Ray, beside another that runs the rest, file by file.

    A cluster costs seconds to start and uses both cores, so two of them would only be in each other's way; most of the
    time of such a test is waiting, which the other process uses.
    """
    for item in items:
        needs_ray = "ray_cluster" in getattr(item, "fixturenames", ()) or item.get_closest_marker("own_cluster")
        item.add_marker(pytest.mark.xdist_group("ray" if needs_ray else item.nodeid.split("::")[0]))


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray cluster of 2 CPUs in this session's own folder."""
    import ray

    # Sockets lie in it, and their paths must not exceed 107 characters: macOS has a long one by default.
    folder = Path(tempfile.mkdtemp(prefix="rn", dir=None if sys.platform == "win32" else "/tmp"))
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=150 * 2**20,
        _temp_dir=str(folder),
    )
    yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
