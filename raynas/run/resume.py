"""ArchivedSearch: how ``raynas.search`` feeds Tune, so that a search can be killed anywhere and run again.

Tune restores no scheduler and can fail silently (ray-project/ray issue 30838). Here nothing of Tune's is restored: a
new run replays the archive into a fresh searcher and a fresh scheduler, and starts the unfinished trials again under
their old names from their last checkpoints. ``Trial`` objects are made directly, not through Tune's argument parser.
"""

import json
import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ray.tune.experiment import Experiment, Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import SearchAlgorithm, Searcher
from ray.tune.utils import flatten_dict

from raynas.core.archive import Archive, Record
from raynas.core.outcome import as_result
from raynas.core.searcher import ArchitectureSearcher
from raynas.run.no_controller import NO_CONTROLLER
from raynas.trials.checkpoint import CHECKPOINT_KEY


class ArchivedSearch(SearchAlgorithm):
    """Hands Tune the trials that a searcher proposes, at most ``num_samples`` in all sessions together.

    Args:
        searcher: proposes and records; already replayed.
        scheduler: gets the archive's trials replayed when the experiment is set up.
        num_samples: how many trials the search has in the end.
        max_concurrent: how many may run at a time.
    """

    def __init__(
        self, searcher: ArchitectureSearcher, scheduler: TrialScheduler, *, num_samples: int, max_concurrent: int
    ) -> None:
        self.searcher = searcher
        self.scheduler = scheduler
        self.num_samples = num_samples
        self.max_concurrent = max_concurrent
        self._n_proposed = len(searcher.archive.events("proposed"))
        self._last_number = last_number(searcher.archive)
        self._live: set[str] = set()
        self._unfinished: list[Trial] = []
        self._spec: dict[str, Any] = {}

    @property
    def metric(self) -> Any:
        """The metric or metrics that every result must hold."""
        return self.searcher.metric

    @property
    def total_samples(self) -> int:
        """How many trials the search has in the end."""
        return self.num_samples

    def add_configurations(self, experiments: Experiment | list[Experiment] | dict[str, dict[str, Any]]) -> None:
        """Take over the experiment's settings and bring back what an earlier session left unfinished."""
        experiment = experiments[0] if isinstance(experiments, list) else experiments
        assert isinstance(experiment, Experiment)
        self._spec = experiment.spec
        records = list(self.searcher.archive)
        self._unfinished = [self._trial_again(t, r) for t, r in self.searcher.archive.unfinished().items()]
        replay_scheduler(self.scheduler, records, {trial.trial_id: trial for trial in self._unfinished})

    def next_trial(self) -> Trial | None:
        """The next trial to run, or None while there is none."""
        if len(self._live) >= self.max_concurrent:
            return None
        if self._unfinished:
            return self._launch(self._unfinished.pop(0))
        if self._n_proposed >= self.num_samples:
            self.set_finished()
            return None
        trial_id = f"{self._last_number + 1:05d}"
        config = self.searcher.suggest(trial_id)
        if config == Searcher.FINISHED:
            self.set_finished()
        if not isinstance(config, dict):
            return None
        self._n_proposed += 1
        self._last_number += 1
        return self._launch(self._trial(trial_id, config))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass a report on."""
        self.searcher.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass an end on."""
        self._live.discard(trial_id)
        self.searcher.on_trial_complete(trial_id, result, error)

    def _launch(self, trial: Trial) -> Trial:
        self._live.add(trial.trial_id)
        return trial

    def _trial(self, trial_id: str, config: dict[str, Any]) -> Trial:
        spec = self._spec
        return Trial(
            spec["run"],
            config={**spec["config"], **config},
            trial_id=trial_id,
            storage=spec["storage"],
            evaluated_params=flatten_dict(config),
            experiment_tag=trial_id,
            placement_group_factory=spec.get("resources_per_trial"),
            stopping_criterion=spec.get("stop") or {},
            checkpoint_config=spec["checkpoint_config"],
            max_failures=spec["max_failures"],
            trial_name_creator=_name,
            trial_dirname_creator=_name,
            log_to_file=spec.get("log_to_file"),
        )

    def _trial_again(self, trial_id: str, record: Record) -> Trial:
        """An unfinished trial under its old name, from its last checkpoint if it has one."""
        epochs = [r["fidelity"] for r in self.searcher.archive.events("result") if r["trial"] == trial_id]
        directory = Path(self._spec["storage"].experiment_fs_path) / trial_id
        found = last_checkpoint(directory, max(epochs, default=0))
        return self._trial(
            trial_id, {**record["config"], **({CHECKPOINT_KEY: str(_set_aside(found[0]))} if found else {})}
        )


def last_number(archive: Archive) -> int:
    """The largest number that names a trial; 0 if there is none.

    Not how many trials there are: a line of the archive can have been lost, and no name may stand for two trials.
    """
    names = {record.get("trial", "") for record in archive}
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _set_aside(checkpoint: Path) -> Path:
    """Move a checkpoint to where Tune, which counts from zero again, does not write over it; drop the others."""
    target = checkpoint.parent / "checkpoint_resumed"
    for other in checkpoint.parent.glob("checkpoint_*"):
        if other != checkpoint:
            shutil.rmtree(other, ignore_errors=True)
    return checkpoint if checkpoint == target else checkpoint.rename(target)


def last_checkpoint(directory: Path, max_epoch: int) -> tuple[Path, int] | None:
    """The newest whole checkpoint under a trial's directory that is not ahead of what was recorded, and its epoch."""
    found = []
    for meta in directory.glob("checkpoint_*/meta.json"):
        try:
            epoch = int(json.loads(meta.read_text())["epoch"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            continue
        if epoch <= max_epoch:
            found.append((meta.parent, epoch))
    return max(found, key=lambda item: item[1], default=None)


def replay_scheduler(scheduler: TrialScheduler, records: Iterable[Record], unfinished: dict[str, Trial]) -> None:
    """Let a fresh scheduler live through the recorded trials.

    A trial that goes on has given its reports up to its checkpoint only; Tune adds it again when it starts. What it
    reported twice, because an earlier session was killed between the report and the checkpoint, counts once.
    """
    metric: str = getattr(scheduler, "_metric", None) or ""
    trials: dict[str, Trial] = {}
    seen: dict[str, int] = {}
    for record in records:
        trial_id = record.get("trial", "")
        if record["event"] == "proposed":
            trials[trial_id] = unfinished.get(trial_id) or Trial("raynas", trial_id=trial_id, stub=True)
            scheduler.on_trial_add(NO_CONTROLLER, trials[trial_id])
        elif trial_id not in trials:
            continue
        elif record["event"] == "result":
            if seen.get(trial_id, 0) < record["fidelity"] <= _epochs_kept(trials[trial_id], unfinished):
                seen[trial_id] = record["fidelity"]
                _replay_report(scheduler, trials[trial_id], {metric: math.nan, **as_result(record)})
        elif record["event"] == "ended":
            _replay_end(scheduler, trials[trial_id], record, {metric: math.nan, **as_result(record)})


def _replay_report(scheduler: TrialScheduler, trial: Trial, result: dict[str, Any]) -> None:
    scheduler.on_trial_result(NO_CONTROLLER, trial, result)
    # What happened stands, also under a rule that would have stopped the trial: the median rule, if it was not the rule
    # back then or saw other reports, would raise at the next report.
    getattr(scheduler, "_stopped_trials", set()).discard(trial)


def _replay_end(scheduler: TrialScheduler, trial: Trial, record: Record, result: dict[str, Any]) -> None:
    if record["status"] == "failed" and not record["fidelity"]:  # it raised: Tune has no result then
        scheduler.on_trial_error(NO_CONTROLLER, trial)
        return
    if record["status"] == "stopped":
        _replay_report(scheduler, trial, result)
    scheduler.on_trial_complete(NO_CONTROLLER, trial, result)


def _epochs_kept(trial: Trial, unfinished: dict[str, Trial]) -> float:
    if trial.trial_id not in unfinished:
        return math.inf
    checkpoint = trial.config.get(CHECKPOINT_KEY)
    return int(json.loads((Path(checkpoint) / "meta.json").read_text())["epoch"]) if checkpoint else 0


def _name(trial: Trial) -> str:
    """Short names: long ones break file systems and tables."""
    return str(trial.trial_id)
