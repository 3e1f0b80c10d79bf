"""ASHA: asynchronous successive halving, as Tune has it.

Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht and Talwalkar, "A System for Massively Parallel
Hyperparameter Tuning" (MLSys 2020, arXiv:1810.05934). Deviation of Tune: a trial that is not promoted
stops, where the paper pauses it.
"""

from dataclasses import dataclass

from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from raynas.core.goal import Objective
from raynas.errors import SettingError
from raynas.strategies.base import EarlyStopping


@dataclass(frozen=True, kw_only=True)
class Asha(EarlyStopping):
    """Asynchronous successive halving (Li et al., 2020).

    At rungs of ``grace_period * reduction_factor ** k`` epochs the best 1 / ``reduction_factor`` continue.

    Args:
        grace_period: epochs that every trial gets; at least 1.
        reduction_factor: inverse of the share of trials that pass a rung; more than 1.
    """

    grace_period: int = 1
    reduction_factor: float = 3

    def __post_init__(self) -> None:
        if self.grace_period < 1 or not self.reduction_factor > 1:
            raise SettingError(
                "Asha needs grace_period >= 1 and reduction_factor > 1, "
                f"got {self.grace_period} and {self.reduction_factor}"
            )

    def scheduler(self, objective: Objective, max_fidelity: int) -> TrialScheduler:
        # One bracket: Tune draws brackets from numpy's global generator, whose state is not ours.
        return ASHAScheduler(
            metric=objective.metric,
            mode=objective.mode,
            max_t=max(max_fidelity, self.grace_period),
            grace_period=self.grace_period,
            reduction_factor=self.reduction_factor,
        )
