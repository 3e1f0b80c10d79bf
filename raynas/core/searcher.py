"""ArchitectureSearcher: Tune's Searcher protocol, written once for algorithms that propose and observe."""

import logging
import math
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

import numpy as np
from ray.tune.search import Searcher

from raynas.core.architecture import Architecture
from raynas.core.archive import Archive, Record
from raynas.core.goal import Evaluation, Goal, Status, metrics_of
from raynas.core.space import SearchSpace
from raynas.errors import one_line

logger = logging.getLogger(__name__)

Costs = Mapping[str, Callable[[Architecture], float]]
"""Metrics that need no training, by result key, each a function of the architecture."""


class SearcherOptions(TypedDict, total=False):
    """Optional arguments of every searcher, see ``ArchitectureSearcher``; a subclass passes them to its base."""

    seed: int
    costs: Costs | None
    points_to_evaluate: Sequence[Architecture]
    baseline: Architecture | None
    archive: Archive | None


MAX_FRUITLESS = 1000
"""How many proposals in a row may be duplicates or refused before the search ends."""


class ArchitectureSearcher(Searcher):
    """Base class of search algorithms over architectures; a subclass gives ``propose`` and ``observe``.

    It works in any ``tune.Tuner``, beside any scheduler, and survives ``Tuner.restore``. Proposals that were evaluated
    before are answered from the archive, those that break a hard constraint which needs no training are refused;
    neither costs a trial. All that happened stands in ``archive``; a searcher made with the same arguments gets into
    the same state by replaying it, which is how saving, restoring and resuming work.

    Args:
        space: what to search.
        goal: what to search for.
        seed: of the one generator that all randomness comes from.
        costs: metrics that need no training; those with a hard constraint are computed before a trial starts.
        points_to_evaluate: architectures to try first.
        baseline: an architecture to try before all others, which relative constraints are resolved against; it is never
            refused.
        archive: where to record; in memory by default.
    """

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        seed: int = 0,
        costs: Costs | None = None,
        points_to_evaluate: Sequence[Architecture] = (),
        baseline: Architecture | None = None,
        archive: Archive | None = None,
    ) -> None:
        self.space = space
        self.goal = goal or Goal()
        objectives = self.goal.objectives
        several = len(objectives) > 1
        metric: Any = [o.metric for o in objectives] if several else objectives[0].metric
        mode: Any = [o.mode for o in objectives] if several else objectives[0].mode
        super().__init__(metric=metric, mode=mode)
        self.rng = np.random.default_rng(seed)
        self.archive = archive if archive is not None else Archive()
        self.ended_because = ""
        self.n_replayed_exactly = 0
        self.costs = costs or {}
        self._baseline = space.canonical(baseline) if baseline is not None else None
        first = [self._baseline] if self._baseline is not None else []
        self._queue = deque([*first, *map(space.canonical, points_to_evaluate)])
        self._running: dict[str, Architecture] = {}
        self._known: dict[Architecture, Evaluation] = {}
        self._refused: dict[Architecture, str] = {}
        self._measured: dict[Architecture, dict[str, float]] = {}
        self._ended: dict[str, Evaluation] = {}
        self._replaying = False

    @abstractmethod
    def propose(self) -> Architecture | None:
        """The next architecture to evaluate, or None if there is none until more is observed.

        Draws only from ``self.rng``; it may be called any number of times before the next ``observe``.
        """

    @abstractmethod
    def observe(self, evaluation: Evaluation) -> None:
        """Learn from an evaluation; it may have failed (``not evaluation.ok``), be unasked for, or come twice."""

    @property
    def running(self) -> list[Architecture]:
        """The architectures whose trials have not ended, oldest first."""
        return list(self._running.values())

    def evaluation_of(self, trial_id: str) -> Evaluation | None:
        """What became of a trial; None if it has not ended."""
        return self._ended.get(trial_id)

    # --- Tune's side -------------------------------------------------------------------------------------------------

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Accept the metric that was set already; Tune asks this where its TuneConfig names one too."""
        return metric in (None, self.metric) and mode in (None, self.mode)

    def suggest(self, trial_id: str) -> Any:
        """The config of the next trial (a dict), None for "not now", or ``Searcher.FINISHED``."""
        for n_fruitless in range(MAX_FRUITLESS):
            if len(self._known) + len(self._refused) + len(self._running) >= self.space.size:
                return self._finish("every architecture of the space was tried")
            point = self._next()
            if point is None and self._running:
                if n_fruitless:
                    self._record("waited")
                return None
            if point is None:
                return self._finish("the strategy has nothing more to propose")
            if self._is_worth_a_trial(point):
                return self._start(trial_id, point)
        return self._finish(
            f"{MAX_FRUITLESS} proposals in a row were known or refused ({len(self._refused)} architectures refused, "
            f"{len(self._known)} evaluated); loosen the constraints or widen the space"
        )

    def on_trial_result(self, trial_id: str, result: dict[str, Any] | None) -> None:
        """Record what a running trial reported."""
        if trial_id in self._running and result:
            self._record("result", trial=trial_id, fidelity=fidelity_of(result), metrics=metrics_of(result))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Turn the end of a trial, however it ended, into an observation; unknown trials are left alone."""
        if trial_id not in self._running:
            return
        result = result or {}
        metrics = {**metrics_of(result), **self._costs_of(self._running[trial_id])}
        status = self._status(result, metrics, error)
        message = _reason(result, self.goal) if status == "failed" else ""
        self._end(trial_id, status, fidelity_of(result), metrics, message)

    def _end(self, trial: str, status: Status, fidelity: int, metrics: dict[str, float], error: str) -> None:
        point = self._running.pop(trial)
        self._record("ended", trial=trial, status=status, fidelity=fidelity, metrics=metrics, error=error)
        self._ended[trial] = evaluation = Evaluation(point, metrics, fidelity, status, trial, error)
        self._learn(evaluation)

    def save(self, checkpoint_path: str) -> None:
        """Write the archive; replaying it is restoring."""
        self.archive.dump(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """Get into the state in which ``save`` was called, in a searcher made with the same arguments."""
        self.archive = Archive.load(checkpoint_path)
        self.replay(self.archive)

    # --- replay ------------------------------------------------------------------------------------------------------

    def replay(self, records: Iterable[Record]) -> None:
        """Live through recorded events again, without recording them.

        The same algorithm with the same seed proposes the same architectures and ends in the same state. As soon as it
        proposes another (the strategy or the seed was changed), the rest is only observed: a warm start.
        """
        self._replaying = True
        faithful = True
        for record in list(records):
            event, trial = record["event"], record.get("trial")
            if event == "refused":
                point = self.space.from_config(record["config"])
                self._note_costs(point, record["metrics"])
                self._refused[point] = record["reason"]
            elif event == "waited" and faithful:
                faithful = self.suggest("") is None
                self._take_back("")
            elif event == "proposed":
                faithful = self._replay_proposal(record, faithful)
            elif event == "ended" and trial in self._running:
                self._end(trial, record["status"], record["fidelity"], record["metrics"], record["error"])
        self._replaying = False
        self.ended_because = ""

    def _replay_proposal(self, record: Record, faithful: bool) -> bool:
        trial, point = record["trial"], self.space.from_config(record["config"])
        self._note_costs(point, record["costs"])
        if faithful:
            self.suggest(trial)
            faithful = self._running.get(trial) == point
            self.n_replayed_exactly += faithful
            if not faithful:
                self._take_back(trial)
        self._running[trial] = point
        return faithful

    def _take_back(self, trial: str) -> None:
        """Put a proposal that was not made back then first in the queue, so that it is not lost."""
        point = self._running.pop(trial, None)
        if point is not None:
            self._queue.appendleft(point)

    def warm_start(self, evaluations: Iterable[Evaluation]) -> None:
        """Learn from evaluations of another search; they are neither recorded nor evaluated again.

        Raises:
            SpaceError: if one is of an architecture that is not a member of the space.
        """
        for e in evaluations:
            self._learn(replace(e, arch=self.space.from_config({"arch": e.arch, **e.hyperparameters})))

    # --- what is asked of every proposal -----------------------------------------------------------------------------

    def _next(self) -> Architecture | None:
        return self._queue.popleft() if self._queue else self.propose()

    def _is_worth_a_trial(self, point: Architecture) -> bool:
        if point in self._known:
            self._record("duplicate", config=self.space.to_config(point))
            self.observe(self._known[point])
            return False
        if point in self._running.values():
            return False
        reason = self._refused.get(point) or self._refusal(point)
        if reason:
            if point not in self._refused:
                self._refused[point] = reason
                config = self.space.to_config(point)
                self._record("refused", config=config, metrics=self._costs_of(point), reason=reason)
            self.observe(Evaluation(point, self._costs_of(point), 0, "failed", error=f"refused: {reason}"))
            return False
        return True

    def _start(self, trial_id: str, point: Architecture) -> dict[str, Any]:
        self._running[trial_id] = point
        config = self.space.to_config(point)
        self._record("proposed", trial=trial_id, config=config, costs=self._costs_of(point))
        return config

    def _refusal(self, point: Architecture) -> str:
        """Which hard constraint the architecture breaks before any training; "" if none."""
        arch = self.space.architecture(point)
        for constraint in self.goal.hard:
            if constraint.metric not in self.costs:
                continue
            measured = self._measured.setdefault(arch, {})
            if constraint.metric not in measured:
                try:
                    measured[constraint.metric] = _finite(self.costs[constraint.metric](arch))
                except Exception as error:  # Tune ends the whole run when a searcher raises.
                    return f"{constraint.metric} cannot be measured: {one_line(error)}"
            if constraint.violation(measured) > 0 and point != self._baseline:
                return f"{constraint.metric} = {measured[constraint.metric]:g}, required {constraint}"
        return ""

    def _costs_of(self, point: Architecture) -> dict[str, float]:
        """What was measured of the architecture before any training, so far."""
        return dict(self._measured.get(self.space.architecture(point), {}))

    def _note_costs(self, point: Architecture, costs: Mapping[str, float]) -> None:
        """Take over recorded costs: a latency measured again could refuse what was accepted."""
        if costs:
            self._measured[self.space.architecture(point)] = dict(costs)

    def _learn(self, evaluation: Evaluation) -> None:
        if evaluation.arch == self._baseline and evaluation.ok:
            self.goal = self.goal.against(evaluation.metrics)
        self._known[evaluation.arch] = evaluation
        self.observe(evaluation)

    def _status(self, result: Mapping[str, Any], metrics: Mapping[str, float], error: bool) -> Status:
        if error or result.get("failed") or any(o.metric not in metrics for o in self.goal.objectives):
            return "failed"
        return "finished" if result.get("complete", True) else "stopped"

    def _finish(self, reason: str) -> str:
        self.ended_because = reason
        if not self._replaying:
            logger.info("the search ends: %s", reason)
        return str(Searcher.FINISHED)

    def _record(self, event: str, **fields: Any) -> None:
        if not self._replaying:
            self.archive.append(event, **fields)


def fidelity_of(result: Mapping[str, Any]) -> int:
    """How much training a result had: its ``training_iteration``, 0 for a trial that never reported."""
    return int(result.get("training_iteration") or 0)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{float(value)} is not a finite number")
    return float(value)


def _reason(result: Mapping[str, Any], goal: Goal) -> str:
    said = result.get("error")
    if said and isinstance(said, str):  # a number would be a metric of that name
        return said
    missing = [o.metric for o in goal.objectives if o.metric not in metrics_of(result)]
    return f"no finite {missing[0]!r} was reported" if result and missing else "the trial raised or was killed"


def as_result(record: Record) -> dict[str, Any]:
    """The Tune result that a ``result`` or ``ended`` record was made from, as far as anyone reads it."""
    ended = {"complete": record["status"] != "stopped", "error": record["error"]} if "status" in record else {}
    return {**ended, **record["metrics"], "training_iteration": record["fidelity"]}
