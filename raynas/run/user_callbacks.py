"""UserCallbacks: the callbacks of a run config, whose errors end a search in one line."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ray import tune
from ray.tune.callback import CallbackList

from raynas.errors import RaynasError, one_line


class UserCallbacks(CallbackList):
    """Hands every hook of Tune's to the user's callbacks, in their order.

    Tune takes an error of some hooks for an error of the trial, and hides that of others in its log.

    Args:
        callbacks: the user's.
        fail: called with the error, which names callback and hook.
    """

    def __init__(self, callbacks: Sequence[tune.Callback], fail: Callable[[RaynasError], None]) -> None:
        super().__init__(list(callbacks))
        self._fail = fail

    def __getattribute__(self, name: str) -> Any:
        if name != "setup" and not name.startswith("on_"):
            return super().__getattribute__(name)
        return partial(self._each, name)

    def _each(self, hook: str, **info: Any) -> None:
        for callback in self._callbacks:
            try:
                getattr(CallbackList([callback]), hook)(**info)
            except Exception as error:
                name = type(callback).__name__
                self._fail(RaynasError(f"callback {name} of the run config raised in {hook}: {one_line(error)}"))
