"""The user's ``RunConfig``: what of it a search carries through to Tune, and what it refuses."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from ray import tune

from raynas.errors import SettingError
from raynas.run.stop_criteria import StopCriteria, stopper_of
from raynas.run.user_callbacks import UserCallbacks

CARRIED = frozenset(
    ("callbacks", "checkpoint_config", "log_to_file", "progress_reporter", "stop", "sync_config", "verbose")
)
"""Settings that reach Tune as they are."""

OWN = frozenset(("failure_config", "name", "storage_filesystem", "storage_path"))
"""Settings that raynas itself carries out."""


def checked_run_config(run_config: object) -> tune.RunConfig:
    """Return a run config all of whose settings are carried out; one without settings for None.

    Raises:
        SettingError: if it is no ``ray.tune.RunConfig``, or a setting cannot be carried out.
    """
    given = tune.RunConfig() if run_config is None else run_config
    if not isinstance(given, tune.RunConfig):
        raise SettingError(f"run_config must be a ray.tune.RunConfig, got {given!r}")
    for name in changed(given):
        if name not in CARRIED | OWN:
            raise SettingError(f"{name} of the run config cannot be carried out: raynas does not know it")
    stopper_of(given.stop)
    for callback in given.callbacks or ():
        if not isinstance(callback, tune.Callback):
            raise SettingError(f"callbacks of the run config must be instances of ray.tune.Callback, got {callback!r}")
    return given


def changed(given: tune.RunConfig) -> list[str]:
    """Return the names of the settings that are not Tune's defaults."""
    usual = type(given)()
    return [f.name for f in fields(given) if getattr(given, f.name) not in (None, getattr(usual, f.name), [], {})]


def check_bulk(given: tune.RunConfig, early_stopping: object) -> None:
    """Refuse settings without effect: in bulk there are neither Tune trials nor intermediate reports.

    Raises:
        SettingError: if there is one.
    """
    for name in [*(["early_stopping"] if early_stopping else []), *sorted(CARRIED.intersection(changed(given)))]:
        raise SettingError(f"architectures scored in bulk are no Tune trials, which {name} needs; use bulk=0")


def keeps_all(given: tune.RunConfig) -> bool:
    """Return whether the user says which checkpoints are written and kept."""
    return "checkpoint_config" in changed(given)


def shows_tune(given: tune.RunConfig) -> bool:
    """Return whether the user asks for Tune's own output."""
    return bool({"progress_reporter", "verbose"}.intersection(changed(given)) and given.verbose)


def for_tune(
    given: tune.RunConfig, path: Path, cls: type[tune.Trainable], stop: StopCriteria, callbacks: list[tune.Callback]
) -> tune.RunConfig:
    """Add raynas's parts to the user's run config, and fast settings where the user sets nothing.

    Args:
        given: checked.
        path: the search's folder.
        cls: the trainable.
        stop: made of the user's criteria.
        callbacks: raynas's; the user's come before them.
    """
    saves = cls.save_checkpoint is not tune.Trainable.save_checkpoint
    own = tune.CheckpointConfig(checkpoint_frequency=int(saves), checkpoint_at_end=False)
    settings: dict[str, Any] = {name: getattr(given, name) for name in CARRIED}
    if given.log_to_file and "sync_config" not in changed(given):
        settings["sync_config"] = tune.SyncConfig(sync_artifacts=True)  # otherwise the files stay on their nodes
    return tune.RunConfig(
        **{
            **settings,
            "name": path.name,
            "storage_path": str(path.parent),
            "checkpoint_config": given.checkpoint_config if keeps_all(given) else own,
            "stop": stop,
            "callbacks": [*([UserCallbacks(given.callbacks, stop.fail)] if given.callbacks else []), *callbacks],
            "verbose": given.verbose if shows_tune(given) else 0,
            "failure_config": tune.FailureConfig(
                max_failures=(given.failure_config or tune.FailureConfig()).max_failures
            ),
        }
    )
