"""A start of Ray in the background."""

import subprocess
import sys

import pytest

from raynas.run.cluster import RayStart


def test_ray_that_runs_already_is_used(ray_cluster: None) -> None:
    import ray

    before = ray.get_runtime_context().get_node_id()
    RayStart().wait()
    assert ray.get_runtime_context().get_node_id() == before


def test_no_cluster_is_an_error_for_the_one_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise ConnectionError("nothing there")

    monkeypatch.setattr("raynas.run.cluster.start_ray", refused)
    start = RayStart()
    for _ in range(2):
        with pytest.raises(ConnectionError, match="nothing there"):
            start.wait()


def test_ray_outlives_the_start_and_ends_with_the_process() -> None:
    """Linux ends Ray's processes with the thread that started them, so that thread must not end before the program."""
    code = (
        "from raynas.run.cluster import RayStart; start = RayStart(); start.wait(); import ray; "
        "print(ray.get(ray.remote(lambda: 'worked').remote()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout.strip() == "worked"
