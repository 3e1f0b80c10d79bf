"""Bayesian optimisation with a Gaussian process over the function that a cell computes.

Its upper confidence bound is that of Srinivas et al. (ICML 2010, arXiv:0912.3995), pending trials are accounted for as
in Desautels et al. (JMLR 2014, GP-BUCB), several objectives are drawn into one at random (Knowles 2006, ParEGO). The
kernel is a sum over groups of features (the decisions, the operation paths of a cell), each with its own length scale
and weight, learned by marginal likelihood.

Two things hold where scores are noisy or the kernel does not fit. Noise is learned, and counts as a chance of every
candidate, so that distance is worth less where it is large. And the share of the variance that leave-one-out
predictions do not explain decides how often a proposal is a step of evolution instead (``local_share``): a search whose
model knows nothing is half an evolution.

In spaces too large to rank, the model is trained on the neighbourhood of the best, where leaving one out is easy, and
it ends at a local optimum of a rugged landscape: it starts again elsewhere after ``restart_after`` proposals in a row
without improvement (TuRBO, Eriksson et al., NeurIPS 2019; see ``restarts``), 30 by default: TuRBO waits for as many as
there are dimensions, and the NK landscapes of ``scripts/bench/noisy_tables.py`` have 30 decisions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raynas.regression.matern_kernel import MaternKernel
from raynas.strategies.predictors.acquisition import Acquisition
from raynas.strategies.predictors.base import PredictorStrategy
from raynas.strategies.predictors.candidate_pool import CandidatePool
from raynas.strategies.predictors.gp_inference import MAX_FITTED, GPPredictor
from raynas.strategies.predictors.predictor import Posterior

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GaussianProcess(PredictorStrategy):
    """Predict every candidate by a Gaussian process, try the most promising; for budgets up to some hundred trials.

    It learns from all features of the space: those that are not equally far apart, such as depths, numbers of each
    operation, and paths, are what it generalises by.

    While its predictions of evaluated architectures, each left out in turn, are bad, up to ``local_share`` of the
    proposals are mutations of the best. In spaces too large to rank as a whole, ``restart_after`` proposals in a row
    without improvement end the search at a local optimum and begin another elsewhere.
    """

    n_initial: int = 5
    acquisition: Acquisition = "ucb"
    exploration: float = 2.0
    local_share: float = 0.5
    restart_after: int = 30

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

    def posterior(
        self, pool: CandidatePool, targets: Array, pending: Sequence[int], rng: np.random.Generator
    ) -> Posterior:
        """Predict scores, noise included: a score that is due to luck is found all the same.

        So the more noise there is, the less a large distance to all observations is worth.
        """
        latent = super().posterior(pool, targets, pending, rng)
        return Posterior(latent.mean, np.sqrt(latent.std**2 + self.noise))

    def learn(self, pool: CandidatePool, observed: Sequence[int], targets: Array) -> None:
        kernel = self.kernel or MaternKernel.prior(len(pool.groups))
        latest = np.asarray(observed[-MAX_FITTED:])
        self.kernel = MaternKernel.fitted(pool.take(latest), targets[-MAX_FITTED:], kernel)

    def covariance(self, pool: CandidatePool, some: Sequence[int], since: int = 0) -> Array:
        assert self.kernel is not None
        return self.kernel(pool.take(np.asarray(some)), [group[since:] for group in pool.groups])
