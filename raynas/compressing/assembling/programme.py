"""The integer programme: one alternative for each block, so that losses add up to the least within several limits.

As in Puzzle (Bercovich et al., 2024, arXiv:2411.19146) and LANA (Molchanov et al., 2021, arXiv:2107.10624), losses and
costs are taken to add up over blocks. Solutions are exact; the next best one is found by a cut that excludes those
before.
"""

import ctypes
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, milp

from raynas.core.constraint import Constraint
from raynas.core.metric import Mode
from raynas.errors import InfeasibleError, RaynasError, SettingError, UnknownNameError

Array = NDArray[np.float64]

Row = tuple[Array, float, float]
"""A row of constraints: coefficients of the columns, and the bounds of their sum."""

OBJECTIVE_SIZE = 1e4
"""Largest difference in the objective: HiGHS stops where less than 1e-6 is left to gain."""


@dataclass(frozen=True, eq=False)
class Programme:
    """Scores and costs of the alternatives.

    Args:
        amounts: for each score and cost, for each block, what its alternatives add to that of the given model.
        given: scores and costs of the given model.
    """

    amounts: Mapping[str, Sequence[Sequence[float]]]
    given: Mapping[str, float]

    def solutions(
        self, limits: Sequence[Constraint], objective: str, mode: Mode = "min", max_seconds: float = 60.0
    ) -> Iterator[tuple[int, ...]]:
        """Yield all choices, best first: for each block the number of its alternative.

        Args:
            limits: absolute limits on sums.
            objective: the score or cost that counts.
            mode: "min" if less of it is better, "max" if more is.
            max_seconds: for each solution.

        Raises:
            InfeasibleError: if there is none; says which limit cannot be met, and the nearest value that can.
            RaynasError: if a solution takes too long.
            SettingError: if a limit is soft.
            UnknownNameError: if a limit or the objective names nothing that there are amounts of.
        """
        self._check(limits, objective)
        signed = self._column(objective) * (1 if mode == "min" else -1)
        found = self._best_first(signed, limits, max_seconds)
        first = next(found, None)
        if first is None:
            raise InfeasibleError(self._why_infeasible(limits, max_seconds))
        yield first
        yield from found

    def _best_first(
        self, objective: Array, limits: Sequence[Constraint], max_seconds: float
    ) -> Iterator[tuple[int, ...]]:
        cuts: list[tuple[int, ...]] = []
        while (choices := self._solved(objective, limits, cuts, max_seconds)) is not None:
            cuts.append(choices)
            # The solver lets limits be passed by a millionth; sums decide.
            if self.complies(choices, limits):
                yield choices

    def total(self, metric: str, choices: Sequence[int]) -> float:
        """Return the predicted amount of a score or cost."""
        added = (block[choice] for block, choice in zip(self.amounts[metric], choices, strict=True))
        return math.fsum([self.given[metric], *added])

    def complies(self, choices: Sequence[int], limits: Sequence[Constraint]) -> bool:
        """Return True if choices meet the limits."""
        totals = {limit.metric: self.total(limit.metric, choices) for limit in limits}
        return all(limit.violation(totals) == 0 for limit in limits)

    def _check(self, limits: Sequence[Constraint], objective: str) -> None:
        for name in (objective, *(limit.metric for limit in limits)):
            if name not in self.amounts:
                raise UnknownNameError("score or cost of blocks", name, self.amounts)
        for limit in limits:
            if limit.soft:
                raise SettingError(f"limits of an assembly must be hard, got '{limit}': write it without 'soft'")

    def _column(self, metric: str) -> Array:
        values: Array = np.array([value for block in self.amounts[metric] for value in block], dtype=float)
        return values

    @cached_property
    def _starts(self) -> "NDArray[np.int64]":
        """Number of the first column of each block, and that of all columns."""
        sizes = [len(block) for block in next(iter(self.amounts.values()))]
        return np.concatenate([[0], np.cumsum(sizes)])

    def _solved(
        self, objective: Array, limits: Sequence[Constraint], cuts: Sequence[Sequence[int]], max_seconds: float
    ) -> tuple[int, ...] | None:
        """Return the best choices within limits other than those of cuts; None if there are none."""
        starts = self._starts
        rows = [*self._one_each(), *map(self._row_of_limit, limits), *map(self._row_of_cut, cuts)]
        matrix, low, high = (np.array([row[i] for row in rows]) for i in range(3))
        with _silent():
            found: Any = milp(
                objective / (float(np.abs(objective).max()) or 1.0) * OBJECTIVE_SIZE,
                integrality=np.ones(len(objective)),
                bounds=(0, 1),
                constraints=LinearConstraint(matrix, low, high),
                options={"mip_rel_gap": 0, "time_limit": max_seconds},
            )
        if found.status == 1:
            raise RaynasError(
                f"the integer programme took more than {max_seconds:g} seconds: set max_seconds higher, or ask for "
                "fewer assemblies"
            )
        if found.x is None:
            return None
        return tuple(int(found.x[a:b].argmax()) for a, b in pairwise(starts))

    def _one_each(self) -> Iterator[Row]:
        for start, end in pairwise(self._starts):
            row = np.zeros(self._starts[-1])
            row[start:end] = 1
            yield row, 1.0, 1.0

    def _row_of_limit(self, limit: Constraint) -> Row:
        values, given = self._column(limit.metric), self.given[limit.metric]
        bound = limit.limit
        if limit.op in ("<", ">") and float(given).is_integer() and bool((values % 1 == 0).all()):
            bound = math.ceil(bound) - 1 if limit.op == "<" else math.floor(bound) + 1
        scale = float(np.abs(values).max()) or 1.0
        room = (bound - given) / scale
        return (values / scale, -np.inf, room) if limit.is_upper else (values / scale, room, np.inf)

    def _row_of_cut(self, cut: Sequence[int]) -> Row:
        row = np.zeros(self._starts[-1])
        row[self._starts[:-1] + np.array(cut)] = 1
        return row, -np.inf, len(cut) - 1.0

    def _why_infeasible(self, limits: Sequence[Constraint], max_seconds: float) -> str:
        """Return which limit cannot be met, alone or with the others, and the nearest possible value."""
        for limit in limits:
            value = self._extreme(limit, [], max_seconds)
            if value is not None and limit.violation({limit.metric: value}) > 0:
                return (
                    f"'{limit}' cannot be met: the {_extreme_word(limit)} {limit.metric} of any assembly is {value:.6g}"
                )
        for i, limit in enumerate(limits):
            value = self._extreme(limit, [*limits[:i], *limits[i + 1 :]], max_seconds)
            if value is not None:
                others = " and ".join(f"'{other}'" for other in (*limits[:i], *limits[i + 1 :]))
                return (
                    f"'{limit}' cannot be met together with {others}: the {_extreme_word(limit)} {limit.metric} within "
                    f"them is {value:.6g}"
                )
        return (
            f"the limits {', '.join(f'{limit}' for limit in limits)} cannot be met together, even without one of them"
        )

    def _extreme(self, limit: Constraint, others: Sequence[Constraint], max_seconds: float) -> float | None:
        """Return the best value of a limit's metric within other limits; None if there is none."""
        objective = self._column(limit.metric) * (1 if limit.is_upper else -1)
        choices = next(self._best_first(objective, others, max_seconds), None)
        return None if choices is None else self.total(limit.metric, choices)


def _extreme_word(limit: Constraint) -> str:
    return "smallest" if limit.is_upper else "largest"


@contextmanager
def _silent() -> Iterator[None]:
    """Keep notes of the solver, which releases of HiGHS print past Python, from the output of this process."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # There is no output.
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            yield
    finally:
        with suppress(Exception):  # Only some systems have it by that name.
            ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
