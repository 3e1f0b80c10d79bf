from pathlib import Path
from typing import Any

import pytest
from ray import tune

from raynas.run.tuner import _run_config, run_trials
from raynas.strategies import Asha, RandomSearch
from raynas.testing import ToySpace
from raynas.trials import ZeroCost


class Saving(tune.Trainable):
    def save_checkpoint(self, checkpoint_dir: str) -> None:
        return None


def run_in_bulk(path: Path, strategy: RandomSearch, **run_config: Any) -> None:
    """Fail before Ray starts, if at all."""
    run_trials(
        strategy.searcher(ToySpace(), costs={}),
        ZeroCost(proxies=["synflow"]),
        strategy,
        num_samples=1,
        max_concurrent=1,
        path=path,
        run_config=tune.RunConfig(**run_config),
        progress=False,
        tensorboard=False,
    )


def test_the_users_run_config_is_kept(tmp_path: Path) -> None:
    mine, ours = tune.Callback(), tune.Callback()
    checkpoints = tune.CheckpointConfig(num_to_keep=3)
    given = tune.RunConfig(
        stop={"accuracy": 1}, callbacks=[mine], checkpoint_config=checkpoints, failure_config=tune.FailureConfig(2)
    )
    config = _run_config(given, tmp_path / "search", Saving, [ours])
    assert (config.name, config.storage_path) == ("search", str(tmp_path))
    assert config.callbacks == [mine, ours]
    assert (config.stop, config.checkpoint_config) == ({"accuracy": 1}, checkpoints)
    assert config.failure_config is not None and config.failure_config.max_failures == 2


@pytest.mark.parametrize(("cls", "frequency"), [(Saving, 1), (tune.Trainable, 0)])
def test_checkpoints_are_for_trainables_that_save(tmp_path: Path, cls: type[tune.Trainable], frequency: int) -> None:
    config = _run_config(tune.RunConfig(), tmp_path / "search", cls, [])
    assert config.checkpoint_config is not None
    assert config.checkpoint_config.checkpoint_frequency == frequency
    assert config.checkpoint_config.checkpoint_at_end is False


@pytest.mark.parametrize(
    ("strategy", "run_config", "name"),
    [
        (RandomSearch(early_stopping=Asha()), {}, "early_stopping"),
        (RandomSearch(), {"stop": {"accuracy": 1}}, "stop"),
        (RandomSearch(), {"callbacks": [tune.Callback()]}, "callbacks"),
    ],
)
def test_bulk_refuses_settings_of_tune_trials(
    tmp_path: Path, strategy: RandomSearch, run_config: dict[str, Any], name: str
) -> None:
    with pytest.raises(ValueError, match=rf"which {name} needs; use bulk=0"):
        run_in_bulk(tmp_path, strategy, **run_config)
