"""Early stopping that composes with every strategy: ASHA, Hyperband and the median rule, as Tune has them."""

import math
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule, TrialScheduler

from raynas.core.goal import Objective
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
class Hyperband(EarlyStopping):
    """Asynchronous Hyperband (Li et al., JMLR 2018; asynchronous as in Li et al., 2020, section 3.3).

    Several brackets of ASHA, of which each starts to stop trials later than the one before; the last stops none, or
    only at a rung close to the end. This is the hedge against curves that cross late, and it has its price: of 27
    epochs the brackets together take 27 %, whatever the curves. Trials go to the brackets in the proportions of
    Hyperband's algorithm 1, most of them to the bracket that stops earliest. Tune's synchronous ``HyperBandScheduler``
    is not used: it pauses trials until a bracket is full, so that it waits for ever where fewer trials may run than a
    bracket has, and its state cannot be rebuilt from recorded reports.

    Args:
        grace_period: epochs that every trial gets; at least 1.
        reduction_factor: eta, how much thinner each rung is; more than 1.
        max_brackets: the most brackets, those that stop earliest; at least 1. All if None; fewer are cheaper.
    """

    grace_period: int = 1
    reduction_factor: float = 3
    max_brackets: int | None = None

    def __post_init__(self) -> None:
        if self.grace_period < 1 or not self.reduction_factor > 1:
            raise ValueError(
                "Hyperband needs grace_period >= 1 and reduction_factor > 1, "
                f"got {self.grace_period} and {self.reduction_factor}"
            )
        if self.max_brackets is not None and self.max_brackets < 1:
            raise ValueError(f"Hyperband needs max_brackets >= 1, got {self.max_brackets}")

    def shares(self, max_fidelity: int) -> list[int]:
        """How many of a round's trials go to each bracket, the one that stops earliest first."""
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
    """Tune's ASHA with several brackets, to which trials go in turn, where Tune draws from numpy's global generator.

    Args:
        shares: how many of a round's trials go to each bracket.
        asha: goes to Tune's scheduler.
    """

    def __init__(self, shares: list[int], **asha: Any) -> None:
        super().__init__(brackets=len(shares), **asha)
        self.shares = shares
        self.n_added = [0] * len(shares)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Give a trial to the bracket that lacks most; one that goes on after a restart stays where it was."""
        if trial.trial_id in self._trial_info:
            return
        n = sum(self.n_added) + 1
        lacking = [n * share / sum(self.shares) - added for share, added in zip(self.shares, self.n_added, strict=True)]
        bracket = lacking.index(max(lacking))
        self.n_added[bracket] += 1
        self._trial_info[trial.trial_id] = self._brackets[bracket]


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
