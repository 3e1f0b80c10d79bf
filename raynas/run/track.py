"""track(): an earlier search, written to experiment trackers from its folder."""

from pathlib import Path

from raynas.errors import SettingError
from raynas.run.stored_result import stored_result
from raynas.views.trackers import Trackers, as_trackers
from raynas.views.trackers import track as track_result


def track(path: str | Path, trackers: Trackers) -> None:
    """Write the search in a folder to trackers, or what of it is missing there; no run is ever there twice.

    Args:
        path: the folder of the search, finished, interrupted or still running.
        trackers: by name ("mlflow", "wandb"), or settings such as ``MLflow(experiment="cells")`` of
            ``raynas.views.trackers``.

    Raises:
        ArchiveError: if the folder holds no search, or its archive is damaged.
        RaynasError: if a tracker is unknown, is not installed, or does not answer.
    """
    chosen = as_trackers(trackers)
    if not chosen:
        raise SettingError("trackers is empty: name one, such as mlflow")
    result = stored_result(Path(path))
    for tracker in chosen:
        track_result(result, tracker)
