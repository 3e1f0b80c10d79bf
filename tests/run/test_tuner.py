from pathlib import Path
from typing import Any

import pytest
from ray import tune

from raynas.run.run_settings import RunSettings
from raynas.run.tuner import run_trials
from raynas.strategies import Asha, RandomSearch
from raynas.testing import ToySpace
from raynas.trials import ZeroCost


def run_in_bulk(path: Path, strategy: RandomSearch, **run_config: Any) -> None:
    """Fail before Ray starts, if at all."""
    run_trials(
        strategy.searcher(ToySpace(), costs={}),
        ZeroCost(proxies=["synflow"]),
        strategy,
        RunSettings(
            num_samples=1,
            max_concurrent=1,
            progress=False,
            tensorboard=False,
            run_config=tune.RunConfig(**run_config),
        ),
        path,
    )


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
