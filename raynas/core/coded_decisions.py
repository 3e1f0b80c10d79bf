"""CodedDecisions: many architectures as one matrix of numbers, for moves and features of hundreds at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Decision

Codes = NDArray[np.int64]
"""Architectures, ``(n, n_decisions)``: the index of each decision's option, or the bits of a continuous option, and -1,
which are the bits of no number, where the decision is inactive."""

_MAX_LISTED = 1000
"""The largest range whose options are looked up in a dict."""


@dataclass(frozen=True)
class _Level:
    """Decisions whose conditions name decisions of earlier levels alone.

    Args:
        columns: their columns.
        conditions: different ones, each a function of codes that returns where it holds, ``(n,)``.
        condition_of: for each column the index of its condition.
    """

    columns: NDArray[np.int64]
    conditions: Sequence[Callable[[Codes], NDArray[np.bool_]]]
    condition_of: NDArray[np.int64]

    def active(self, codes: Codes) -> NDArray[np.bool_]:
        """Return where the decisions are active, ``(n, n_columns)``."""
        return np.stack([condition(codes) for condition in self.conditions], axis=1)[:, self.condition_of]


class CodedDecisions:
    """Moves of ``DecisionSpace`` for many architectures in one pass.

    Args:
        decisions: of a space, each after those that its ``active_if`` names; one with special rules is asked for
            each architecture.
    """

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self.decisions = tuple(decisions)
        self._code_of = [(d.name, _coder(d)) for d in self.decisions]
        self._n_options = np.array([len(d.options) for d in self.decisions])
        self._is_plain = np.array([_is_plain(d) for d in self.decisions])
        self._defaults = np.array([self._code(j, d.default) for j, d in enumerate(self.decisions)])
        self._levels = self._in_levels()

    def encode(self, archs: Iterable[Architecture]) -> Codes:
        """Return the codes of canonical architectures."""
        plain = (arch.to_config() for arch in archs)
        rows = [[code(arch[name]) if name in arch else -1 for name, code in self._code_of] for arch in plain]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(self.decisions))

    def decode(self, row: Codes) -> Architecture:
        """Return the architecture of a row of codes, ``(n_decisions,)``."""
        codes = enumerate(row.tolist())
        return Architecture({self.decisions[j].name: self._option(j, code) for j, code in codes if code != -1})

    def sample(self, n: int, rng: np.random.Generator) -> Codes:
        """Draw each active decision of n architectures uniformly."""
        return self._complete(np.full((n, len(self.decisions)), -1), rng)

    def mutate(self, codes: Codes, rng: np.random.Generator) -> Codes:
        """Change one active decision of each, chosen uniformly of those with alternatives; draw those this activates.

        An architecture without alternatives stays as it is.
        """
        movable = self._movable(codes)
        n_movable = movable.sum(axis=1)
        rows = np.flatnonzero(n_movable)
        nth = (rng.random(len(rows)) * n_movable[rows]).astype(np.int64)
        columns = (movable[rows].cumsum(axis=1) > nth[:, None]).argmax(axis=1)
        moved = codes.copy()
        moved[rows, columns] = self._resampled(columns, codes[rows, columns], rng)
        return self._complete(moved, rng)

    def n_movable(self, codes: Codes) -> NDArray[np.int64]:
        """Return the number of active decisions with alternatives, ``(n,)``."""
        return np.asarray(self._movable(codes).sum(axis=1))

    def crossover(self, first: Codes, second: Codes, rng: np.random.Generator) -> Codes:
        """Uniform crossover of rows: take each decision from one of the parents in which it is active."""
        from_second = (first == -1) | ((second != -1) & (rng.random(first.shape) < 0.5))
        return self._complete(np.where(from_second, second, first), rng)

    def neighbours(self, row: Codes) -> Codes:
        """Return all that differ from a row in one option; decisions that this activates take the default."""
        others = [(j, self._others(j, code)) for j, code in enumerate(row.tolist()) if code != -1]
        columns = np.repeat([j for j, codes in others], [len(codes) for _, codes in others])
        moved = np.repeat(row[None], len(columns), axis=0)
        moved[np.arange(len(columns)), columns] = [code for _, codes in others for code in codes]
        return self._complete(moved, None)

    def values(self, column: int, codes: Codes) -> list[Option]:
        """Return the options that codes of one decision mean, none of them inactive."""
        return [self._option(column, code) for code in codes.tolist()]

    def _movable(self, codes: Codes) -> NDArray[np.bool_]:
        return np.asarray((codes != -1) & (self._n_options != 1))

    def _code(self, column: int, option: Option) -> int:
        return self._code_of[column][1](option)

    def _option(self, column: int, code: int) -> Option:
        options = self.decisions[column].options
        return options[code] if options else float(np.int64(code).view(np.float64))

    def _complete(self, codes: Codes, rng: np.random.Generator | None) -> Codes:
        """Drop the codes of inactive decisions, and draw those missing of active ones; the default without ``rng``."""
        codes = codes.copy()
        for level in self._levels:
            active, given = level.active(codes), codes[:, level.columns]
            rows, positions = np.nonzero(active & (given == -1))
            if len(rows):
                columns = level.columns[positions]
                given[rows, positions] = self._defaults[columns] if rng is None else self._drawn(columns, rng)
            codes[:, level.columns] = np.where(active, given, -1)
        return codes

    def _drawn(self, columns: Codes, rng: np.random.Generator) -> Codes:
        """Draw an option of each of some decisions."""
        drawn: Codes = (rng.random(len(columns)) * self._n_options[columns]).astype(np.int64)
        for i in np.flatnonzero(~self._is_plain[columns]):
            drawn[i] = self._code(columns[i], self.decisions[columns[i]].sample(rng))
        return drawn

    def _resampled(self, columns: Codes, current: Codes, rng: np.random.Generator) -> Codes:
        """Draw an option other than the current one of each of some decisions."""
        drawn: Codes = (rng.random(len(columns)) * (self._n_options[columns] - 1)).astype(np.int64)
        drawn += drawn >= current
        for i in np.flatnonzero(~self._is_plain[columns]):
            option = self._option(columns[i], current[i])
            drawn[i] = self._code(columns[i], self.decisions[columns[i]].resample(option, rng))
        return drawn

    def _others(self, column: int, code: int) -> Sequence[int]:
        if self._is_plain[column]:
            return [other for other in range(self._n_options[column]) if other != code]
        return [self._code(column, option) for option in self.decisions[column].others(self._option(column, code))]

    def _in_levels(self) -> list[_Level]:
        columns_of = {d.name: j for j, d in enumerate(self.decisions)}
        depths: list[int] = []
        conditions: dict[int, dict[object, Callable[[Codes], NDArray[np.bool_]]]] = {}
        members: dict[int, list[tuple[int, object]]] = {}
        for j, d in enumerate(self.decisions):
            is_own = type(d).is_active is not Decision.is_active
            depends_on = range(j) if is_own else [columns_of[name] for name in d.active_if]
            depths.append(1 + max((depths[i] for i in depends_on), default=-1))
            key = j if is_own else (d.needs_all, tuple((name, tuple(d.active_if[name])) for name in d.active_if))
            condition = _OwnCondition(self, j) if is_own else _Condition(self, columns_of, d)
            conditions.setdefault(depths[j], {}).setdefault(key, condition)
            members.setdefault(depths[j], []).append((j, key))
        return [
            _Level(
                np.array([j for j, _ in members[depth]]),
                list(conditions[depth].values()),
                np.array([list(conditions[depth]).index(key) for _, key in members[depth]]),
            )
            for depth in sorted(members)
        ]


class _Condition:
    """The condition of a decision, of many architectures."""

    def __init__(self, coded: CodedDecisions, columns_of: Mapping[str, int], decision: Decision) -> None:
        self._allowed = [
            (columns_of[name], np.array([coded._code(columns_of[name], option) for option in allowed]))
            for name, allowed in decision.active_if.items()
        ]
        self._combined = np.logical_and if decision.needs_all else np.logical_or

    def __call__(self, codes: Codes) -> NDArray[np.bool_]:
        if not self._allowed:
            return np.full(len(codes), self._combined is np.logical_and)
        holds = [(codes[:, j, None] == allowed).any(axis=1) for j, allowed in self._allowed]
        return np.asarray(self._combined.reduce(holds))


class _OwnCondition:
    """The condition of a decision that overrides ``is_active``."""

    def __init__(self, coded: CodedDecisions, column: int) -> None:
        self._coded, self._column = coded, column

    def __call__(self, codes: Codes) -> NDArray[np.bool_]:
        decision, before = self._coded.decisions[self._column], codes.copy()
        before[:, self._column :] = -1
        return np.array([decision.is_active(self._coded.decode(row)) for row in before], dtype=bool)


def _is_plain(decision: Decision) -> bool:
    """Return True if the decision draws uniformly and moves to any other option."""
    kind = type(decision)
    rules = ((kind.sample, Decision.sample), (kind.resample, Decision.resample), (kind.others, Decision.others))
    return bool(decision.options) and all(own is usual for own, usual in rules)


def _coder(decision: Decision) -> Callable[[Option], int]:
    options = decision.options
    if not options:
        return _bits
    listed = not isinstance(options, range) or len(options) <= _MAX_LISTED
    return {option: i for i, option in enumerate(options)}.__getitem__ if listed else options.index


def _bits(option: Option) -> int:
    return int(np.float64(option).view(np.int64))
