"""A systolic array that moves one number after another, and its buffers: slow, and without any equation."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
EMPTY = -1
"""A register without a number: the numbers of the tests are not negative."""


@dataclass
class Array:
    """Cycles, and the numbers that went in and out, by the side on which they did."""

    rows: int
    cols: int
    cycles: int = 0
    by_row: int = 0
    by_col: int = 0
    stationary: int = 0

    def _shift(self, registers: Numbers, first: list[int], axis: int) -> Numbers:
        """Return registers after a step: each takes the number of the one before it on the axis."""
        moved = np.roll(registers, 1, axis=axis)
        if axis == 1:
            moved[:, 0] = first
        else:
            moved[0, :] = first
        return moved

    def keep_outputs(self, a: Numbers, b: Numbers) -> Numbers:
        """Multiply ``(rows, time)`` with ``(time, cols)``: both move, and the sums stay until they are shifted out."""
        left, top = (np.full((self.rows, self.cols), EMPTY) for _ in range(2))
        sums, n_done = np.zeros((self.rows, self.cols), dtype=np.int64), np.zeros((self.rows, self.cols), dtype=int)
        padded_a, padded_b = np.zeros((self.rows, a.shape[1]), int), np.zeros((b.shape[0], self.cols), int)
        padded_a[: len(a)], padded_b[:, : b.shape[1]] = a, b
        t = 0
        while (n_done < a.shape[1]).any():
            entering = [padded_a[r, t - r] if 0 <= t - r < a.shape[1] else EMPTY for r in range(self.rows)]
            left = self._shift(left, entering, 1)
            entering = [padded_b[t - c, c] if 0 <= t - c < len(b) else EMPTY for c in range(self.cols)]
            top = self._shift(top, entering, 0)
            meet = (left != EMPTY) & (top != EMPTY)
            sums[meet] += (left * top)[meet]
            n_done += meet
            t += 1
        self.cycles += t + self.rows  # a row leaves at a time
        self.by_row, self.by_col, self.stationary = (
            self.by_row + a.size,
            self.by_col + b.size,
            self.stationary + len(a) * b.shape[1],
        )
        return sums[: len(a), : b.shape[1]]

    def keep_operand(self, kept: Numbers, moving: Numbers) -> Numbers:
        """Multiply ``(time, rows)`` with ``(rows, cols)``: the latter stays, sums move down the columns."""
        held = np.zeros((self.rows, self.cols), int)
        held[: len(kept), : kept.shape[1]] = kept
        padded = np.zeros((len(moving), self.rows), int)
        padded[:, : moving.shape[1]] = moving
        left = np.full((self.rows, self.cols), EMPTY)
        below = np.zeros((self.rows, self.cols), dtype=np.int64)
        results: list[list[int]] = [[] for _ in range(self.cols)]
        t = 0
        while any(len(column) < len(moving) for column in results):
            entering = [padded[t - r, r] if 0 <= t - r < len(moving) else EMPTY for r in range(self.rows)]
            left = self._shift(left, entering, 1)
            below = self._shift(below, [0] * self.cols, 0) + np.where(left == EMPTY, 0, left) * held
            for c in np.flatnonzero(left[-1] != EMPTY):
                results[c].append(int(below[-1, c]))
            t += 1
        self.cycles += t + self.rows  # a row of the operand that stays enters at a time
        self.stationary += kept.size
        self.by_row += moving.size
        self.by_col += len(moving) * kept.shape[1]
        made: Numbers = np.array(results, dtype=np.int64).T
        return made[:, : kept.shape[1]]


def parts(size: int, side: int) -> list[slice]:
    """Return the folds of a dimension."""
    return [slice(start, min(start + side, size)) for start in range(0, size, side)]


@dataclass
class Buffer:
    """Half a double buffer that keeps a whole operand if it has room, else the last part if it has room for any."""

    capacity: float
    sizes: dict[int, int]
    loaded: int = 0
    held: set[int] = field(default_factory=set)

    def use(self, part: int) -> None:
        """Load a part, unless it is held."""
        if part not in self.held:
            self.loaded += self.sizes[part]
        if sum(self.sizes.values()) <= self.capacity:
            self.held.add(part)
        elif max(self.sizes.values()) <= self.capacity:
            self.held = {part}
