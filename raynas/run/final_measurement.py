"""measure_at_end(): the winner and the Pareto front of a search, measured at its end on what will run them."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.final_metrics import limits_at_end, measured_at_end, unmeasured
from raynas.core.goal import Goal
from raynas.core.measurement import provenance_of
from raynas.core.metric import Metric
from raynas.core.result import SearchResult
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, one_line
from raynas.run.cluster import start_ray
from raynas.run.final_stage import record_each
from raynas.trials.settings import TrialSettings
from raynas.views.report import broken_at_end

logger = logging.getLogger(__name__)

MAX_MEASURED = 20
"""Maximum number of networks that are measured at the end of a search, if one of them meets the hard limits."""

MAX_UNTIL_ONE_COMPLIES, N_AT_ONCE = 200, 10
"""Maximum number of networks that are measured until one meets the hard limits, and number of them beyond
``MAX_MEASURED`` in one process. If none does, the search has no result: what was not measured is not believed."""

N_PROCESSES = 2
"""Number of fresh processes that measure each network where the goal has a hard limit; the worst value counts.

A network at the very limit meets it in one process and breaks it in the next.
"""

MAX_PROCESSES = 4
"""Maximum number of them, where measurements are doubtful: the machine may be busy for a while."""

Values = dict[str, float]


def measure_at_end(result: SearchResult, settings: TrialSettings) -> None:
    """Measure the winner and the Pareto front of a search that has ended, and record the values.

    They replace those of the trials in ``result``. Where the winner then breaks a hard limit, or others are on the
    front, these are measured too, ``MAX_MEASURED`` at most for the same trials, over all sessions; or up to
    ``MAX_UNTIL_ONE_COMPLIES`` while each breaks a limit. A failure costs a warning; the next session tries again.

    Args:
        result: of the search; its archive is open.
        settings: the way of scoring, which says where and how trials measure.
    """
    tried = _measured_since_the_last_trial(result)
    while due := finalists(result, tried)[: _room(result, len(tried))]:
        if not record_each(result, "measured", _measured(due, result, settings)):
            return
        tried |= {e.trial for e in due}
    for note in broken_at_end(result):
        logger.warning("%s", note)


def _room(result: SearchResult, n_tried: int) -> int:
    """Return the number of networks that may be measured next."""
    if n_tried < MAX_MEASURED:
        return MAX_MEASURED - n_tried
    has_result = not result.broken_at_end or bool(result.pareto_front())
    return 0 if has_result else min(N_AT_ONCE, max(MAX_UNTIL_ONE_COMPLIES - n_tried, 0))


def finalists(result: SearchResult, tried: Iterable[str] = ()) -> list[Evaluation]:
    """Return the evaluations that are still to be measured at the end: the winner, then the front.

    Of one objective, the front is that against each metric of a limit that is measured at the end.

    Args:
        result: of the search.
        tried: trials that are left out.
    """
    goal, full = result.goal, result.full
    if not measured_at_end(goal):
        return []
    fronts = [goal.pareto_front(full)]
    for name, metric in measured_at_end(goal).items():
        pair = [f"{goal.first.mode}:{goal.first.metric}", f"{metric.mode}:{name}"]
        fronts.append(Goal.parse(pair, goal.constraints, goal.metrics).pareto_front(full))
    best_first = {e.trial: e for front in fronts for e in front}
    return [e for trial, e in best_first.items() if trial not in {*tried} and unmeasured(goal, e)]


def _measured_since_the_last_trial(result: SearchResult) -> set[str]:
    trials: set[str] = set()
    for record in result.archive:
        if record["event"] == "ended":
            trials = set()
        elif record["event"] == "measured" and not record["error"]:
            trials.add(record["trial"])
    return trials


def _measured(
    due: Sequence[Evaluation], result: SearchResult, settings: TrialSettings
) -> Iterator[Mapping[str, object]]:
    """Measure networks in fresh processes; yield trial, values as metrics, and the error if there are none."""
    start_ray()
    goal, space = result.goal, result.space.architecture_space
    n_processes = N_PROCESSES if limits_at_end(goal) else 1
    asked = ray.put((space, settings, dict(measured_at_end(goal))))
    found: dict[str, list[Values]] = {e.trial: [] for e in due}
    errors: dict[str, str] = {}
    for _ in range(MAX_PROCESSES):
        open_ones = [e for e in due if e.trial not in errors and sum(map(_reliable, found[e.trial])) < n_processes]
        if not open_ones:
            break
        with _fresh_process(settings) as process:
            calls = {e.trial: process.measure.remote(asked, e.arch, unmeasured(goal, e)) for e in open_ones}
            for trial, call in calls.items():
                values, error = ray.get(call)
                found[trial].append(values)
                errors |= {trial: error} if error else {}
    for trial, measurements in found.items():
        error = errors.get(trial, "")
        yield {"trial": trial, "metrics": {} if error else chosen(measurements, goal), "error": error}


def chosen(measurements: Sequence[Values], goal: Goal) -> Values:
    """Return the worst of the reliable measurements of a network; of doubtful ones alone the best, still doubtful.

    A disturbance makes a figure worse, as a rule.
    """
    reliable = [values for values in measurements if _reliable(values)]
    worst_of, best_of = {"min": max, "max": min}, {"min": min, "max": max}
    of, among = (worst_of, reliable) if reliable else (best_of, measurements)
    return {
        name: of[measured_at_end(goal)[name].mode]((values[name] for values in among), key=float)
        for name in measurements[0]
    }


def _reliable(values: Values) -> bool:
    return all(provenance.reliable for provenance in provenance_of(values).values())


@contextmanager
def _fresh_process(settings: TrialSettings) -> Iterator[Any]:
    """Give an actor with the resources of a trial, which ends afterwards."""
    resources = dict(settings.resources)
    actor: Any = (
        ray.remote(FinalMeasurement)
        .options(num_cpus=resources.pop("cpu", 0), num_gpus=resources.pop("gpu", 0), resources=resources)
        .remote()
    )
    try:
        yield actor
    finally:
        ray.kill(actor)


class FinalMeasurement:
    """Measures networks as trials do, in a process that did nothing else."""

    def measure(
        self, asked: tuple[SearchSpace, TrialSettings, Mapping[str, Metric]], arch: Architecture, names: Sequence[str]
    ) -> tuple[Values, str]:
        """Return the values of metrics, and the reason if there are none.

        Args:
            asked: space, settings of the trials, and metrics by name.
            arch: the network.
            names: of the metrics.
        """
        space, settings, metrics = asked
        try:
            costs = settings.costs(space, {name: metrics[name] for name in names})
            if missing := [name for name in names if name not in costs]:
                raise RaynasError(f"{missing[0]} cannot be measured there")
            return {name: costs[name](arch) for name in names}, ""
        except Exception as error:
            return {}, one_line(error)
