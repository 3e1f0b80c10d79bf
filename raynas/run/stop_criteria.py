"""StopCriteria: what a run config's ``stop`` says, and which trials met it."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

from ray.tune import Stopper
from ray.tune.stopper import CombinedStopper, FunctionStopper, NoopStopper
from ray.tune.utils import flatten_dict

from raynas.core.evaluation import metrics_of
from raynas.errors import RaynasError, SettingError, did_you_mean, one_line
from raynas.validate import is_number, plain

logger = logging.getLogger(__name__)


class StopCriteria(Stopper):
    """Asks the user's criteria, and marks the results of trials that met one as complete.

    Tune stops a trial that met a criterion as it stops one that a scheduler gave up, and tells nobody which it was. But
    the first has all the training that it was to have, and counts as finished. Here alone the two can be told apart: a
    stopper sees each result before the scheduler does, and before Tune says that the trial is done.

    Args:
        stop: the user's: a dict of metrics and limits, a function, a ``Stopper``, or a list of these.
        end_now: returns whether the search is to end for another reason, with the trials that run.

    Raises:
        SettingError: if it is none of them.
    """

    def __init__(self, stop: object = None, end_now: Callable[[], bool] = lambda: False) -> None:
        self._criteria = stopper_of(stop)
        self._end_now = end_now
        self.failure: RaynasError | None = None
        self.ended_search = False
        self.met: dict[str, dict[str, Any]] = {}
        """The last results of the trials that met a criterion."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return whether a trial met a criterion; one that failed is not asked about."""
        is_met = not result.get("failed") and self._ask(trial_id, result)
        if is_met:
            result["complete"] = 1
            self.met[trial_id] = flatten_dict(result)
        result.setdefault("complete", int(bool(result.get("done"))))  # a class of the user's does not say
        return is_met

    def _ask(self, trial_id: str, result: dict[str, Any]) -> bool:
        try:
            return bool(self._criteria(trial_id, result))
        except Exception as error:
            known = ", ".join(sorted(metrics_of(flatten_dict(result)).keys() - {"trial_id"}))
            self.fail(RaynasError(f"stop of the run config raised {one_line(error)}; the results hold {known}"))
            return False

    def replay(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Let the criteria see a report of an earlier session, which lacks what Tune adds to results."""
        with contextlib.suppress(Exception):
            self._criteria(trial_id, dict(result))

    def stop_all(self) -> bool:
        """Return whether the whole search is to end."""
        try:
            self.ended_search = self.ended_search or bool(self._criteria.stop_all())
        except Exception as error:
            self.fail(RaynasError(f"stop of the run config raised {one_line(error)}"))
        return self.ended_search or self.failure is not None or self._end_now()

    def fail(self, failure: RaynasError) -> None:
        """End the search with an error; the first one counts."""
        self.failure = self.failure or failure

    def __reduce__(self) -> tuple[type[Stopper], tuple[()]]:
        # Tune pickles stoppers into its state, from which nothing is restored here.
        return NoopStopper, ()


class Limits(Stopper):
    """Stops a trial when one of its metrics reaches its limit, from below as in Tune.

    Args:
        limits: numbers by metric; nested dicts are named with "/", as in results.
    """

    def __init__(self, limits: Mapping[str, float]) -> None:
        self._limits = limits
        self._unseen = set(limits)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        flat = flatten_dict(result)
        self._unseen -= flat.keys()
        if flat.get("done") and self._unseen:
            self._warn(sorted(metrics_of(flat).keys() - {"trial_id"}))
        return any(is_number(plain(flat.get(name))) and flat[name] >= limit for name, limit in self._limits.items())

    def _warn(self, reported: list[str]) -> None:
        for name in self._unseen:
            logger.warning(
                "stop names %r, which the first trial did not report%s What it reported is %s.",
                *(name, did_you_mean(name, reported) or ".", ", ".join(reported)),
            )
        self._unseen = set()

    def stop_all(self) -> bool:
        return False


def stopper_of(stop: Any) -> Stopper:
    """Return a stopper that does what a run config's ``stop`` says.

    Raises:
        SettingError: if it is none of the forms that Tune has.
    """
    if stop is None or stop == {} or stop == []:
        return NoopStopper()
    if isinstance(stop, Mapping):
        limits = {name: plain(limit) for name, limit in flatten_dict(dict(stop)).items()}
        if all(isinstance(limit, bool) or is_number(limit) for limit in limits.values()):
            return Limits(cast(Mapping[str, float], limits))
    if isinstance(stop, list | tuple):
        return CombinedStopper(*map(stopper_of, stop))
    if isinstance(stop, Stopper):
        return stop
    if callable(stop) and not hasattr(stop, "stop_all"):
        return FunctionStopper(stop)
    raise SettingError(
        "stop of the run config must be a dict of metrics and numbers, a function stop(trial_id, result), "
        f"a ray.tune.Stopper, or a list of these, got {stop!r}"
    )
