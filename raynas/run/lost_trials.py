"""Trials that end without failing: a worker is killed, a node is lost, a disk is full."""

import contextlib
import copy
from collections import Counter
from pathlib import Path
from typing import Any

from ray.exceptions import (
    ActorPlacementGroupRemoved,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfDiskError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    RpcError,
    WorkerCrashedError,
)
from ray.train._internal.session import _TrainingResult
from ray.train._internal.storage import StorageContext
from ray.tune import Checkpoint
from ray.tune.experiment import Trial

from raynas.core.archive import Archive
from raynas.errors import RaynasError, StorageError, one_line
from raynas.run.last_checkpoint import number_of
from raynas.trials.failures import is_out_of_disk, reason_of, reason_of_death
from raynas.trials.sick_process import SickProcessError

MAX_LOST_RUNNING = 3
"""Number of times in a row that a trial may lose the process that runs it; then it is taken to be the cause."""

MAX_LOST = 10
"""Number of times in a row that a trial may be lost in any way: with its node, or before it ran."""


_RAYS = (
    *(ActorPlacementGroupRemoved, LocalRayletDiedError, NodeDiedError, ObjectLostError, OutOfDiskError),
    *(OutOfMemoryError, RpcError, WorkerCrashedError),
)


class SearchTrial(Trial):
    """A trial of Tune's that can be tried again, and keeps its last exception, which Tune only writes to a file."""

    exception: Exception | None = None

    n_reported: int = 0
    """Number of epochs that the trial does not report again; 0 if it begins again."""

    has_run: bool = False
    """True as soon as a process was there to run it."""

    killed_because: str = ""
    """Reason for which the driver killed the trial's process; the trial has failed then, and is not lost."""

    experiment_storage: StorageContext | None = None
    """Tune's storage of the whole experiment, where that of the trial is in a bucket."""

    failed_because: str = ""
    """Reason for which an epoch failed, of a trial that is tried again from the one before."""

    def restore_from(self, saved: Checkpoint) -> None:
        """Let Tune restore a checkpoint before the trial runs, and number those that follow after it."""
        self._restore_checkpoint_result = _TrainingResult(checkpoint=saved, metrics={})
        self.number_after(number_of(saved.path))

    def number_after(self, last: int) -> None:
        """Let the numbers of further checkpoints follow ``last``."""
        assert self.storage is not None
        self.storage.current_checkpoint_index = last

    def init_local_path(self) -> None:
        """Use the folder of the trial's name also if it was tried before, where Tune would add another."""
        if self.storage is not None:
            self.storage.trial_dir_name = self.relative_logdir = str(self.trial_id)  # type: ignore[assignment]
        super().init_local_path()

    def set_ray_actor(self, ray_actor: Any) -> None:
        """Note that there is a process; Tune forgets it before it says why the process died."""
        self.has_run = self.has_run or ray_actor is not None
        super().set_ray_actor(ray_actor)

    def update_last_result(self, result: dict[str, Any]) -> None:
        """Keep the last result, but not Tune's statistics of each metric: nobody reads these 16 KB of a trial."""
        super().update_last_result(result)
        self.run_metadata.metric_analysis.clear()
        self.run_metadata.metric_n_steps.clear()

    def set_status(self, status: str) -> None:
        """Leave nothing of a trial that has ended but what it wrote.

        Tune makes a folder for each trial on the driver, which all go to the results, mostly empty. At the end it looks
        for the files of its loggers where the trial's are: in a bucket that takes two requests a trial.
        """
        super().set_status(status)
        if status == Trial.TERMINATED and self.storage is not None:
            with contextlib.suppress(OSError):
                Path(self.storage.trial_driver_staging_path).rmdir()
            if self.experiment_storage is not None:
                self.storage = copy.copy(self.experiment_storage)
                self.storage.trial_dir_name = str(self.trial_id)

    def get_json_state(self) -> tuple[str, str]:
        """Return nothing: nothing is restored from Tune's state, which would have 10 KB of each trial."""
        return "{}", "{}"

    def handle_error(self, exc: Any = None) -> None:
        """Keep the exception, and let Tune write it; a full disk must not end Tune."""
        self.exception = exc
        # For a trial that fails while it is saved, Tune keeps a decision to stop by its name: that would end the trial
        # that continues under this name, after its first report.
        self.temporary_state.saving_to = None
        with contextlib.suppress(OSError):
            super().handle_error(exc)

    def __getstate__(self) -> dict[str, Any]:
        # What a user's code raises may not be picklable.
        return {**super().__getstate__(), "exception": None}

    @property
    def is_lost(self) -> bool:
        """True if the exception is of Ray or a storage, not of the code that the trial ran, or a process is sick."""
        return not self.killed_because and (_is_rays(self.exception) or self._is_sick)

    @property
    def _is_sick(self) -> bool:
        return isinstance(self.exception, RayTaskError) and isinstance(self.exception.cause, SickProcessError)

    @property
    def may_be_the_cause(self) -> bool:
        """True if the process died or became sick while it ran the trial, as it does when compiled code crashes."""
        if self._is_sick or self.failed_because:
            return True
        return self.has_run and isinstance(self.exception, RayActorError) and not _lost_its_node(self.exception)

    @property
    def reason(self) -> str:
        """The reason of the failure in a line."""
        error = self.exception
        if known := self.killed_because or self.failed_because:
            return known
        if isinstance(error, RayTaskError):
            return reason_of(error.cause)
        if isinstance(error, RayActorError):
            return reason_of_death(error)
        return one_line(error) if error else "the trial was killed"

    @property
    def full_disk(self) -> str:
        """The exception in a line if a disk was full, else ""."""
        return self.reason if is_out_of_disk(self.exception) else ""


def _is_rays(error: Exception | None) -> bool:
    if isinstance(error, RayTaskError):
        return _is_rays(error.cause) or isinstance(error.cause, StorageError)
    if isinstance(error, RayActorError):
        return not error.actor_init_failed
    return isinstance(error, _RAYS)


def _lost_its_node(error: RayActorError) -> bool:
    return error.preempted or "node has died" in str(error) or "node was terminated" in str(error)


class Losses:
    """Counts how often each trial was lost since it last got further, in all sessions of a search.

    Args:
        archive: of the search; every loss is recorded there.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._lost: dict[str, Counter[bool]] = {}
        self._epochs: dict[str, int] = {}
        for record in archive:
            if record["event"] == "result":
                self.reported(record["trial"], record["fidelity"])
            elif record["event"] == "lost":
                self._of(record["trial"])[record["suspect"]] += 1

    def reported(self, trial: str, epoch: int) -> None:
        """Note a report: a trial that gets further than before was not lost in vain."""
        if epoch > self.last_epoch(trial):
            self._epochs[trial] = epoch
            self._lost.pop(trial, None)

    def last_epoch(self, trial: str) -> int:
        """Return the largest number of epochs that a trial reported; 0 if it never did."""
        return self._epochs.get(trial, 0)

    def add(self, trial: SearchTrial) -> bool:
        """Record that a trial was lost; return whether it should be tried again."""
        name, suspect = trial.trial_id, trial.may_be_the_cause
        self._archive.append("lost", trial=name, suspect=suspect, reason=trial.reason)
        self._of(name)[suspect] += 1
        return self._of(name)[True] <= MAX_LOST_RUNNING and self._of(name).total() <= MAX_LOST

    def verdict(self, trial: SearchTrial) -> str:
        """Return the reason why a trial that was lost too often has failed."""
        n = self._of(trial.trial_id).total()
        return f"its process died {n} times without getting further; the last time: {trial.reason}"

    def _of(self, trial: str) -> Counter[bool]:
        return self._lost.setdefault(trial, Counter())


def full_disk_error(trial: str, reason: str) -> RaynasError:
    """Return the error that ends a search when a disk is full."""
    return RaynasError(
        f"trial {trial} ran out of disk space: {reason}. Free some, where results or temporary files are or where "
        "your code writes, and run the same command again: everything before this is kept"
    )
