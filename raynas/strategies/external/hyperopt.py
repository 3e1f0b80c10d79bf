"""HyperOpt's tree of Parzen estimators through Tune's HyperOptSearch.

Bergstra, Bardenet, Bengio and Kégl, "Algorithms for Hyper-Parameter Optimization" (NeurIPS 2011).
"""

from dataclasses import dataclass

from ray.tune.search import Searcher
from typing_extensions import Unpack

from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.base import Strategy
from raynas.strategies.external.adapter import AdaptedSearcher


@dataclass(frozen=True, kw_only=True)
class HyperOpt(Strategy):
    """HyperOpt's TPE; one objective.

    Args:
        n_initial: random architectures before the model is used; at least 1.
    """

    n_initial: int = 10

    def __post_init__(self) -> None:
        if self.n_initial < 1:
            raise SettingError(f"HyperOpt needs n_initial >= 1, got {self.n_initial}")

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return HyperOptSearcher(space, goal, settings=self, **options)


class HyperOptSearcher(AdaptedSearcher):
    """The searcher of ``HyperOpt``.

    Raises:
        SettingError: if there are several objectives.
    """

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        settings: HyperOpt | None = None,
        **options: Unpack[SearcherOptions],
    ) -> None:
        self.settings = settings or HyperOpt()
        super().__init__(space, goal, **options)

    def make_inner(self, seed: int) -> Searcher:
        from ray.tune.search.hyperopt import HyperOptSearch  # takes .25 s, which other searches do not need

        if len(self.goal.objectives) > 1:
            raise SettingError("HyperOpt takes one objective; use Optuna or RegularizedEvolution for several")
        return HyperOptSearch(
            HyperOptSearch.convert_search_space(self.inner_space),
            metric=self.inner_metrics[0],
            mode="max",
            n_initial_points=self.settings.n_initial,
            random_state_seed=seed,
        )
