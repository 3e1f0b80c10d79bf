"""Interface of predictors: learn from evaluated candidates, predict all candidates of a pool."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raynas.strategies.predictors.candidate_pool import CandidatePool

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Posterior:
    """Independent normal distributions of the targets of n candidates, larger is better.

    Args:
        mean: ``(n,)``.
        std: standard deviations, ``(n,)``.
    """

    mean: Array
    std: Array


class Predictor(ABC):
    """Learns from some candidates of a pool and predicts all of them."""

    @abstractmethod
    def fit(self, pool: CandidatePool, observed: Sequence[int], targets: Array, rng: np.random.Generator) -> None:
        """Learn from scratch, or starting from the last fit.

        Args:
            pool: candidates to predict.
            observed: indices of evaluated candidates; an index may occur twice.
            targets: their targets, larger is better, ``(n_observed,)``.
            rng: source of all randomness.
        """

    @abstractmethod
    def posterior(
        self, pool: CandidatePool, targets: Array, pending: Sequence[int], rng: np.random.Generator
    ) -> Posterior:
        """Predict every candidate of the pool.

        Args:
            pool: the pool of the last ``fit``.
            targets: targets of all candidates observed in ``fit`` and added since, standardised again together.
            pending: indices of candidates under evaluation.
            rng: source of all randomness.
        """

    def unexplained(self, targets: Array) -> float:
        """Estimate the share of the variance of the targets that the predictor cannot predict, in [0, 1].

        Args:
            targets: as of ``posterior``.

        Returns:
            0 for a predictor that cannot tell.
        """
        return 0.0

    def add(self, pool: CandidatePool, index: int) -> None:
        """Condition on another observation without a fit; by default it waits for the next ``fit``."""
        return

    def extend(self, pool: CandidatePool, observed: Sequence[int]) -> None:
        """Account for candidates that joined the pool since the last ``fit``."""
        return
