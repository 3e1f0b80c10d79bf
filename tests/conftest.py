"""What tests share: one small Ray cluster for the few that need Ray."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.forked_workers import forked_workers

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
    """Let one process run every file that needs Ray, beside another that runs the rest, file by file.

    A cluster costs seconds to start and uses both cores, so two of them would only be in each other's way; most of the
    time of such a test is waiting, which the other process uses. The groups of xdist itself do not work with pytest 9:
    it writes them into the names of tests, which can no longer be changed.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "ray" if needs_ray(config.rootpath / file) else file

    return ByFile(config, log)


@cache
def needs_ray(file: Path) -> bool:
    """Return True if a test of the file takes the cluster of the session, or starts one in a process of its own."""
    text = file.read_text(encoding="utf-8")
    return "ray_cluster" in text or "own_cluster" in text


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray cluster of 2 CPUs in this session's own folder."""
    import ray

    folder = _short_folder()
    with forked_workers(folder):
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


def _short_folder() -> Path:
    """Make a folder for Ray: its sockets' paths must not exceed 107 characters, and macOS has a long one by default."""
    return Path(tempfile.mkdtemp(prefix="rn", dir=None if sys.platform == "win32" else "/tmp"))


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for the files of another cluster than that of the session."""
    folder = _short_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
