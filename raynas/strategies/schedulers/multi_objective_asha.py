"""Multi-objective ASHA: trials are compared at each rung by non-dominated rank, then by crowding distance.

Schmucker, Donini, Zafar, Salinas and Archambeau, "Multi-objective Asynchronous Successive Halving" (2021,
arXiv:2106.12639), in the form that stops trials (as Tune's ASHA does) and never pauses one. Deviation: within a
front the less crowded are preferred as in NSGA-II, where the paper's best variant picks by an epsilon-net.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raynas.core.goal import Objective
from raynas.core.outcome import Result
from raynas.core.pareto import crowding_distance, non_dominated_rank
from raynas.errors import SettingError
from raynas.metrics import METRICS
from raynas.strategies.base import EarlyStopping


@dataclass(frozen=True, kw_only=True)
class MultiObjectiveAsha(EarlyStopping):
    """Successive halving for several objectives, by non-dominated rank.

    At rungs of ``grace_period * reduction_factor ** k`` epochs a trial continues if it is among the best
    1 / ``reduction_factor`` of the trials that reached the rung.

    Args:
        objectives: further objectives, besides the first of the search, which is always included; at least one, each
            reported by the trials or measured before them.
        grace_period: epochs that every trial gets; at least 1.
        reduction_factor: inverse of the share of trials that pass a rung; more than 1.
    """

    objectives: tuple[str, ...] = ("params",)
    grace_period: int = 1
    reduction_factor: float = 3

    def __post_init__(self) -> None:
        if self.grace_period < 1 or not self.reduction_factor > 1:
            raise SettingError(
                "MultiObjectiveAsha needs grace_period >= 1 and reduction_factor > 1, "
                f"got {self.grace_period} and {self.reduction_factor}"
            )
        if not self.objectives:
            raise SettingError("MultiObjectiveAsha needs a second objective; use Asha for one")
        for objective in self.objectives:
            Objective.parse(objective, METRICS)

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(Objective.parse(objective, METRICS).metric for objective in self.objectives)

    @property
    def required(self) -> tuple[str, ...]:
        return self.metrics

    def scheduler(self, objective: Objective, max_fidelity: int) -> TrialScheduler:
        """Make a fresh scheduler.

        Raises:
            SettingError: if an objective is given twice.
        """
        objectives = [objective, *(Objective.parse(other, METRICS) for other in self.objectives)]
        if len({o.metric for o in objectives}) < len(objectives):
            raise SettingError(
                f"MultiObjectiveAsha needs different objectives, got {[o.metric for o in objectives]}; "
                "the first objective of the search comes by itself"
            )
        last = max(max_fidelity, self.grace_period)
        n_rungs = int(math.log(last / self.grace_period) / math.log(self.reduction_factor) + 1e-9) + 1
        rungs = [self.grace_period * self.reduction_factor**k for k in range(n_rungs)]
        return MultiObjectiveAshaScheduler(objectives, rungs, self.reduction_factor, last)


class MultiObjectiveAshaScheduler(FIFOScheduler):
    """Tune's side of ``MultiObjectiveAsha``.

    Args:
        objectives: the first is the one that Tune shows.
        rungs: epochs at which trials are compared, ascending.
        reduction_factor: inverse of the share of trials that pass a rung.
        max_fidelity: epochs of a complete trial.
    """

    def __init__(
        self, objectives: Sequence[Objective], rungs: Sequence[float], reduction_factor: float, max_fidelity: int
    ) -> None:
        super().__init__()
        self.objectives = tuple(objectives)
        self.reduction_factor = reduction_factor
        self.max_fidelity = max_fidelity
        self.rungs: list[tuple[float, dict[str, tuple[float, ...]]]] = [(rung, {}) for rung in reversed(rungs)]
        self._metric = self.objectives[0].metric

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: object) -> bool:
        """Accept the metric that was set already."""
        return metric in (None, self._metric)

    def on_trial_result(self, tune_controller: object, trial: Trial, result: Result) -> str:
        """Stop a trial that is not among the best of the highest rung it has reached."""
        return TrialScheduler.CONTINUE if self._continues(trial, result) else TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: object, trial: Trial, result: Result) -> None:
        """Record the last report at its rung too."""
        self._continues(trial, result)

    def _continues(self, trial: Trial, result: Result) -> bool:
        """Record a report at its rung; return True if the trial passes it."""
        epoch = result.get("training_iteration", 0)
        if any(o.metric not in result for o in self.objectives):
            return True
        for rung, recorded in self.rungs:
            if epoch >= rung:
                if trial.trial_id in recorded:
                    break
                recorded[trial.trial_id] = tuple(_score(o, result) for o in self.objectives)
                return epoch < self.max_fidelity and self._is_promoted(trial.trial_id, recorded)
        return bool(epoch < self.max_fidelity)

    def _is_promoted(self, trial_id: str, recorded: dict[str, tuple[float, ...]]) -> bool:
        names, scores = list(recorded), list(recorded.values())
        ranks = non_dominated_rank(scores)
        # Of equals the earlier is preferred, so that copies of a good trial do not all continue.
        order = np.lexsort((np.arange(len(names)), -crowding_distance(scores, ranks), ranks))
        n_promoted = math.ceil(len(names) / self.reduction_factor)
        return names.index(trial_id) in order[:n_promoted]


def _score(objective: Objective, result: Result) -> float:
    value = float(result[objective.metric])
    return objective.sign * value if math.isfinite(value) else -math.inf
