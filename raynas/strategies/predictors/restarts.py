"""Restarts of a search that no longer improves: leave a local optimum for another part of the space.

As the trust regions of TuRBO (Eriksson et al., NeurIPS 2019, arXiv:1910.01739) and of Casmopolitan (Wan et al., ICML
2021, arXiv:2102.07188), which start again when proposals in a row were failures. Deviations: the predictor keeps what
it has learned from earlier climbs; and no radius limits a climb, but candidates must be at least as near to its best as
to the optima of earlier climbs. The first climb has no limits.
"""

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.coded_decisions import CodedDecisions, Codes
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal

_LEAST_SHARE = 0.25
"""Share of the decisions in which the start of a climb differs at least from the optima of earlier ones."""


class Restarts:
    """The climbs of a search: each ends after some proposals in a row that did not improve on its best.

    Args:
        coded: decisions of the space, by which distances are measured.
        patience: number of proposals in a row without improvement that end a climb; with 0 none ends.
    """

    def __init__(self, coded: CodedDecisions, patience: int) -> None:
        self.patience = patience
        self.optima: list[Architecture] = []
        """The best architecture of each climb that has ended."""
        self.climb: set[Architecture] = set()
        """Architectures of which the current climb has evaluations, failed ones too."""
        self._coded = coded
        self._best: Evaluation | None = None
        self._proposed: set[Architecture] = set()
        self._n_fruitless = 0

    def note_proposal(self, arch: Architecture) -> None:
        """Record that the current climb asks for an evaluation."""
        self._proposed.add(arch)

    def observe(self, evaluation: Evaluation, goal: Goal) -> None:
        """Add an evaluation to the current climb; end the climb if that was one failure too many.

        Evaluations that nobody proposed (a warm start) belong to the first climb, and are no failures; those that an
        earlier climb proposed belong to none. A proposal that was refused, so that it cost no trial, is no failure.
        """
        is_own = evaluation.arch in self._proposed
        self._proposed.discard(evaluation.arch)
        if self.optima and not is_own:
            return
        self.climb.add(evaluation.arch)
        is_better = self._improves(evaluation, goal)
        if is_better:
            self._best = evaluation
        self._n_fruitless = 0 if is_better else self._n_fruitless + (is_own and evaluation.trial != "")
        if self._best is not None and 0 < self.patience <= self._n_fruitless:
            self._end(self._best)

    def allowed(self, codes: Codes) -> NDArray[np.bool_]:
        """Return which candidates belong to the current climb, ``(n,)``, given their codes ``(n, n_decisions)``."""
        if not self.optima:
            return np.ones(len(codes), dtype=bool)
        nearest = np.min([_distances(codes, row) for row in self._coded.encode(self.optima)], axis=0)
        if self._best is None:
            return np.asarray(nearest >= _LEAST_SHARE * codes.shape[1])
        return np.asarray(_distances(codes, self._coded.encode([self._best.arch])[0]) <= nearest)

    def _improves(self, evaluation: Evaluation, goal: Goal) -> bool:
        if not np.isfinite(goal.violation(evaluation)):
            return False
        if self._best is None:
            return True
        is_other = any(ask(evaluation) != ask(self._best) for ask in (goal.violation, goal.scores))
        return is_other and goal.sort([self._best, evaluation])[0] is evaluation  # cheaper alone is no improvement

    def _end(self, best: Evaluation) -> None:
        self.optima.append(best.arch)
        self.climb, self._best, self._n_fruitless = set(), None, 0
        self._proposed.clear()


def _distances(codes: Codes, row: Codes) -> NDArray[np.int64]:
    """Return the number of decisions in which each architecture differs from one, ``(n,)``."""
    return np.asarray((codes != row).sum(axis=1))
