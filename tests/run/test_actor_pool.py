"""A pool of actors: whatever dies, every config gets its result, in order."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import ray

from raynas.errors import RaynasError
from raynas.run.actor_pool import ActorPool, failed_result
from tests.run.widths import ARCHS, SPACE, Total


class Deadly(Total):
    """One option ends the process, as the kernel does when memory runs out."""

    def run(self, config: Mapping[str, Any]) -> dict[str, Any]:
        if config["arch"]["width_0"] == 16:
            os._exit(1)
        return super().run(config)


@pytest.mark.usefixtures("ray_cluster")
def test_an_actor_that_dies_costs_only_what_killed_it() -> None:
    configs = [SPACE.to_config(arch) for arch in ARCHS[4:12]]
    assert sum(config["arch"]["width_0"] == 16 for config in configs) == 1
    with ActorPool(Deadly(), {"cpu": 0.5}, workers=1) as pool:
        pool._per_call = 4
        results = list(pool.results(configs))
    assert len(results) == len(configs)
    for config, result in zip(configs, results, strict=True):
        assert result["failed"] == (config["arch"]["width_0"] == 16)
    assert any(result["failed"] for result in results)
    assert "died twice" in next(result["error"] for result in results if result["failed"])


class SickOnce(Total):
    """The first process that scores one option gets sick: from then on it fails whatever it is given."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    def run(self, config: Mapping[str, Any]) -> dict[str, Any]:
        me = str(os.getpid())
        if config["arch"]["width_0"] == 16 and not self.file.exists():
            self.file.write_text(me)
        if self.file.exists() and self.file.read_text() == me:
            return failed_result("RuntimeError: CUDA error: an illegal memory access was encountered")
        return super().run(config)


class Endless(Total):
    """One option never comes back."""

    def run(self, config: Mapping[str, Any]) -> dict[str, Any]:
        while config["arch"]["width_0"] == 16:
            time.sleep(0.01)
        return super().run(config)


@pytest.mark.usefixtures("ray_cluster")
def test_a_sick_actor_leaves_and_costs_nothing(tmp_path: Path) -> None:
    configs = [SPACE.to_config(arch) for arch in ARCHS]
    with ActorPool(SickOnce(tmp_path / "sick"), {"cpu": 0.5}, workers=2) as pool:
        pool._per_call = 3
        results = list(pool.results(configs))
    assert (tmp_path / "sick").exists()
    assert [result["failed"] for result in results] == [0] * len(configs)


class Unready:
    """Cannot be loaded where it should score."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise ImportError("no module named mine")


@pytest.mark.usefixtures("ray_cluster")
def test_actors_that_cannot_start_end_the_scoring() -> None:
    pool = ActorPool(Unready(), {"cpu": 0.5}, workers=1)  # type: ignore[arg-type]
    with pool, pytest.raises(RaynasError, match=r"actors that score cannot start: .*no module named mine"):
        list(pool.results([SPACE.to_config(ARCHS[0])]))


@pytest.mark.usefixtures("ray_cluster")
def test_no_room_for_an_actor_is_said_at_once() -> None:
    for workers in (None, 1):
        with pytest.raises(RaynasError, match="no node has room"):
            ActorPool(Total(), {"cpu": 3}, workers)


@pytest.mark.usefixtures("ray_cluster")
def test_a_config_that_takes_too_long_fails_alone() -> None:
    configs = [SPACE.to_config(arch) for arch in ARCHS[4:12]]
    with ActorPool(Endless(), {"cpu": 0.5}, workers=1, max_seconds=2.5) as pool:
        pool._per_call = 4
        results = list(pool.results(configs))
    errors = {result["error"] for result in results if result["failed"]}
    assert [result["failed"] for result in results] == [config["arch"]["width_0"] == 16 for config in configs]
    assert errors == {"took longer than max_trial_seconds=2.5"}


@pytest.mark.usefixtures("ray_cluster")
def test_time_of_the_driver_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that waits for the driver is not late."""
    configs = [SPACE.to_config(arch) for arch in ARCHS[:6]]
    with ActorPool(Total(), {"cpu": 0.5}, workers=1, max_seconds=1000) as pool:
        results = pool.results(configs)
        next(results)
        calls = [ref for worker in pool._workers for ref in worker.calls]
        assert calls and ray.wait(calls, num_returns=len(calls), timeout=60)[0]
        now = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: now() + 2000)
        assert not any(result["failed"] for result in results)
