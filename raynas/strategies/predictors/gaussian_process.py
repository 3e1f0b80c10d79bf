"""Bayesian optimisation with a Gaussian process over the function that a cell computes.

Its upper confidence bound is that of Srinivas et al. (ICML 2010, arXiv:0912.3995), pending trials are accounted for as
in Desautels et al. (JMLR 2014, GP-BUCB), several objectives are drawn into one at random (Knowles 2006, ParEGO). The
kernel is a sum over groups of features (the decisions, the operation paths of a cell), each with its own length scale
and weight, learned by marginal likelihood.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raynas.strategies.predictors.acquisition import Acquisition
from raynas.strategies.predictors.base import PredictorStrategy
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.gp_inference import MAX_FITTED, GPPredictor
from raynas.strategies.predictors.matern_kernel import MaternKernel

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GaussianProcess(PredictorStrategy):
    """Predict every candidate by a Gaussian process, try the most promising; for budgets up to some hundred trials.

    It learns from all features of the space: those that are not equally far apart, such as depths, numbers of each
    operation, and paths, are what it generalises by.
    """

    n_initial: int = 5
    acquisition: Acquisition = "ucb"
    exploration: float = 2.0

    def make_predictor(self) -> "GaussianProcessPredictor":
        return GaussianProcessPredictor()


class GaussianProcessPredictor(GPPredictor):
    """The Gaussian process on groups of features."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel: MaternKernel | None = None

    @property
    def noise(self) -> float:
        assert self.kernel is not None
        return self.kernel.noise

    @property
    def variance(self) -> float:
        assert self.kernel is not None
        return self.kernel.variance

    def learn(self, pool: CandidatePool, observed: Sequence[int], targets: Array) -> None:
        kernel = self.kernel or MaternKernel.prior(len(pool.groups))
        latest = np.asarray(observed[-MAX_FITTED:])
        self.kernel = MaternKernel.fitted(pool.take(latest), targets[-MAX_FITTED:], kernel)

    def covariance(self, pool: CandidatePool, some: Sequence[int], since: int = 0) -> Array:
        assert self.kernel is not None
        return self.kernel(pool.take(np.asarray(some)), [group[since:] for group in pool.groups])
