"""The trackers by name."""

from collections.abc import Callable, Mapping, Sequence

from raynas.errors import SettingError, UnknownNameError
from raynas.views.trackers.mlflow_runs import MLflow
from raynas.views.trackers.tracker import Tracker
from raynas.views.trackers.wandb_runs import WeightsAndBiases

TRACKERS: Mapping[str, Callable[[], Tracker]] = {"mlflow": MLflow, "wandb": WeightsAndBiases}
"""Trackers by the name that ``--trackers`` takes."""

Trackers = str | Tracker | Sequence[str | Tracker]
"""One or several trackers, by name or as settings."""


def as_trackers(trackers: Trackers) -> list[Tracker]:
    """Return trackers, given by name (their environment variables say the rest) or as settings.

    Raises:
        RaynasError: if one is unknown, is there twice, or is not installed.
    """
    given = [trackers] if isinstance(trackers, str) or not isinstance(trackers, Sequence) else trackers
    found = [_named(tracker) if isinstance(tracker, str) else tracker for tracker in given]
    for n, tracker in enumerate(found):
        if not all(hasattr(tracker, name) for name in ("name", "title", "check", "open")):
            raise SettingError(
                f"trackers must be names ({', '.join(TRACKERS)}) or settings such as MLflow(), got {tracker!r}"
            )
        if tracker in found[:n]:
            raise SettingError(f"trackers names {tracker.title} twice")
        tracker.check()
    return found


def _named(name: str) -> Tracker:
    if name not in TRACKERS:
        raise UnknownNameError("tracker", name, TRACKERS)
    return TRACKERS[name]()
