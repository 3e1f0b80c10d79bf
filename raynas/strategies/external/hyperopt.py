"""HyperOpt's tree of Parzen estimators through Tune's HyperOptSearch.

Bergstra, Bardenet, Bengio and Kégl, "Algorithms for Hyper-Parameter Optimization" (NeurIPS 2011).
"""

from dataclasses import dataclass
from typing import Any

from ray.tune.search import Searcher
from ray.tune.search.sample import Categorical, Domain
from typing_extensions import Unpack

from raynas.core.evaluation import Evaluation
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

    needs_no_replay = True

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

    def observe_unasked(self, evaluation: Evaluation) -> None:
        if self.is_new(evaluation):
            from hyperopt import JOB_STATE_DONE, STATUS_OK

            inner: Any = self._inner  # which has no public way to add a trial
            trials, (number,) = inner._hpopt_trials, inner._hpopt_trials.new_trial_ids(1)
            domains = self.domains
            values = {name: _coded(domains[name], value) for name, value in self.filled(evaluation.arch).items()}
            misc = {
                "tid": number,
                "cmd": ("domain_attachment", "FMinIter_Domain"),
                "workdir": None,
                "idxs": {name: [number] for name in values},
                "vals": {name: [value] for name, value in values.items()},
            }
            outcome = {"loss": -self.goal.scores(evaluation)[0], "status": STATUS_OK}
            (trial,) = trials.new_trial_docs([number], [None], [outcome], [misc])
            trials.insert_trial_docs([{**trial, "state": JOB_STATE_DONE}])
            trials.refresh()


def _coded(domain: Domain, value: object) -> object:
    """Return a value as HyperOpt stores it: a category by its index."""
    return list(domain.categories).index(value) if isinstance(domain, Categorical) else value
