"""Experiment trackers, written from the archive: a parent run for the search, a child run for each trial that ended.

A tracker holds a copy. Nothing is sent at the moment it happens, when a kill would lose it: what an archive has and a
tracker lacks is written at intervals, at the end, and by ``raynas track`` at any later time. Names and fingerprints
make that safe to repeat: no run is ever there twice.
"""

from raynas.views.trackers.log import TrackerCallback, track
from raynas.views.trackers.mlflow_runs import MLflow
from raynas.views.trackers.table import TRACKERS, Trackers, as_trackers
from raynas.views.trackers.tracker import Tracker, what_is_missing
from raynas.views.trackers.wandb_runs import WeightsAndBiases

__all__ = [
    "TRACKERS",
    "MLflow",
    "Tracker",
    "TrackerCallback",
    "Trackers",
    "WeightsAndBiases",
    "as_trackers",
    "track",
    "what_is_missing",
]
