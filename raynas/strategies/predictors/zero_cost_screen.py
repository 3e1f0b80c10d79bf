"""Zero-cost scores in a search with a predictor: an initial design, a prior mean, or features.

Abdelfattah et al. (ICLR 2021, arXiv:2101.08134) start searches at the best of many random architectures by a zero-cost
proxy; White et al., "How Powerful are Performance Predictors in Neural Architecture Search?" (NeurIPS 2021,
arXiv:2104.01177, "OMNI"), let a predictor see such scores beside the architecture. Deviation: only as many candidates
are scored as a search can afford, the most promising to a predictor without scores.
"""

from collections.abc import Callable, Container, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture
from raynas.core.archive import Record
from raynas.core.cost_limits import Costs
from raynas.core.feasible_region import MAX_COUNTED
from raynas.core.goal import Goal
from raynas.strategies.predictors.candidates import Candidates
from raynas.strategies.predictors.fitted_predictor import FittedPredictor
from raynas.strategies.predictors.predictor import Predictor
from raynas.strategies.predictors.prior_mean import PriorMean
from raynas.strategies.predictors.targets import objective_targets
from raynas.strategies.predictors.zero_cost_ranks import Scores, ZeroCostRanks

Use = Literal["features", "prior", "start"]
USES: tuple[Use, ...] = ("features", "prior", "start")

_PER_FIT = 0.25
"""Number of candidates scored after a fit, as a share of those scored at the start."""
_N_RANKINGS = 4
"""Number of rankings that candidates are scored from, each with other draws and, of several objectives, other weights.
"""


@dataclass(frozen=True, kw_only=True)
class ZeroCost:
    """Settings of a ``ZeroCostScreen``.

    Args:
        names: metrics that need no training; larger is better.
        use: see ``PredictorStrategy.zero_cost_as``.
        n_initial: number of architectures scored at the start.
    """

    names: Sequence[str]
    use: Use = "prior"
    n_initial: int = 100


class ZeroCostScreen:
    """Scores random architectures at the start, and after each fit the most promising candidates.

    After a fit at most a quarter as many candidates are scored as at the start, the most promising to a predictor
    without scores; a second predictor ranks them and all evaluated candidates, with their scores.

    Args:
        settings: the proxies, and the use that is made of them.
        costs: metrics that need no training, by name.
        predictor: a fresh predictor, which learns with scores.
        on_score: receives each new score.
        rng: source of all randomness.

    Raises:
        UnknownNameError: if a name is not among the costs.
    """

    def __init__(
        self,
        settings: ZeroCost,
        costs: Costs,
        predictor: Predictor,
        on_score: Callable[[Architecture, Scores], None],
        rng: np.random.Generator,
    ) -> None:
        self.settings, self.rng = settings, rng
        self.ranks = ZeroCostRanks(costs, settings.names, on_score)
        self._fitted = FittedPredictor(PriorMean(predictor) if settings.use == "prior" else predictor)
        self._design: list[Architecture] = []

    def recall(self, records: Iterable[Record]) -> None:
        """Take scores of the same proxies from the records of an earlier search, instead of computing them."""
        for record in records:
            if record["event"] == "scored" and record["scores"].keys() == self.ranks.costs.keys():
                self.ranks.known[Architecture.from_config(record["config"])] = record["scores"]

    def initial_design(self, candidates: Candidates) -> Sequence[Architecture]:
        """Return random architectures, the best by their scores first; the first call draws and scores them."""
        if not self.ranks.reference:
            points = candidates.sample(self.settings.n_initial)
            by_arch = {candidates.space.architecture(point): point for point in points}
            self.ranks.refer_to(by_arch)
            self._design = [by_arch[arch] for arch in self.ranks.best()]
        return self._design

    def fit(
        self,
        objective: FittedPredictor,
        rank: Callable[[], NDArray[np.float64]],
        goal: Goal,
        running: Iterable[Architecture],
        excluded: Container[Hashable],
        complies: Callable[[Architecture], bool],
    ) -> FittedPredictor:
        """Score the most promising candidates and fit the predictor that knows scores.

        Args:
            objective: the predictor without scores, fitted to the whole pool.
            rank: ranks the whole pool by ``objective``; called several times.
            goal: gives the targets.
            running: candidates under evaluation, which are kept.
            excluded: keys of candidates that are not worth a score.
            complies: tells of a candidate whether it breaks no limit that is cheap to check.

        Returns:
            The predictor fitted to the scored part of the pool.
        """
        pool, evaluations = objective.pool, objective.evaluations
        indices = self._chosen(objective, rank, running, excluded, complies)
        ranks = self.ranks([pool.space.architecture(pool.archs[i]) for i in indices])
        part = pool.screened(indices, ranks, as_features=self.settings.use == "features")
        self._fitted.fit(part, evaluations, objective_targets(goal, evaluations, self.rng), self.rng)
        return self._fitted

    def _chosen(
        self,
        objective: FittedPredictor,
        rank: Callable[[], NDArray[np.float64]],
        running: Iterable[Architecture],
        excluded: Container[Hashable],
        complies: Callable[[Architecture], bool],
    ) -> list[int]:
        """Return the indices of evaluated, running and, out of several rankings, the most promising candidates."""
        pool = objective.pool
        chosen = dict.fromkeys(pool.indices([*(e.arch for e in objective.evaluations), *running]))
        n_before, n_new = len(chosen), max(int(self.settings.n_initial * _PER_FIT), 1)
        for n in range(1, _N_RANKINGS + 1):
            order = np.argsort(-rank(), kind="stable")
            new = (int(i) for i in order if i not in chosen and pool.keys[i] not in excluded)
            kept = (i for i in islice(new, MAX_COUNTED) if complies(pool.arch(i)))
            chosen |= dict.fromkeys(islice(kept, n_before + n * n_new // _N_RANKINGS - len(chosen)))
        return list(chosen)
