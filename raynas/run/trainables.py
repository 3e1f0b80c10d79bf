"""Settings from any of the ways in which a user can say how to score, and by which strategy."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune

from raynas.core.space import SearchSpace
from raynas.errors import did_you_mean
from raynas.metrics import Metrics
from raynas.run.user_source import name_of
from raynas.strategies import STRATEGIES, ByBudget, Strategy
from raynas.trials.function import Function
from raynas.trials.settings import TrialSettings

Trainable = TrialSettings | type[tune.Trainable] | Callable[..., Any]
"""Settings such as ``Training(data="digits")``, a class that reads ``config["arch"]``, or ``fn(model, config)``."""


def as_settings(trainable: Trainable) -> TrialSettings:
    """Turn a trainable into settings.

    Raises:
        TypeError: if it is none.
    """
    if isinstance(trainable, TrialSettings):
        return trainable
    if inspect.isclass(trainable) and issubclass(trainable, TrialSettings):
        raise TypeError(f"trainable must be settings, with parentheses: {trainable.__name__}(...)")
    if inspect.isclass(trainable) and issubclass(trainable, tune.Trainable):
        return ClassSettings(trainable)
    if callable(trainable):
        return Function(fn=trainable)
    raise TypeError(
        "trainable must be settings such as Training(...), a function fn(model, config) or a tune.Trainable class, "
        f"got {trainable!r}"
    )


def as_strategy(strategy: object) -> Strategy:
    """Return a strategy; ``ByBudget()`` for None.

    Raises:
        TypeError: if it is none; says what to write.
    """
    if strategy is None:
        return ByBudget()
    if isinstance(strategy, Strategy):
        return strategy
    if inspect.isclass(strategy) and issubclass(strategy, Strategy):
        raise TypeError(f"strategy must be settings, with parentheses: {strategy.__name__}()")
    names = {name: f"{cls.__name__}()" for name, cls in STRATEGIES.items()}
    names |= {cls.__name__: f"{cls.__name__}()" for cls in STRATEGIES.values()}
    close = names.get(str(strategy), "")
    hint = f"; did you mean {close}?" if close else did_you_mean(str(strategy), names)
    raise TypeError(f"strategy must be settings such as RandomSearch(), got {strategy!r}{hint}")


def label_of(settings: TrialSettings) -> str:
    """Return what tells the results folders of two trainables apart: script and function, class, or data."""
    given: dict[str, Any] = vars(settings)
    code, data = given.get("fn", given.get("cls")), given.get("data")
    if isinstance(code, str):
        return code.replace(":", ".")
    if code is not None:
        return re.sub(r"[^\w.-]", "_", name_of(code))
    return re.sub(r"\W+", "_", Path(re.sub(r"^(npz|folder):", "", str(data or type(settings).__name__))).stem)


@dataclass(frozen=True)
class ClassSettings(TrialSettings):
    """A Trainable class of the user's, unchanged; the number of its reports is unknown."""

    cls: type[tune.Trainable]

    def trainable(self, space: SearchSpace, metrics: Metrics = ("accuracy",)) -> type[tune.Trainable]:
        return self.cls

    @property
    def bundles(self) -> list[dict[str, float]]:
        """Resources that the class asks for, by ``tune.with_resources`` or by itself; by default one CPU."""
        try:
            asked = self.cls.default_resource_request({})
        except Exception:  # one that depends on the config cannot be known before
            asked = None
        return [self.resources] if asked is None else [dict(bundle) for bundle in asked.bundles]

    @property
    def max_fidelity(self) -> int:
        return 100
