"""Asynchronous Hyperband: several brackets of ASHA that start to stop trials at different epochs.

Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
Optimization" (JMLR 2018, arXiv:1603.06560), asynchronous as in Li et al. (MLSys 2020, arXiv:1810.05934), section 3.3.
"""

import math
from dataclasses import dataclass

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from raynas.core.goal import Objective
from raynas.errors import SettingError
from raynas.strategies.base import EarlyStopping


@dataclass(frozen=True, kw_only=True)
class Hyperband(EarlyStopping):
    """Hyperband (Li et al., 2018): brackets of ASHA, each of which starts to stop trials later than the one before.

    The last stops none, or only at a rung close to the end. This is the hedge against curves that cross late, and it
    has its price: of 27 epochs the brackets together take 27 %, whatever the curves. Trials are assigned to the
    brackets in the proportions of Hyperband's algorithm 1, most of them to the bracket that stops earliest. Tune's
    synchronous ``HyperBandScheduler`` is not used: it pauses trials until a bracket is full, so that it waits for ever
    if fewer trials may run than a bracket has, and its state cannot be rebuilt from recorded reports.

    Args:
        grace_period: epochs that every trial gets; at least 1.
        reduction_factor: eta, inverse of the share of trials that pass a rung; more than 1.
        max_brackets: the maximum number of brackets, those that stop earliest; at least 1; all if None.
    """

    grace_period: int = 1
    reduction_factor: float = 3
    max_brackets: int | None = None

    def __post_init__(self) -> None:
        if self.grace_period < 1 or not self.reduction_factor > 1:
            raise SettingError(
                "Hyperband needs grace_period >= 1 and reduction_factor > 1, "
                f"got {self.grace_period} and {self.reduction_factor}"
            )
        if self.max_brackets is not None and self.max_brackets < 1:
            raise SettingError(f"Hyperband needs max_brackets >= 1, got {self.max_brackets}")

    def shares(self, max_fidelity: int) -> list[int]:
        """Return the number of trials per bracket in a round, the bracket that stops earliest first."""
        span = max(max_fidelity, self.grace_period) / self.grace_period
        s_max = int(math.log(span) / math.log(self.reduction_factor) + 1e-9)
        shares = [math.ceil((s_max + 1) / (s + 1) * self.reduction_factor**s) for s in range(s_max, -1, -1)]
        return shares[: self.max_brackets]

    def scheduler(self, objective: Objective, max_fidelity: int) -> TrialScheduler:
        return AsyncHyperbandScheduler(
            self.shares(max_fidelity),
            metric=objective.metric,
            mode=objective.mode,
            max_t=max(max_fidelity, self.grace_period),
            grace_period=self.grace_period,
            reduction_factor=self.reduction_factor,
        )


class AsyncHyperbandScheduler(ASHAScheduler):
    """Tune's ASHA with several brackets, assigned in turn; Tune draws them from numpy's global generator.

    Args:
        shares: number of trials per bracket in a round.
        metric: of Tune's scheduler, as the following.
        mode: "max" or "min".
        max_t: the maximum number of epochs.
        grace_period: epochs that every trial gets.
        reduction_factor: inverse of the share of trials that pass a rung.
    """

    def __init__(
        self,
        shares: list[int],
        *,
        metric: str,
        mode: str,
        max_t: int,
        grace_period: int,
        reduction_factor: float,
    ) -> None:
        super().__init__(
            brackets=len(shares),
            metric=metric,
            mode=mode,
            max_t=max_t,
            grace_period=grace_period,
            reduction_factor=reduction_factor,
        )
        self.shares = shares
        self.n_added = [0] * len(shares)

    def on_trial_add(self, tune_controller: object, trial: Trial) -> None:
        """Assign a trial to the bracket that lacks most; one that continues after a restart keeps its bracket."""
        if trial.trial_id in self._trial_info:
            return
        n = sum(self.n_added) + 1
        lacking = [n * share / sum(self.shares) - added for share, added in zip(self.shares, self.n_added, strict=True)]
        bracket = lacking.index(max(lacking))
        self.n_added[bracket] += 1
        self._trial_info[trial.trial_id] = self._brackets[bracket]
