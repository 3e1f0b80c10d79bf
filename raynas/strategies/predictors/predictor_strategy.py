"""What the strategies with a predictor have in common: how it is used, whatever it is."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from raynas.core.goal import Goal
from raynas.core.space import SearchSpace
from raynas.strategies.base import Strategy, require_at_least, require_one_of
from raynas.strategies.predictors.predictor_search import ACQUISITIONS, Predictor, PredictorSearcher
from raynas.strategies.predictors.zero_cost_search import USES, Use, ZeroCostSearcher

_AT_LEAST = {
    "n_initial": 2,
    "max_observations": 10,
    "n_candidates": 10,
    "max_enumerated": 0,
    "exploration": 0,
    "n_zero_cost": 2,
}


@dataclass(frozen=True, kw_only=True)
class PredictorStrategy(Strategy):
    """A predictor ranks candidates, the most promising goes next; a subclass gives ``make_predictor``.

    Spaces of up to ``max_enumerated`` architectures are ranked as a whole, of others a few hundred candidates: random
    ones, mutations and crossovers of the best, and the neighbours of the most promising. Architectures that compute the
    same function (``SearchSpace.function_key``) get one trial, unless costs are among the objectives or constraints.

    Args:
        n_initial: architectures before the predictor is used; at least 2.
        acquisition: "ucb", "ei" (expected improvement) or "thompson" (one independent draw per candidate).
        exploration: how many standard deviations "ucb" adds to the mean; at least 0.
        max_observations: beyond this many the predictor learns from the better half of them and the latest; at
            least 10.
        max_enumerated: the largest space that is ranked as a whole.
        n_candidates: how many candidates are ranked in larger spaces; at least 10.
        zero_cost: zero-cost proxies, or other metrics that need no training, whose scores help; see ``zero_cost_as``.
        zero_cost_as: how. In all cases the search starts with the best by these scores of random architectures. "prior"
            also expects of a candidate what its scores say, and lets the predictor learn the rest; "features" shows
            them to the predictor; "start" computes no more of them.
        n_zero_cost: how many architectures are scored at the start; at least 2. At most a quarter as many are after
            each fit: for each of the first 50 trials, then each time that observations have grown by 2 %.
    """

    n_initial: int = 10
    acquisition: Literal["ucb", "ei", "thompson"] = "thompson"
    exploration: float = 1.0
    max_observations: int = 300
    max_enumerated: int = 20_000
    n_candidates: int = 500
    zero_cost: Sequence[str] = ()
    zero_cost_as: Use = "prior"
    n_zero_cost: int = 100

    sees_features: ClassVar[bool] = True
    """Whether the predictor looks at the groups of features of a pool."""

    def __post_init__(self) -> None:
        require_at_least(self, _AT_LEAST)
        require_one_of(self, "acquisition", ACQUISITIONS)
        if isinstance(self.zero_cost, str):
            raise ValueError(f"zero_cost must be a sequence of names, got {self.zero_cost!r}")
        object.__setattr__(self, "zero_cost", tuple(self.zero_cost))
        uses = [use for use in USES if use != "features" or self.sees_features]
        if self.zero_cost_as not in uses:
            raise ValueError(
                f"zero_cost_as of {type(self).__name__} must be one of {', '.join(uses)}, got {self.zero_cost_as!r}"
            )

    @abstractmethod
    def make_predictor(self) -> Predictor:
        """A fresh predictor."""

    def make_searcher(self, space: SearchSpace, goal: Goal, **common: Any) -> PredictorSearcher:
        make: Callable[..., PredictorSearcher] = PredictorSearcher
        if self.zero_cost:
            zero_cost = {name: getattr(self, name) for name in ("zero_cost", "zero_cost_as", "n_zero_cost")}
            make = partial(ZeroCostSearcher, **zero_cost)
        return make(
            space,
            goal,
            make_predictor=self.make_predictor,
            n_initial=self.n_initial,
            acquisition=self.acquisition,
            exploration=self.exploration,
            max_observations=self.max_observations,
            max_enumerated=self.max_enumerated,
            n_candidates=self.n_candidates,
            **common,
        )
