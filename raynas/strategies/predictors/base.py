"""Settings of strategies with a predictor, whatever predicts."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import Unpack

from raynas.core.goal import Goal
from raynas.core.searcher import SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.base import Strategy, require_at_least, require_one_of, require_probabilities
from raynas.strategies.predictors.acquisition import ACQUISITIONS, Acquisition
from raynas.strategies.predictors.predictor import Predictor
from raynas.strategies.predictors.refit_schedule import GROWTH
from raynas.strategies.predictors.searcher import PredictorSearcher
from raynas.strategies.predictors.zero_cost_screen import USES, Use, ZeroCost

_AT_LEAST = {
    "n_initial": 2,
    "max_observations": 10,
    "n_candidates": 10,
    "max_enumerated": 0,
    "exploration": 0,
    "renewal": 1,
    "n_zero_cost": 2,
    "restart_after": 0,
}


@dataclass(frozen=True, kw_only=True)
class PredictorStrategy(Strategy):
    """Rank candidates by a predictor and try the most promising; a subclass gives ``make_predictor``.

    Spaces of up to ``max_enumerated`` architectures are ranked as a whole, of others a few hundred candidates: random
    ones, mutations and crossovers of the best, and the neighbours of the most promising. Architectures that compute the
    same function (``SearchSpace.function_key``) get one trial, unless costs are among the objectives or constraints.

    Args:
        n_initial: architectures before the predictor is used; at least 2.
        acquisition: "ucb", "ei" (expected improvement) or "thompson" (one independent draw per candidate).
        exploration: number of standard deviations that "ucb" adds to the mean; at least 0.
        max_observations: the maximum number of evaluations to learn from: the better half and the latest; at least 10.
        max_enumerated: the largest space that is ranked as a whole.
        n_candidates: number of candidates ranked in larger spaces; at least 10.
        renewal: the predictor is fitted again when observations have grown by this factor; at least 1.
        zero_cost: zero-cost proxies, or other metrics that need no training, whose scores help; see ``zero_cost_as``.
        zero_cost_as: the use of these scores. In all cases the search starts with the best by them of random
            architectures. "prior" also makes them the prior mean of the predictor, which learns the residuals;
            "features" shows them to the predictor; "start" computes no more of them.
        n_zero_cost: number of architectures scored at the start; at least 2. At most a quarter as many are scored after
            each fit.
        local_share: probability that a proposal is a mutation of one of the best, as in evolution, while the predictor
            explains nothing; in [0, 1]. It shrinks with the share of the variance of the scores that is not explained,
            by leave-one-out; a predictor that cannot tell that share counts as one that explains all.
        restart_after: number of proposals in a row without improvement after which the search starts again, away from
            the optimum that it leaves; 0 for never. Spaces that are ranked as a whole and searches for several
            objectives need no restarts and have none.
    """

    n_initial: int = 10
    acquisition: Acquisition = "thompson"
    exploration: float = 1.0
    max_observations: int = 300
    max_enumerated: int = 20_000
    n_candidates: int = 500
    renewal: float = GROWTH
    zero_cost: Sequence[str] = ()
    zero_cost_as: Use = "prior"
    n_zero_cost: int = 100
    local_share: float = 0.0
    restart_after: int = 0

    sees_features: ClassVar[bool] = True
    """True if the predictor learns from the groups of features of a pool."""

    def __post_init__(self) -> None:
        require_at_least(self, _AT_LEAST)
        require_probabilities(self, "local_share")
        require_one_of(self, "acquisition", ACQUISITIONS)
        if isinstance(self.zero_cost, str):
            raise SettingError(f"zero_cost must be a sequence of names, got {self.zero_cost!r}")
        object.__setattr__(self, "zero_cost", tuple(self.zero_cost))
        uses = [use for use in USES if use != "features" or self.sees_features]
        if self.zero_cost_as not in uses:
            raise SettingError(
                f"zero_cost_as of {type(self).__name__} must be one of {', '.join(uses)}, got {self.zero_cost_as!r}"
            )

    @abstractmethod
    def make_predictor(self) -> Predictor:
        """Make a fresh predictor."""

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> PredictorSearcher:
        screen = ZeroCost(names=self.zero_cost, use=self.zero_cost_as, n_initial=self.n_zero_cost)
        return PredictorSearcher(
            space,
            goal,
            predictor=self.make_predictor,
            screen=screen if self.zero_cost else None,
            n_initial=self.n_initial,
            acquisition=self.acquisition,
            exploration=self.exploration,
            max_observations=self.max_observations,
            max_enumerated=self.max_enumerated,
            n_candidates=self.n_candidates,
            renewal=self.renewal,
            local_share=self.local_share,
            restart_after=self.restart_after,
            **options,
        )
