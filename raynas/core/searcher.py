"""ArchitectureSearcher: Tune's Searcher protocol, written once for algorithms that propose and observe."""

import logging
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

import numpy as np
from ray.tune.search import Searcher

from raynas.core.architecture import Architecture, Config
from raynas.core.archive import Archive
from raynas.core.constrained_searcher import ConstrainedSearcher
from raynas.core.cost_limits import CostLimits, Costs
from raynas.core.evaluation import Evaluation
from raynas.core.feasible_region import FeasibleRegion
from raynas.core.goal import Goal
from raynas.core.outcome import Result, outcome, report_of
from raynas.core.relaxed_weights import relaxed_field
from raynas.core.space import SearchSpace

logger = logging.getLogger(__name__)

MAX_FRUITLESS = 1000
"""Number of proposals in a row that may be duplicates or refused before the search ends."""


class SearcherOptions(TypedDict, total=False):
    """Optional arguments of every searcher, see ``ArchitectureSearcher``; a subclass passes them to its base."""

    seed: int
    costs: Costs | None
    points_to_evaluate: Sequence[Architecture]
    baseline: Architecture | None
    archive: Archive | None


class ArchitectureSearcher(ConstrainedSearcher):
    """Base class of search algorithms over architectures; a subclass gives ``propose`` and ``observe``.

    It works in any ``tune.Tuner``, beside any scheduler, and survives ``Tuner.restore``. Proposals that were evaluated
    before are answered from the archive; those that break a hard constraint which needs no training are refused.
    Neither costs a trial. Where so few architectures meet the constraints that one proposal after another is refused,
    proposals are repaired: changed, as little as possible, to meet them (see ``FeasibleRegion``).

    Args:
        space: the space to search.
        goal: objectives and constraints; default accuracy.
        seed: of the one generator that all randomness comes from.
        costs: metrics that need no training; those with a hard constraint are computed before a trial starts.
        points_to_evaluate: architectures to try first.
        baseline: the architecture that relative constraints refer to; tried before all others, never refused.
        archive: where to record every event; in memory by default.
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
        goal, costs = goal or Goal(), costs or {}
        baseline = None if baseline is None else space.canonical(baseline)
        first = [] if baseline is None else [baseline]
        metrics, modes = [o.metric for o in goal.objectives], [o.mode for o in goal.objectives]
        super().__init__(
            space,
            CostLimits(space, costs, exempt=baseline),
            [*first, *map(space.canonical, points_to_evaluate)],
            archive,
            metric=metrics if len(metrics) > 1 else metrics[0],
            mode=modes if len(modes) > 1 else modes[0],
        )
        self.goal = goal
        self.costs = costs
        self.rng = np.random.default_rng(seed)
        self.region = FeasibleRegion(space, self._limits, goal, self.rng)
        self.baseline_point = baseline
        self._known: dict[Architecture, Evaluation] = {}
        self._ended: dict[str, Evaluation] = {}

    @abstractmethod
    def propose(self) -> Architecture | None:
        """Return the next architecture to evaluate, or None if there is none until more is observed.

        Draws only from ``self.rng``; it may be called any number of times before the next ``observe``.
        """

    @property
    def running(self) -> list[Architecture]:
        """The architectures whose trials have not ended, oldest first."""
        return list(self._running.values())

    def evaluation_of(self, trial_id: str) -> Evaluation | None:
        """Return the evaluation of a trial; None if it has not ended."""
        return self._ended.get(trial_id)

    def set_search_properties(self, metric: str | None, mode: str | None, config: Config, **spec: object) -> bool:
        """Accept the metric that was set already; Tune asks this where its TuneConfig names one too."""
        return metric in (None, self.metric) and mode in (None, self.mode)

    def _next_point(self) -> Architecture | str | None:
        for n_fruitless in range(MAX_FRUITLESS):
            if len(self._known) + len(self._limits.refused) + len(self._running) >= self.space.size:
                return self._finish("every architecture of the space was tried")
            point = self._queue.popleft() if self._queue else self.propose()
            if point is None and self._running:
                if n_fruitless and not self.generation_size:
                    self._record("waited")
                return None
            if point is None:
                return self._finish("the strategy has nothing more to propose")
            if self._is_worth_a_trial(point):
                self.region.note_accepted()
                return point
            if point in self._limits.refused and (repaired := self._repaired(point)):
                return repaired
            if self.region.exhaustion:
                break
        reason = self.region.exhaustion or f"{MAX_FRUITLESS} proposals in a row were known or refused"
        return self._finish(
            f"{reason} ({len(self._limits.refused)} architectures refused, {len(self._known)} evaluated); "
            "loosen the constraints or widen the space"
        )

    def _start(self, trial_id: str, point: Architecture, **more: bool) -> Config:
        self._running[trial_id] = point
        self._generation[trial_id] = None
        config = self.space.to_config(point)
        self._record("proposed", trial=trial_id, config=config, costs=self._limits.measured(point), **more)
        return config

    def _finish(self, reason: str) -> str:
        self.ended_because = reason
        if not self._is_replaying:
            logger.info("the search ends: %s", reason)
        return str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: Result | None) -> None:
        """Record what a running trial reported."""
        if trial_id in self._running and result:
            self._record("result", trial=trial_id, **report_of(result))

    def on_trial_complete(self, trial_id: str, result: Result | None = None, error: bool = False) -> None:
        """Turn the end of a trial, however it ended, into an observation; unknown trials are ignored."""
        if trial_id in self._running:
            point = self._running[trial_id]
            costs = self._limits.measured(point)
            evaluation = outcome(trial_id, point, result or {}, self.goal, costs=costs, error=error)
            self._end(evaluation, relaxed_field(result or {}))

    def _end(self, evaluation: Evaluation, relaxed: Mapping[str, object] | None = None) -> None:
        e, notes = evaluation, {"notes": evaluation.notes} if evaluation.notes else {}
        del self._running[e.trial]
        ended = {"status": e.status, "fidelity": e.fidelity, "metrics": e.metrics, "error": e.error, **notes}
        self._record("ended", trial=e.trial, **ended, **(relaxed or {}))
        self._ended[e.trial] = e
        self._refer_to(e)
        self._observe_in_order(e)

    def warm_start(self, evaluations: Iterable[Evaluation], *, again: bool = False) -> None:
        """Learn from evaluations of another search; they are not recorded.

        Args:
            evaluations: of architectures of this space.
            again: whether their architectures may be evaluated again, because they were scored in another way.

        Raises:
            SpaceError: if one is of an architecture that is not a member of the space.
        """
        learn = self.observe if again else self._learn
        for e in evaluations:
            learn(replace(e, arch=self.space.from_config({"arch": e.arch, **e.hyperparameters})))

    def _learn(self, evaluation: Evaluation) -> None:
        self._refer_to(evaluation)
        self._known[evaluation.arch] = evaluation
        self.observe(evaluation)

    def _refer_to(self, evaluation: Evaluation) -> None:
        if evaluation.arch == self.baseline_point and evaluation.ok:
            self.goal = self.region.goal = self.goal.against(evaluation.metrics)
