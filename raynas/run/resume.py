"""ArchivedSearch: how ``raynas.search`` feeds Tune, so that a search can be killed anywhere and run again.

Tune restores no scheduler and can fail silently (ray-project/ray issue 30838). So nothing of Tune's is restored: a new
run replays the archive into a fresh searcher and a fresh scheduler, and starts the unfinished trials again under their
old names from their last checkpoints. A trial that loses its worker during a run is tried again in the same way, which
Tune's own recovery can do for some of its states only. ``Trial`` objects are made directly, not through Tune's argument
parser.
"""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Checkpoint
from ray.tune.experiment import Experiment, Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import SearchAlgorithm, Searcher
from ray.tune.utils import flatten_dict

from raynas.core.architecture import Config
from raynas.core.outcome import Result, fidelity_of
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import RaynasError, StorageError
from raynas.run.checkpoints import Checkpoints, LocalCheckpoints
from raynas.run.failure_streak import FailureStreak
from raynas.run.lost_trials import Losses, SearchTrial, full_disk_error
from raynas.run.scheduler_replay import replay_scheduler
from raynas.trials.checkpoint import CHECKPOINT_KEY


class ArchivedSearch(SearchAlgorithm):
    """Hands Tune the trials that a searcher proposes, at most ``num_samples`` in all sessions together.

    Args:
        searcher: proposes and records; already replayed.
        scheduler: lives through the archive's trials when the experiment is set up.
        num_samples: number of trials that the search has in the end.
        max_concurrent: number of trials that may run at a time, or a function that is asked for it each time; an error
            that it raises ends the search.
        check: returns the error that a result ends the search with, if any; its trial is then one that has not ended.
        watch: called with the reports of earlier sessions, as ``replay_scheduler`` does.
        streak: says when enough trials in a row have failed; by default never.
        resumes_after_errors: whether a trial that fails after a report is tried again from its last checkpoint; if that
            helps nothing, the search ends, and the trial continues there in the next.
        checkpoints: those of the trials; by default in the folder of the experiment.
    """

    def __init__(
        self,
        searcher: ArchitectureSearcher,
        scheduler: TrialScheduler,
        *,
        num_samples: int,
        max_concurrent: int | Callable[[], int],
        check: Callable[[Result | None], RaynasError | None] = lambda result: None,
        watch: Callable[[str, Result], object] = lambda trial, result: None,
        streak: FailureStreak | None = None,
        resumes_after_errors: bool = False,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.searcher = searcher
        self.scheduler = scheduler
        self._checkpoints = checkpoints
        self.num_samples = num_samples
        self.max_concurrent = max_concurrent
        self._check, self._watch = check, watch
        self._streak = streak or FailureStreak(None)
        self._resumes_after_errors = resumes_after_errors
        self._losses = Losses(searcher.archive)
        self._begun_again = {record["trial"] for record in searcher.archive.events("retried")}
        self._n_proposed = len(searcher.archive.events("proposed"))
        self._last_number = searcher.archive.last_number
        self._live: dict[str, SearchTrial] = {}
        self._unfinished: deque[SearchTrial] = deque()
        self._proposes_no_more = False
        self._spec: dict[str, Any] = {}
        self.failure: RaynasError | None = None

    @property
    def metric(self) -> str | list[str] | None:
        """The metric or metrics that every result must hold."""
        return self.searcher.metric

    @property
    def total_samples(self) -> int:
        """The number of trials that the search has in the end."""
        return self.num_samples

    def add_configurations(self, experiments: Experiment | list[Experiment] | dict[str, Config]) -> None:
        """Take over the experiment's settings and bring back the trials that an earlier session left unfinished."""
        experiment = experiments[0] if isinstance(experiments, list) else experiments
        assert isinstance(experiment, Experiment)
        self._spec = experiment.spec
        folder = Path(self._spec["storage"].experiment_fs_path)
        self._checkpoints = self._checkpoints or LocalCheckpoints(folder)
        archive = self.searcher.archive
        unfinished = {name: self.searcher.config_of(record) for name, record in archive.unfinished().items()}
        self._unfinished += [self._trial_again(name, config) for name, config in unfinished.items()]
        unfinished_now = {trial.trial_id: trial for trial in self._unfinished}
        replay_scheduler(self.scheduler, list(archive), unfinished_now, self._watch)

    def next_trial(self) -> SearchTrial | None:
        """Return the next trial to run, or None while there is none."""
        for trial_id in [trial.trial_id for trial in self._live.values() if trial.status == SearchTrial.ERROR]:
            self.on_trial_complete(trial_id, error=True)  # Tune tells nobody of one whose actor could not be reset
        if len(self._live) >= self._room():
            return None
        trial = None if self._streak.verdict else self._unfinished.popleft() if self._unfinished else self._new_trial()
        if trial is not None:
            self._live[trial.trial_id] = trial
        elif not self._live and (self._streak.verdict or self._proposes_no_more):
            self.set_finished()  # not before: a running trial may get lost, and is then the next
        return trial

    def _new_trial(self) -> SearchTrial | None:
        if self._n_proposed >= self.num_samples:
            self._proposes_no_more = True
        if self._proposes_no_more:
            return None
        trial_id = f"{self._last_number + 1:05d}"
        config = self.searcher.suggest(trial_id)
        if config == Searcher.FINISHED:
            self._proposes_no_more = True
        if not isinstance(config, dict):
            return None
        self._n_proposed += 1
        self._last_number += 1
        return self._trial(trial_id, config)

    def on_trial_result(self, trial_id: str, result: Result) -> None:
        """Hand a report to the searcher."""
        if self._is_fine(result):
            self._losses.reported(trial_id, fidelity_of(result))
            self.searcher.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: Result | None = None, error: bool = False) -> None:
        """Hand the end of a trial to the searcher, or try it again if it was lost, and make room for another."""
        trial = self._live.pop(trial_id, None)
        raised = trial if error and trial and trial.exception else None
        if full_disk := raised.full_disk if raised else _full_disk(result or {}):
            self.failure = self.failure or full_disk_error(trial_id, full_disk)
        if not self._is_fine(None if error else result):
            return
        if raised and raised.is_lost and self._losses.add(raised):
            self._again(raised, raised.checkpoint)  # of a class of the user's: in another run nobody knows who wrote it
            return
        if trial and result and result.get("failed") and fidelity_of(result) and self._resumes_after_errors:
            self._resume(trial, str(result["error"]))
            return
        if raised:
            result = {"error": self._losses.verdict(raised) if raised.is_lost else raised.reason}
        self.searcher.on_trial_complete(trial_id, result, error)
        if evaluation := self.searcher.evaluation_of(trial_id):
            self._streak.add(evaluation)

    def _resume(self, trial: SearchTrial, reason: str) -> None:
        """Let a trial continue from its last checkpoint; end the search where that was tried in vain."""
        trial.failed_because = reason
        epoch = self._losses.last_epoch(trial.trial_id)
        if self._losses.add(trial):
            self._again(trial)
        else:
            kept = f"epoch {epoch} is kept, and the same command continues from there"
            self.failure = RaynasError(f"the training failed: {reason}; {kept}")

    def _again(self, trial: SearchTrial, saved: Checkpoint | None = None) -> None:
        """Let a trial be the next; where an exception would only be taken for the trial's, it ends the search."""
        try:
            self._unfinished.appendleft(self._trial_again(trial.trial_id, trial.config, saved))
        except StorageError as error:
            self.failure = self.failure or error

    def _is_fine(self, result: Result | None) -> bool:
        """Return whether the search continues: after a failure nothing is recorded."""
        self.failure = self.failure or self._check(result)
        return self.failure is None

    def is_finished(self) -> bool:
        """Return whether there are no more trials.

        Raises:
            RaynasError: if the check has failed, or a disk is full. Tune asks in each of its steps, and where it ends a
                trial an exception would only be taken for the trial's.
        """
        if self.failure:
            raise self.failure
        return bool(super().is_finished())

    def _room(self) -> int:
        """Return the number of trials that may run now; none where the cluster is lost, which ends the search."""
        try:
            return self.max_concurrent if isinstance(self.max_concurrent, int) else self.max_concurrent()
        except RaynasError as error:
            self.failure = self.failure or error
            return 0

    def _trial(self, trial_id: str, config: Config) -> SearchTrial:
        spec = self._spec
        assert self._checkpoints is not None
        storage = self._checkpoints.storage(spec["storage"])
        trial = SearchTrial(
            spec["run"],
            config={**spec["config"], **config},
            trial_id=trial_id,
            storage=storage,
            evaluated_params=flatten_dict(config),
            experiment_tag=trial_id,
            placement_group_factory=spec.get("resources_per_trial"),
            stopping_criterion=spec.get("stop") or {},
            checkpoint_config=spec["checkpoint_config"],
            max_failures=spec["max_failures"],
            trial_name_creator=_short_name,
            trial_dirname_creator=_short_name,
            log_to_file=spec.get("log_to_file"),
        )
        trial.experiment_storage = spec["storage"] if storage is not spec["storage"] else None
        return trial

    def _trial_again(self, trial_id: str, config: Config, saved: Checkpoint | None = None) -> SearchTrial:
        """Make an unfinished trial again under its old name, from its last checkpoint if it has one."""
        assert self._checkpoints is not None
        n_reported = self._losses.last_epoch(trial_id)
        found = self._checkpoints.to_resume(trial_id, n_reported, restarted=trial_id in self._begun_again)
        config = {name: value for name, value in config.items() if name != CHECKPOINT_KEY}
        if found and found.name:
            config[CHECKPOINT_KEY] = found.name
        trial = self._trial(trial_id, config)
        if found:
            trial.n_reported = found.n_reported
            trial.number_after(found.last_index)
        elif saved:
            trial.restore_from(saved)
        return trial


def _full_disk(result: Result) -> str:
    return str(result["error"]) if result.get("out_of_disk") else ""


def _short_name(trial: Trial) -> str:
    """Name folders and tables by the trial alone: Tune's long names break file systems."""
    return str(trial.trial_id)
