"""replay_scheduler(): a scheduler of Tune's lives through the recorded trials of a search."""

import math
from collections.abc import Callable, Iterable, Mapping

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from raynas.core.archive import Record
from raynas.core.outcome import Result, as_result
from raynas.run.lost_trials import SearchTrial
from raynas.run.no_controller import NO_CONTROLLER


def replay_scheduler(
    scheduler: TrialScheduler,
    records: Iterable[Record],
    unfinished: Mapping[str, Trial],
    watch: Callable[[str, Result], object] = lambda trial, result: None,
) -> None:
    """Let a fresh scheduler live through the recorded trials.

    Args:
        scheduler: a fresh one.
        records: of the archive.
        unfinished: the trials that continue, by name. Of their reports only those up to their checkpoint are replayed;
            Tune adds the trial again when it starts. A report that was recorded twice, because a session was killed
            between the report and the checkpoint, counts once.
        watch: called with the trial and the result of each report that is replayed, also the last ones.
    """
    metric: str = getattr(scheduler, "_metric", None) or ""
    trials: dict[str, Trial] = {}
    seen: dict[str, int] = {}
    kept = {name: _epochs_kept(trial) for name, trial in unfinished.items()}
    for record in records:
        name = record.get("trial", "")
        if record["event"] == "proposed":
            trials[name] = unfinished.get(name) or Trial("raynas", trial_id=name, stub=True)
            scheduler.on_trial_add(NO_CONTROLLER, trials[name])
        elif name not in trials:
            continue
        elif record["event"] == "result":
            if seen.get(name, 0) < record["fidelity"] <= kept.get(name, math.inf):
                seen[name] = record["fidelity"]
                _report(scheduler, trials[name], {metric: math.nan, **as_result(record)})
                watch(name, as_result(record))
        elif record["event"] == "ended":
            if record["status"] != "failed":
                watch(name, as_result(record))
            _end(scheduler, trials[name], record, {metric: math.nan, **as_result(record)})


def _epochs_kept(unfinished: Trial) -> int:
    """Return the number of epochs that a trial does not report again; 0 for one that begins again."""
    return unfinished.n_reported if isinstance(unfinished, SearchTrial) else 0


def _report(scheduler: TrialScheduler, trial: Trial, result: Result) -> None:
    scheduler.on_trial_result(NO_CONTROLLER, trial, result)
    # The record is valid also under a rule that would have stopped the trial: the median rule, if it was not the rule
    # back then or saw other reports, would raise at the next report.
    getattr(scheduler, "_stopped_trials", set()).discard(trial)


def _end(scheduler: TrialScheduler, trial: Trial, record: Record, result: Result) -> None:
    if record["status"] == "failed" and not record["fidelity"]:  # it raised: Tune has no result then
        scheduler.on_trial_error(NO_CONTROLLER, trial)
        return
    if record["status"] == "stopped":
        _report(scheduler, trial, result)
    scheduler.on_trial_complete(NO_CONTROLLER, trial, result)
