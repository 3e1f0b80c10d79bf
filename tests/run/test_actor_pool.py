"""A pool of actors: whatever dies, every config gets its result, in order."""

import os
from collections.abc import Mapping
from typing import Any

import pytest

from raynas.run.actor_pool import ActorPool
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
