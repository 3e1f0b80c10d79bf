"""ConstrainedSearcher: answers duplicates, and refuses or repairs proposals that break a limit on costs."""

from collections import deque
from collections.abc import Iterable

import numpy as np

from raynas.core.architecture import Architecture, Config
from raynas.core.archive import Record
from raynas.core.evaluation import Evaluation
from raynas.core.feasible_region import FeasibleRegion
from raynas.core.goal import Goal
from raynas.core.replay import ReplayableSearcher
from raynas.errors import InfeasibleError, SpaceError


class ConstrainedSearcher(ReplayableSearcher):
    """The part of ``ArchitectureSearcher`` that decides which proposals are worth a trial.

    What breaks a hard constraint on a cost is refused before it costs a trial, and the strategy observes that as a
    failure. Where one proposal after another is refused, a new architecture near it that meets the constraints gets the
    trial, and the strategy observes what was really evaluated.
    """

    goal: Goal
    rng: np.random.Generator
    region: FeasibleRegion
    _known: dict[Architecture, Evaluation]

    def join(self, other: "ConstrainedSearcher") -> None:
        """Share what another searcher knows: what is running, evaluated, refused, and which architectures comply."""
        self._running, self._known, self._limits = other._running, other._known, other._limits
        self.region = other.region

    def sample(self) -> Architecture:
        """Draw each active decision uniformly; where few architectures meet the limits on costs, among those alone."""
        drawn = self.region.sample(self._is_free, self._is_worth_a_trial)
        return self.space.sample(self.rng) if drawn is None else drawn

    def add(self, trial_id: str, point: Architecture) -> Config:
        """Start a trial of a point that somebody else proposes, and return its config.

        Raises:
            InfeasibleError: if it breaks a hard constraint on a cost.
            SpaceError: if it was evaluated already, or is under evaluation.
        """
        if point in self._known or point in self._running.values():
            what = "was evaluated already" if point in self._known else "is under evaluation"
            raise SpaceError(f"{point.to_json()} {what}: observe its trial, or propose another architecture")
        if reason := self._limits.refused.get(point) or self._limits.broken(point, self.goal):
            raise InfeasibleError(f"{point.to_json()} is refused: {reason}")
        return self._start(trial_id, point, outside=True)

    def _is_free(self, point: Architecture) -> bool:
        return not (point in self._known or point in self._limits.refused or point in self._running.values())

    def _is_worth_a_trial(self, point: Architecture) -> bool:
        """Answer a duplicate from what is known and refuse what is too costly; both are observed at once."""
        if point in self._known:
            self._record("duplicate", config=self.space.to_config(point))
            self.observe(self._known[point])
            return False
        if point in self._running.values():
            return False
        is_new = point not in self._limits.refused and not self._limits.is_recorded(point)
        reason = self._limits.refusal(point, self.goal)
        if reason and is_new:
            costs = self._limits.measured(point)
            self._record("refused", config=self.space.to_config(point), metrics=costs, reason=reason)
        if reason:
            self._observe_refusal(point, reason)
        return not reason

    def _observe_refusal(self, point: Architecture, reason: str) -> None:
        costs = self._limits.measured(point)
        self.observe(Evaluation(point, costs, 0, "failed", error=f"refused: {reason}"))

    def recall(self, records: Iterable[Record]) -> None:
        super().recall(records)
        self._queue = deque(filter(self._is_free, self._queue))

    def _recall_proposal(self, point: Architecture, *, is_own: bool) -> None:
        if is_own:
            self.region.note_accepted()

    def _recall_fruitless(self, point: Architecture) -> None:
        if point in self._known:
            self.observe(self._known[point])
        elif reason := self._limits.refusal(point, self.goal):
            self.region.note_refused()
            self._observe_refusal(point, reason)

    def _repaired(self, refused: Architecture) -> Architecture | None:
        """Return an architecture to try instead of a refused one; None as long as refusals are rare."""
        point = self.region.repaired(refused, self._is_free, self._is_worth_a_trial)
        if point is not None:
            self._record("repaired", config=self.space.to_config(point), proposal=self.space.to_config(refused))
        return point
