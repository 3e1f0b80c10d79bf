"""Ensembles as predictors: the posterior is the mean and the standard deviation over the members.

Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles" (NeurIPS 2017,
arXiv:1612.01474).
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.predictor import Posterior, Predictor

Array = NDArray[np.float64]

Encoding = Literal["all", "path", "decisions"]
ENCODINGS: tuple[Encoding, ...] = ("all", "path", "decisions")

_MIN_STD = 1e-3
"""Standard deviation where all members agree, in standard deviations of the targets."""

_UNIT = 3**0.5
"""Gives a group's columns a mean variance of 1/6, as one-hot decisions between four or five options have."""


class Ensemble(Predictor):
    """Several members that predict independently; a subclass gives ``fit`` and ``members``."""

    def __init__(self) -> None:
        self._targets = np.zeros(0)

    @abstractmethod
    def members(self, pool: CandidatePool) -> Array:
        """Return the predictions of each member, ``(n_members, n)``, in units of ``_targets``, which ``fit`` sets."""

    def posterior(
        self, pool: CandidatePool, targets: Array, pending: Sequence[int], rng: np.random.Generator
    ) -> Posterior:
        predicted = self.members(pool)
        # On the scale that the same evaluations have by now.
        before, now = self._targets, targets[: len(self._targets)]
        scale = float(now.std()) / (float(before.std()) or 1.0) or 1.0
        mean = (predicted.mean(axis=0) - before.mean()) * scale + now.mean()
        return Posterior(mean, np.maximum(predicted.std(axis=0, ddof=1) * scale, _MIN_STD))


class EnsemblePredictor(Ensemble):
    """An ensemble on vectors that predicts a pool once per fit; a subclass gives ``train`` and ``predict``.

    Args:
        encoding: see ``inputs``.
    """

    def __init__(self, encoding: Encoding = "all") -> None:
        super().__init__()
        self.encoding = encoding
        self._predicted: Array | None = None

    @abstractmethod
    def train(self, x: Array, targets: Array, rng: np.random.Generator) -> None:
        """Learn from inputs ``(n, n_inputs)`` and targets ``(n,)``, larger is better."""

    @abstractmethod
    def predict(self, x: Array) -> Array:
        """Return the predictions of each member for inputs ``(n, n_inputs)``: ``(n_members, n)``."""

    def fit(self, pool: CandidatePool, observed: Sequence[int], targets: Array, rng: np.random.Generator) -> None:
        self.train(inputs(pool, self.encoding)[np.asarray(observed)], targets, rng)
        self._targets, self._predicted = targets, None

    def extend(self, pool: CandidatePool, observed: Sequence[int]) -> None:
        self._predicted = None

    def members(self, pool: CandidatePool) -> Array:
        if self._predicted is None:
            self._predicted = self.predict(inputs(pool, self.encoding))
        return self._predicted


def inputs(pool: CandidatePool, encoding: Encoding) -> Array:
    """Return the inputs of a model for all candidates, ``(n, n_inputs)``.

    Zero-cost ranks, where they are features of the pool, are always among them.

    Args:
        pool: gives the features.
        encoding: "all" for every group of features that the space gives, scaled to the same mean variance of columns;
            "path" for the path encoding of BANANAS (section 4), 1 for each path of operations that exists, or the
            decisions in a space that has no paths; "decisions" for these, one-hot.
    """
    scales = pool.scales or {}
    groups = dict(zip(scales, pool.groups, strict=True))
    ranks = [groups.pop(name) * scales[name] for name in ("zero_cost",) if name in groups]
    if encoding == "all":
        return np.hstack([*(group * len(group.T) ** 0.5 / _UNIT for group in groups.values()), *ranks])
    if encoding == "path" and "paths" in groups:
        return np.hstack([groups["paths"] > 0, *ranks])
    return np.hstack([groups["decisions"] * scales["decisions"], *ranks])
