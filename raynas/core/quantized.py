"""Decisions about numbers on a grid that is too fine, or too uneven, for one option among equals each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Option
from raynas.core.decision import Integer, Real
from raynas.errors import SpaceError


@dataclass(frozen=True)
class Quantized(Real):
    """A multiple of ``step`` from ``low`` to ``high``, both included: a real number, then rounded, as Tune does."""

    step: float = 1.0

    def __post_init__(self) -> None:
        if not self.step > 0:
            raise SpaceError(f"decision {self.name!r} needs step > 0, got {self.step}")
        super().__post_init__()

    def member(self, option: Option) -> Option:
        return float(np.round(np.divide(float(option), self.step)) * self.step)

    def contains(self, option: Option) -> bool:
        """Return whether ``option`` is in the range when it is rounded."""
        return isinstance(option, int | float) and self.low < option + self.step / 2 < self.high + self.step

    def _from_unit(self, position: float) -> float:
        return float(self.member(super()._from_unit(position)))

    def resample(self, current: Option, rng: np.random.Generator) -> Option:
        option = super().resample(current, rng)
        return option if option != current else self.others(current)[int(rng.integers(len(self.others(current))))]

    def others(self, current: Option) -> Sequence[Option]:
        """Return the options one step of a real number down and up, or the next ones on the grid if they are nearer."""
        value = float(current)
        next_ones = (self.member(value - self.step), self.member(value + self.step))
        far = super().others(current)
        down = [option for option in far if float(option) < value] or [next_ones[0]]
        up = [option for option in far if float(option) > value] or [next_ones[1]]
        return [option for option in (*down, *up) if self.contains(option)]


@dataclass(frozen=True)
class LogInteger(Integer):
    """A multiple of ``step`` from ``low`` to ``high``, both included; k with the probability log((k + 1) / k)."""

    STEP = Real.STEP

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low < 1 or self.low % self.step:
            raise SpaceError(
                f"decision {self.name!r} needs a low of at least 1 that is a multiple of step {self.step}, "
                f"got {self.low}"
            )

    def member(self, option: Option) -> Option:
        return round(float(option) / self.step) * self.step

    def contains(self, option: Option) -> bool:
        """Return whether ``option`` is in the range when it is rounded: some searchers know no steps."""
        return isinstance(option, int | float) and self.low <= int(self.member(option)) <= self.high

    def _edge(self, number: float) -> float:
        """Return the position in [0, 1] at which a number of steps begins, on the logarithmic scale."""
        first, end = self.low // self.step, self.high // self.step + 1
        return math.log(number / first) / math.log(end / first)

    def _at(self, position: float) -> int:
        first, end = self.low // self.step, self.high // self.step + 1
        number = math.floor(first * math.pow(end / first, min(max(position, 0.0), 1.0)))
        return min(max(number, first), end - 1) * self.step

    def _position(self, option: Option) -> float:
        return self._edge(int(option) // self.step + 0.5)

    def sample(self, rng: np.random.Generator) -> Option:
        return self._at(float(rng.random()))

    def resample(self, current: Option, rng: np.random.Generator) -> Option:
        number = int(current) // self.step
        begin, end = self._edge(number), self._edge(number + 1)
        position = float(rng.random()) * (1 - (end - begin))  # without the part of the current option
        option = self._at(position if position < begin else position + end - begin)
        return option if option != current else self.others(current)[0]  # by a rounding error

    def others(self, current: Option) -> Sequence[Option]:
        """Return an option a tenth of the range down and one up, or the next ones if these are nearer."""
        value, position = int(current), self._position(current)
        down = min(self._at(position - self.STEP), value - self.step)
        up = max(self._at(position + self.STEP), value + self.step)
        return [option for option in (down, up) if self.low <= option <= self.high]

    @property
    def n_features(self) -> int:
        return 1

    def encode(self, option: Option) -> NDArray[np.float64]:
        return np.array([self._position(option)])
