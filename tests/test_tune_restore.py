"""A user's own Tuner with a raynas searcher is killed, and restored by ``Tuner.restore``."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from raynas.search_spaces import CNN
from raynas.strategies import RegularizedEvolution
from tests import own_cluster

SPACE = CNN(input_shape=(1, 8, 8))


class Slow(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.arch = SPACE.from_config(config)

    def step(self) -> dict[str, Any]:
        time.sleep(0.7)
        return {"accuracy": len(self.arch) / 50, "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True


def first(folder: str) -> None:
    """The user's script, up to the kill."""
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "1"
    strategy = RegularizedEvolution(population_size=2, tournament_size=2)
    tune.Tuner(
        Slow,
        tune_config=strategy.tune_config(SPACE, num_samples=8),
        run_config=tune.RunConfig(
            name="users", storage_path=folder, checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False)
        ),
    ).fit()


@pytest.mark.own_cluster
def test_a_raynas_searcher_survives_tuner_restore(ray_cluster: None, tmp_path: Path) -> None:
    """It goes on with its memory, in another process."""
    users = tmp_path / "users"
    with own_cluster.running(__file__, "first", tmp_path) as killed:
        own_cluster.wait_until(lambda: n_finished(users) >= 3, killed)
    assert 3 <= n_finished(users) < 8
    results: Any = tune.Tuner.restore(str(users), Slow).fit()
    architectures = {SPACE.from_config(result.config) for result in results}
    assert len(results) == len(architectures) == 8 and not results.errors


def n_finished(folder: Path) -> int:
    """Return the number of trials that Tune's newest snapshot holds as terminated."""
    snapshots = sorted(folder.glob("experiment_state-*.json"))
    return snapshots[-1].read_text().count("TERMINATED") if snapshots else 0
