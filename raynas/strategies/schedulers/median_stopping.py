"""The median stopping rule, as Tune has it.

Golovin, Solnik, Moitra, Kochanski, Karro and Sculley, "Google Vizier: A Service for Black-Box Optimization" (KDD 2017).
"""

from dataclasses import dataclass

from ray.tune.schedulers import MedianStoppingRule, TrialScheduler

from raynas.core.goal import Objective
from raynas.errors import SettingError
from raynas.strategies.base import EarlyStopping

_NEVER = 10**9


@dataclass(frozen=True, kw_only=True)
class MedianStopping(EarlyStopping):
    """The median rule (Golovin et al., 2017): stop a trial that is below the median of the others.

    A trial stops when its best value is worse than the median of the others' running means.

    Args:
        grace_period: epochs that every trial gets; at least 1.
        min_samples: number of other trials that must have reached the epoch; at least 1.
    """

    grace_period: int = 2
    min_samples: int = 3

    def __post_init__(self) -> None:
        if self.grace_period < 1 or self.min_samples < 1:
            raise SettingError(
                "MedianStopping needs grace_period >= 1 and min_samples >= 1, "
                f"got {self.grace_period} and {self.min_samples}"
            )

    def scheduler(self, objective: Objective, max_fidelity: int) -> TrialScheduler:
        # Tune's rule pauses trials in favour of others, which costs a checkpoint each time and gains nothing here.
        return MedianStoppingRule(
            time_attr="training_iteration",
            metric=objective.metric,
            mode=objective.mode,
            grace_period=self.grace_period,
            min_samples_required=self.min_samples,
            min_time_slice=_NEVER,
        )
