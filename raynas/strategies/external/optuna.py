"""Optuna's samplers through Tune's OptunaSearch: TPE, a Gaussian process, NSGA-II.

Akiba, Sano, Yanase, Ohta and Koyama, "Optuna: A Next-generation Hyperparameter Optimization Framework" (KDD 2019,
arXiv:1907.10902); TPE: Bergstra et al. (NeurIPS 2011); NSGA-II: Deb et al. (2002).
"""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch
from ray.tune.utils.util import unflatten_dict
from typing_extensions import Unpack

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher, SearcherOptions
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.strategies.base import Strategy
from raynas.strategies.external.adapter import AdaptedSearcher

_SAMPLERS: dict[str, type[BaseSampler]] = {"tpe": TPESampler, "gp": GPSampler, "nsga2": NSGAIISampler}


@dataclass(frozen=True, kw_only=True)
class Optuna(Strategy):
    """One of Optuna's samplers; Optuna itself handles hard constraints on metrics of trials.

    Args:
        sampler: "tpe", "gp" (one objective, slower per proposal) or "nsga2".
        n_initial: random architectures before the model is used (for NSGA-II the size of the population); at least 1.
    """

    sampler: Literal["tpe", "gp", "nsga2"] = "tpe"
    n_initial: int = 10

    def __post_init__(self) -> None:
        if self.sampler not in _SAMPLERS or self.n_initial < 1:
            raise SettingError(
                f"Optuna needs a sampler of {', '.join(_SAMPLERS)} and n_initial >= 1, "
                f"got {self.sampler!r} and {self.n_initial}"
            )

    def make_searcher(self, space: SearchSpace, goal: Goal, **options: Unpack[SearcherOptions]) -> ArchitectureSearcher:
        return OptunaSearcher(space, goal, settings=self, **options)


class OptunaSearcher(AdaptedSearcher):
    """The searcher of ``Optuna``."""

    needs_no_replay = True

    def __init__(
        self,
        space: SearchSpace,
        goal: Goal | None = None,
        *,
        settings: Optuna | None = None,
        **options: Unpack[SearcherOptions],
    ) -> None:
        self.settings = settings or Optuna()
        self._violations: dict[Architecture, list[float]] = {}
        super().__init__(space, goal, **options)

    def make_inner(self, seed: int) -> Searcher:
        # Optuna logs a line a trial and warns of experimental arguments.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("ray.tune.search.optuna").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            inner = OptunaSearch(
                OptunaSearch.convert_search_space(self.inner_space),
                metric=self.inner_metrics if len(self.inner_metrics) > 1 else self.inner_metrics[0],
                mode=["max"] * len(self.inner_metrics) if len(self.inner_metrics) > 1 else "max",
                sampler=self._sampler(seed),
            )
        return inner

    def _sampler(self, seed: int) -> BaseSampler:
        size = "population_size" if self.settings.sampler == "nsga2" else "n_startup_trials"
        limits = {"constraints_func": self._constraints} if self.goal.hard else {}
        arguments: dict[str, Any] = {"seed": seed, size: max(self.settings.n_initial, 2), **limits}
        return _SAMPLERS[self.settings.sampler](**arguments)

    def _constraints(self, trial: optuna.trial.FrozenTrial) -> Sequence[float]:
        """Return the violations of hard constraints in Optuna's convention: positive is violated."""
        point = self.space.from_config(unflatten_dict(trial.params))
        return self._violations.get(point, [0.0] * len(self.goal.hard))

    def observe(self, evaluation: Evaluation) -> None:
        self._violations[evaluation.arch] = [c.violation(evaluation.metrics) for c in self.goal.hard]
        super().observe(evaluation)

    def observe_unasked(self, evaluation: Evaluation) -> None:
        if self.is_new(evaluation):
            inner: Any = self._inner  # add_evaluated_point, which is public, takes one objective and no constraints
            inner._ot_study.add_trial(
                optuna.trial.create_trial(
                    values=self.goal.scores(evaluation),
                    params=self.filled(evaluation.arch),
                    distributions=inner._space,
                    # Optuna's samplers store the result of ``constraints_func`` here and raise without it.
                    system_attrs={"constraints": tuple(self._violations[evaluation.arch])} if self.goal.hard else {},
                )
            )
