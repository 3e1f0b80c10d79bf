"""Settings of a ``RunConfig``: each is carried out or refused, none is ignored."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune import CLIReporter

from raynas.errors import SettingError
from raynas.run.run_config import CARRIED, OWN, check_bulk, checked_run_config, for_tune, keeps_all, shows_tune
from raynas.run.stop_criteria import StopCriteria
from raynas.run.user_callbacks import UserCallbacks
from raynas.strategies import Asha


class Saving(tune.Trainable):
    def save_checkpoint(self, checkpoint_dir: str) -> None:
        return None


def carried(path: Path, cls: type[tune.Trainable] = Saving, **settings: Any) -> tune.RunConfig:
    given = checked_run_config(tune.RunConfig(**settings))
    return for_tune(given, path / "search", cls, StopCriteria(given.stop), [])


def test_every_setting_of_tune_has_its_place() -> None:
    """``local_dir`` is refused by Tune itself."""
    assert {field.name for field in fields(tune.RunConfig)} == CARRIED | OWN | {"local_dir"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("checkpoint_config", tune.CheckpointConfig(num_to_keep=3)),
        ("log_to_file", ("out.txt", "err.txt")),
        ("progress_reporter", CLIReporter()),
        ("sync_config", tune.SyncConfig(sync_period=7)),
        ("verbose", 2),
    ],
)
def test_a_setting_reaches_tune_as_it_is(tmp_path: Path, name: str, value: Any) -> None:
    assert getattr(carried(tmp_path, **{name: value}), name) == value


def test_the_users_callbacks_come_first_and_the_folder_is_the_searchs(tmp_path: Path) -> None:
    mine, ours = tune.Callback(), tune.Callback()
    config = for_tune(tune.RunConfig(callbacks=[mine]), tmp_path / "search", Saving, StopCriteria(), [ours])
    assert config.callbacks is not None and config.callbacks[1:] == [ours]
    users = config.callbacks[0]
    assert isinstance(users, UserCallbacks) and [users[i] for i in range(len(users))] == [mine]
    assert (config.name, config.storage_path) == ("search", str(tmp_path))


def test_stop_is_asked_through_the_criteria(tmp_path: Path) -> None:
    stop = carried(tmp_path, stop={"accuracy": 0.5}).stop
    assert isinstance(stop, StopCriteria) and stop("1", {"accuracy": 0.6})


@pytest.mark.parametrize(("cls", "frequency"), [(Saving, 1), (tune.Trainable, 0)])
def test_checkpoints_are_for_trainables_that_save(tmp_path: Path, cls: type[tune.Trainable], frequency: int) -> None:
    config = carried(tmp_path, cls)
    assert config.checkpoint_config is not None
    assert config.checkpoint_config.checkpoint_frequency == frequency
    assert config.checkpoint_config.checkpoint_at_end is False
    assert not keeps_all(tune.RunConfig()) and keeps_all(tune.RunConfig(checkpoint_config=tune.CheckpointConfig(2)))


def test_files_of_output_come_back_from_their_nodes(tmp_path: Path) -> None:
    assert carried(tmp_path, log_to_file=True).sync_config.sync_artifacts  # type: ignore[union-attr]
    chosen = tune.SyncConfig(sync_period=7)
    assert carried(tmp_path, log_to_file=True, sync_config=chosen).sync_config == chosen


@pytest.mark.parametrize(
    ("settings", "shown", "verbose"),
    [
        *(({}, False, 0), ({"verbose": 0}, False, 0), ({"verbose": 3}, True, 3)),
        ({"progress_reporter": CLIReporter()}, True, tune.RunConfig().verbose),
    ],
)
def test_tunes_own_output_is_shown_where_it_is_asked_for(
    tmp_path: Path, settings: dict[str, Any], shown: bool, verbose: int
) -> None:
    assert shows_tune(tune.RunConfig(**settings)) is shown
    assert carried(tmp_path, **settings).verbose == verbose


@dataclass
class Newer(tune.RunConfig):
    """The run config of some later Tune."""

    colour: str | None = None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Newer(colour="red"), "colour of the run config cannot be carried out: raynas does not know it"),
        (tune.RunConfig(stop="accuracy"), "stop of the run config must be"),  # type: ignore[arg-type]
        (tune.RunConfig(callbacks=[tune.Callback]), "instances of ray.tune.Callback, got <class"),  # type: ignore[list-item]
        ({"stop": {"accuracy": 1}}, "run_config must be a ray.tune.RunConfig, got {'stop'"),
        ("results", "run_config must be a ray.tune.RunConfig, got 'results'"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(given: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        checked_run_config(given)


def test_what_is_not_set_is_fine() -> None:
    for given in (None, tune.RunConfig(), Newer(), tune.RunConfig(callbacks=[], stop={})):
        checked_run_config(given)


@pytest.mark.parametrize(
    ("settings", "early_stopping", "name"),
    [
        ({}, Asha(), "early_stopping"),
        ({"stop": {"accuracy": 1}}, None, "stop"),
        ({"callbacks": [tune.Callback()]}, None, "callbacks"),
        ({"log_to_file": True}, None, "log_to_file"),
    ],
)
def test_bulk_refuses_settings_of_tune_trials(settings: dict[str, Any], early_stopping: Any, name: str) -> None:
    check_bulk(tune.RunConfig(name="x"), None)
    with pytest.raises(SettingError, match=rf"which {name} needs; use bulk=0"):
        check_bulk(tune.RunConfig(**settings), early_stopping)
