"""A predictor together with the pool and the evaluations that it was fitted to."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.predictor import Posterior, Predictor

Array = NDArray[np.float64]


class FittedPredictor:
    """Keeps the evaluations that a predictor knows, each once.

    Args:
        predictor: learns and predicts.
    """

    pool: CandidatePool
    """Candidates that are predicted; set by ``fit``."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.evaluations: list[Evaluation] = []
        self._indices: list[int] = []
        self._known: set[Architecture] = set()

    def fit(
        self, pool: CandidatePool, evaluations: Sequence[Evaluation], targets: Array, rng: np.random.Generator
    ) -> None:
        """Fit the predictor to evaluations of members of the pool; arguments as of ``Predictor.fit``."""
        self.pool, self.evaluations = pool, list(evaluations)
        self._known = {e.arch for e in evaluations}
        self._indices = pool.indices(e.arch for e in evaluations)
        self.predictor.fit(pool, self._indices, targets, rng)

    def add(self, evaluation: Evaluation) -> None:
        """Condition the predictor on an evaluation that is new to it, if the pool has the architecture."""
        index = self.pool.index(evaluation.arch)
        if index is None or evaluation.arch in self._known:
            return
        self.evaluations.append(evaluation)
        self._indices.append(index)
        self._known.add(evaluation.arch)
        self.predictor.add(self.pool, index)

    def extend(self) -> None:
        """Account for candidates that joined the pool."""
        self.predictor.extend(self.pool, self._indices)

    def unexplained(self, targets: Array) -> float:
        """Estimate the share of the variance of the targets that cannot be predicted; targets as of ``evaluations``."""
        return self.predictor.unexplained(targets)

    def posterior(self, targets: Array, pending: Iterable[Architecture], rng: np.random.Generator) -> Posterior:
        """Predict every candidate of the pool; targets as of ``evaluations``."""
        return self.predictor.posterior(self.pool, targets, self.pool.indices(pending), rng)
