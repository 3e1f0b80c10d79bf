"""RunSettings: how the trials of a search run, which does not change what is searched."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ray import tune

from raynas.errors import SettingError
from raynas.run.on_change import OnChange, check_on_change
from raynas.run.repeats import Repeats
from raynas.run.run_config import checked_run_config
from raynas.strategies import Strategy
from raynas.trials.settings import TrialSettings
from raynas.validate import is_number, plain, positive, require, whole
from raynas.views.trackers import Tracker


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Arguments of ``raynas.search``, which describes them; checked, and numbers of numpy as Python's.

    Raises:
        SettingError: if one cannot be read, or a setting of the run config cannot be carried out.
    """

    num_samples: int = 50
    max_concurrent: int | None = None
    generation_size: int | None = None
    max_trial_seconds: float | None = None
    retry_failed: bool = False
    on_change: OnChange = "refuse"
    max_failures_in_a_row: int | None = 10
    tolerance: float | None = None
    repeats: Repeats | None = None
    progress: bool = True
    tensorboard: bool = True
    live_report: bool = False
    trackers: Sequence[Tracker] = ()
    run_config: tune.RunConfig = field(default_factory=tune.RunConfig)

    def __post_init__(self) -> None:
        for name, least in (("num_samples", 1), ("max_concurrent", 1), ("generation_size", 1)):
            if getattr(self, name) is not None or name == "num_samples":
                object.__setattr__(self, name, whole(name, getattr(self, name), least))
        limit = whole("max_failures_in_a_row", self.max_failures_in_a_row or 0, 0)
        object.__setattr__(self, "max_failures_in_a_row", limit)
        if self.max_trial_seconds is not None:
            object.__setattr__(self, "max_trial_seconds", positive("max_trial_seconds", self.max_trial_seconds))
        if self.tolerance is not None:
            tolerance = plain(self.tolerance)
            is_valid = isinstance(tolerance, int | float) and is_number(tolerance) and tolerance >= 0
            require(is_valid, "tolerance must be a number of at least 0", tolerance)
            object.__setattr__(self, "tolerance", tolerance)
        rule = "repeats must be a Repeats, such as Repeats(top=3, seeds=3), or None"
        require(self.repeats is None or isinstance(self.repeats, Repeats), rule, self.repeats)
        check_on_change(self.on_change)
        object.__setattr__(self, "run_config", checked_run_config(self.run_config))

    def check(self, strategy: Strategy, settings: TrialSettings) -> None:
        """Refuse what makes no sense with these arguments.

        That is early stopping beside generations, as the search would depend on the order in which trials report, and
        repeats of trials that are no trainings.

        Raises:
            SettingError: if there is such a thing.
        """
        if self.repeats:
            self.repeats.check(settings)
        if self.generation_size and strategy.early_stopping:
            raise SettingError(
                "generation_size makes a search independent of which trial is faster, but early stopping by "
                f"{type(strategy.early_stopping).__name__} depends on that; leave out one of them"
            )
