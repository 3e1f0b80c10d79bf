"""Early stopping that composes with every strategy: ASHA and the median rule, as Tune has them."""

from dataclasses import dataclass

from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule, TrialScheduler

from raynas.objective import Objective
from raynas.strategies.base import EarlyStopping

_NEVER = 10**9


@dataclass(frozen=True, kw_only=True)
class Asha(EarlyStopping):
    """Asynchronous successive halving (Li et al., 2020).

    At rungs of ``grace_period * reduction_factor ** k`` epochs only the best 1 / ``reduction_factor`` go on.

    Args:
        grace_period: epochs that every trial gets; at least 1.
        reduction_factor: how much thinner each rung is; more than 1.
    """

    grace_period: int = 1
    reduction_factor: float = 3

    def __post_init__(self) -> None:
        if self.grace_period < 1 or not self.reduction_factor > 1:
            raise ValueError(
                "Asha needs grace_period >= 1 and reduction_factor > 1, "
                f"got {self.grace_period} and {self.reduction_factor}"
            )

    def scheduler(self, objective: Objective, max_fidelity: int) -> TrialScheduler:
        # One bracket: Tune draws brackets from numpy's global generator, which nobody owns.
        return ASHAScheduler(
            metric=objective.metric,
            mode=objective.mode,
            max_t=max(max_fidelity, self.grace_period),
            grace_period=self.grace_period,
            reduction_factor=self.reduction_factor,
        )


@dataclass(frozen=True, kw_only=True)
class MedianStopping(EarlyStopping):
    """The median rule (Golovin et al., 2017, Google Vizier).

    A trial stops when its best value is worse than the median of the others' running means.

    Args:
        grace_period: epochs that every trial gets; at least 1.
        min_samples: how many other trials must have got as far; at least 1.
    """

    grace_period: int = 2
    min_samples: int = 3

    def __post_init__(self) -> None:
        if self.grace_period < 1 or self.min_samples < 1:
            raise ValueError(
                "MedianStopping needs grace_period >= 1 and min_samples >= 1, "
                f"got {self.grace_period} and {self.min_samples}"
            )

    def scheduler(self, objective: Objective, max_fidelity: int) -> TrialScheduler:
        # Tune's rule pauses trials to give others a turn, which costs a checkpoint each time and gains nothing here.
        return MedianStoppingRule(
            time_attr="training_iteration",
            metric=objective.metric,
            mode=objective.mode,
            grace_period=self.grace_period,
            min_samples_required=self.min_samples,
            min_time_slice=_NEVER,
        )
