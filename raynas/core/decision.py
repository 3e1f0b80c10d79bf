"""Decision: a named variable of a search space, categorical, an integer range, or a continuous one."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Option, plain_option
from raynas.errors import SpaceError
from raynas.validate import plain

Condition = Mapping[str, Sequence[Option]]
"""The condition under which a decision is active: all named ones are active and hold one of the listed options."""


@dataclass(frozen=True)
class Decision(ABC):
    """A named variable of a space.

    Args:
        name: unique in its space, without "/".
        active_if: the condition under which the decision matters; empty means always. It may name only decisions that
            come earlier in the space.
    """

    name: str
    active_if: Condition = field(default_factory=dict, kw_only=True, hash=False)
    needs_all: ClassVar[bool] = True
    """False if one of the decisions that ``active_if`` names is enough."""

    def is_active(self, options: Mapping[str, Option]) -> bool:
        """Return whether the decision matters, given the active decisions before it."""
        holds = (name in options and options[name] in allowed for name, allowed in self.active_if.items())
        return all(holds) if self.needs_all else any(holds)

    @property
    @abstractmethod
    def options(self) -> Sequence[Option]:
        """All options in order; empty for a continuous decision."""

    def sample(self, rng: np.random.Generator) -> Option:
        """Draw an option uniformly."""
        return self.options[int(rng.integers(len(self.options)))]

    def resample(self, current: Option, rng: np.random.Generator) -> Option:
        """Draw an option other than the current one, uniformly."""
        return self.others(current)[int(rng.integers(len(self.options) - 1))]

    def others(self, current: Option) -> Sequence[Option]:
        """Return the options that one step of a local search can move to."""
        return [option for option in self.options if option != current]

    @property
    def default(self) -> Option:
        """The first option; the middle of a range that has none."""
        return self.options[0]

    def contains(self, option: Option) -> bool:
        """Return whether the decision can hold ``option``."""
        return option in self.options

    def member(self, option: Option) -> Option:
        """Return the option that equals one: a searcher may hand out 2.0 for 2, which has another key."""
        return self.options[self.options.index(option)]

    @property
    def n_features(self) -> int:
        """The length of this decision's part of an encoding."""
        return len(self.options)

    def encode(self, option: Option) -> NDArray[np.float64]:
        """Encode one-hot, shape ``(n_features,)``; a continuous option as its position in the range."""
        one_hot = np.zeros(self.n_features)
        one_hot[self.options.index(option)] = 1.0
        return one_hot

    def label(self, option: Option) -> str:
        """Return one of finitely many labels; a continuous option is rounded to a tenth of its range."""
        return f"{self.name}={option}"


@dataclass(frozen=True)
class Categorical(Decision):
    """A choice between unordered options (at least one, all different)."""

    choices: Sequence[object] = ()

    def __post_init__(self) -> None:
        for option in self.choices:
            if isinstance(option, list):
                raise SpaceError(f"an option of decision {self.name!r} must not be a list; write a tuple, got {option}")
        choices = tuple(plain_option(self.name, option) for option in self.choices)
        if not choices or len(set(choices)) != len(choices):
            raise SpaceError(f"decision {self.name!r} needs different options, at least one, got {choices!r}")
        object.__setattr__(self, "choices", choices)

    @property
    def options(self) -> Sequence[Option]:
        return cast(Sequence[Option], self.choices)


@dataclass(frozen=True)
class Integer(Decision):
    """A whole number from ``low`` to ``high``, both included, in steps of ``step``."""

    low: int = 0
    high: int = 1
    step: int = 1

    def __post_init__(self) -> None:
        for field_name in ("low", "high", "step"):
            value = plain(getattr(self, field_name))
            if not isinstance(value, int):
                raise SpaceError(f"{field_name} of decision {self.name!r} must be a whole number, got {value!r}")
            object.__setattr__(self, field_name, value)
        if self.low > self.high:
            raise SpaceError(f"decision {self.name!r} needs low <= high, got {self.low} and {self.high}")
        if self.step < 1:
            raise SpaceError(f"decision {self.name!r} needs step >= 1, got {self.step}")

    @property
    def options(self) -> Sequence[Option]:
        return range(self.low, self.high + 1, self.step)


@dataclass(frozen=True)
class Real(Decision):
    """A number from ``low`` to ``high``, uniform on a linear or logarithmic scale; for hyperparameters."""

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    STEP: ClassVar[float] = 0.1
    """The standard deviation of a mutation, as a share of the range."""

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        if not -math.inf < self.low < self.high < math.inf or (self.log and self.low <= 0):
            raise SpaceError(
                f"decision {self.name!r} needs low < high (and low > 0 if log), got {self.low} and {self.high}"
            )

    @property
    def options(self) -> Sequence[Option]:
        return ()

    def _to_unit(self, option: Option) -> float:
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, float(option)))
        return (value - low) / (high - low)

    def _from_unit(self, position: float) -> float:
        position = min(max(position, 0.0), 1.0)
        if self.log:
            value = math.exp(math.log(self.low) + position * math.log(self.high / self.low))
        else:
            value = self.low + position * (self.high - self.low)
        return min(max(value, self.low), self.high)

    def sample(self, rng: np.random.Generator) -> Option:
        return self._from_unit(float(rng.random()))

    def resample(self, current: Option, rng: np.random.Generator) -> Option:
        position = self._to_unit(current) + self.STEP * float(rng.standard_normal())
        # Reflected at the bounds, where clipping would often change nothing.
        return self._from_unit(1 - abs(1 - abs(position)))

    def others(self, current: Option) -> Sequence[Option]:
        position = self._to_unit(current)
        moved = (self._from_unit(position - self.STEP), self._from_unit(position + self.STEP))
        return [option for option in moved if option != current]

    @property
    def default(self) -> Option:
        return self._from_unit(0.5)

    def contains(self, option: Option) -> bool:
        return isinstance(option, int | float) and self.low <= option <= self.high

    def member(self, option: Option) -> Option:
        return float(option)

    @property
    def n_features(self) -> int:
        return 1

    def encode(self, option: Option) -> NDArray[np.float64]:
        return np.array([self._to_unit(option)])

    def label(self, option: Option) -> str:
        return f"{self.name}={self._from_unit(round(self._to_unit(option), 1)):.3g}"
