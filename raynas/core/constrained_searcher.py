"""ConstrainedSearcher: answers duplicates, and refuses or repairs proposals that break a limit on costs."""

from abc import abstractmethod

import numpy as np

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.feasible_region import FeasibleRegion
from raynas.core.goal import Goal
from raynas.core.replay import ReplayableSearcher


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

    @abstractmethod
    def observe(self, evaluation: Evaluation) -> None:
        """Learn from an evaluation; it may have failed (``not evaluation.ok``), be unasked for, or come twice."""

    def join(self, other: "ConstrainedSearcher") -> None:
        """Share what another searcher knows: what is running, evaluated, refused, and which architectures comply."""
        self._running, self._known, self._limits = other._running, other._known, other._limits
        self.region = other.region

    def sample(self) -> Architecture:
        """Draw each active decision uniformly; where few architectures meet the limits on costs, among those alone."""
        drawn = self.region.sample(self._is_free, self._is_worth_a_trial)
        return self.space.sample(self.rng) if drawn is None else drawn

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
        costs = self._limits.measured(point)
        if reason and is_new:
            self._record("refused", config=self.space.to_config(point), metrics=costs, reason=reason)
        if reason:
            self.observe(Evaluation(point, costs, 0, "failed", error=f"refused: {reason}"))
        return not reason

    def _repaired(self, refused: Architecture) -> Architecture | None:
        """Return an architecture to try instead of a refused one; None as long as refusals are rare."""
        point = self.region.repaired(refused, self._is_free, self._is_worth_a_trial)
        if point is not None:
            self._record("repaired", config=self.space.to_config(point), proposal=self.space.to_config(refused))
        return point
